# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnets, addresses and names; DHCP and DNS through an engine that exists; the first boot loader over TFTP."""
