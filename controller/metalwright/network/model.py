# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network is to look like, as plain data: an engine needs nothing else.

Everything here was validated before it was stored. Addresses and networks are text in their canonical form (RFC 5952 for IPv6),
MAC addresses lower case with colons, domain names lower case without a trailing dot, times in seconds. Every sequence is in an
order that is the same for the same content, so that two states can be compared and what was rendered from them, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

RecordType = Literal["A", "AAAA", "CNAME", "MX", "TXT", "SRV", "PTR"]


@dataclass(frozen=True)
class Option:
    """A DHCP option: its number, and its value as text in the form that the option's type has.

    The type is that of ``network.options``, which knows the registered options by number and name; ``family`` is 4 or 6.
    """

    family: Literal[4, 6]
    code: int
    value: str


@dataclass(frozen=True)
class Network:
    """A subnet, IPv4 or IPv6.

    ``dynamic`` are ranges that DHCP gives to anyone, both bounds inclusive. ``relays`` are the addresses of relay agents that
    speak for it without having an address in it (RFC 2131 giaddr, RFC 8415 link-address). ``domain`` is None where the default
    domain is meant. ``options`` are those that are neither the gateway nor one of the other fields.
    """

    id: str
    name: str
    cidr: str
    gateway: str | None = None
    dns_servers: tuple[str, ...] = ()
    ntp_servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    domain: str | None = None
    dhcp: bool = True
    dynamic: tuple[tuple[str, str], ...] = ()
    relays: tuple[str, ...] = ()
    mtu: int | None = None
    options: tuple[Option, ...] = ()

    @property
    def family(self) -> Literal[4, 6]:
        """4 or 6."""
        return 6 if ":" in self.cidr else 4


@dataclass(frozen=True)
class Host:
    """A fixed address: the card ``mac`` gets ``address`` of the subnet ``network`` (its id).

    ``owner`` is the machine or reservation it belongs to: what one owner has is written to one file, and changes together.
    ``name`` is the name it has in ``domain`` (None: the default domain); None for an address that has no name of its own.
    ``mac`` is None for an address that has a name and that DHCP does not give (a bond, a bridge, a VLAN; another site's host).
    """

    owner: str
    mac: str | None
    address: str
    network: str | None = None
    name: str | None = None
    domain: str | None = None
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Record:
    """A DNS record that is not derived from a host. ``name`` is relative to its domain, ``@`` the domain itself.

    ``data`` is in the presentation format of its type (RFC 1035 section 5.1), with absolute names that have no trailing dot:
    ``10 mail.example.com`` of an MX. A and AAAA records have their PTR made by the engine, where the reverse zone is ours.
    """

    name: str
    type: RecordType
    data: str
    ttl: int | None = None


@dataclass(frozen=True)
class Domain:
    """A domain: authoritative here, or asked elsewhere (``forward_to``, addresses; then it has no records)."""

    name: str
    forward_to: tuple[str, ...] = ()
    ttl: int | None = None
    records: tuple[Record, ...] = ()


@dataclass(frozen=True)
class Resolver:
    """How names are answered: ``forwarders`` are asked for what is not ours; nobody is, where there are none.

    ``query_from`` and ``recurse_from`` are networks that may ask for our names, and for those of others; empty: the subnets that
    are served. ``ttl`` is that of names for which nothing else is said.
    """

    forwarders: tuple[str, ...] = ()
    query_from: tuple[str, ...] = ()
    recurse_from: tuple[str, ...] = ()
    ttl: int = 300


@dataclass(frozen=True)
class NetworkState:
    """All subnets, fixed addresses and domains. The default domain is among ``domains`` like any other."""

    networks: tuple[Network, ...] = ()
    hosts: tuple[Host, ...] = ()
    domains: tuple[Domain, ...] = ()
    default_domain: str = "metalwright.internal"
    resolver: Resolver = field(default_factory=Resolver)
