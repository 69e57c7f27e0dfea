# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network is to look like, as plain data: an engine needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """A subnet. Addresses are dotted IPv4; ranges are inclusive; ``domain`` is None where the default domain is meant."""

    id: str
    name: str
    cidr: str
    gateway: str | None = None
    dns_servers: tuple[str, ...] = ()
    domain: str | None = None
    dhcp: bool = True
    dynamic: tuple[str, str] | None = None


@dataclass(frozen=True)
class Host:
    """A fixed address: the machine's network interface ``mac`` gets ``address``.

    ``name`` is the name it has in ``domain`` (None: the default domain); None for interfaces that have no name of their own.
    """

    machine: str
    mac: str
    address: str
    name: str | None = None
    domain: str | None = None


@dataclass(frozen=True)
class NetworkState:
    """All subnets and all fixed addresses, in an order that is the same for the same content."""

    networks: tuple[Network, ...] = ()
    hosts: tuple[Host, ...] = ()
