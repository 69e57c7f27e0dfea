# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks that the controller runs on machines, through ansible-runner.

``playbooks`` says which there are and what they may be given, ``place`` makes and removes the directory of one run, ``run``
starts it in a process tree of its own, and ``output`` makes of what it prints pieces that may be shown.
"""
