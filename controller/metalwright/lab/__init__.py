# SPDX-License-Identifier: GPL-3.0-or-later
"""A rack on one host: real virtual machines, a real BMC protocol, a real network, all inside one network namespace.

spec.py      what a lab is made of, and where its files lie
host.py      what it needs of the host
netns.py     the network namespace and the view of the system inside it
accel.py     KVM if it really boots Linux, else emulation
domain.py    the libvirt description of one machine
rack.py      the machines: power and boot order
bmc.py       a BMC for one machine (IPMI 2.0)
control.py   the daemon's Unix socket
children.py  the daemon's processes, restarted when they die
packages.py  the package cache
daemon.py    the rack daemon, which holds all of these
assets.py    agent and image: built once, kept for the next lab
files.py     what is written for others: configuration, environment, inventory
up.py, down.py, demo.py, steps.py, cli.py    making, removing and showing a lab
"""
