# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of pretend machines that speak every protocol: to size a controller, and to see what it does on a bad day.

Each machine is a small state machine of its own (``machine.py``) in one asyncio process. What it says is real and goes to a real
controller: DHCP by way of a relay, TFTP, HTTP, the agent's protocol, the report of the first boot, and a BMC that is asked by one
of the controller's own power drivers. What it does not have is a CPU and disks: files are read, hashed and dropped.
"""
