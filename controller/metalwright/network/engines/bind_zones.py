# SPDX-License-Identifier: GPL-3.0-or-later
"""What BIND is to answer: the zones that are ours, forward and reverse, and the records in each.

A record is a line of a zone file with an absolute name: ``web1.lab.example. 300 A 10.0.0.1``. A zone is a set of them, without
its SOA, which is BIND's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, ip_address, ip_network

from metalwright.network.engines.own_addresses import Interfaces
from metalwright.network.model import Domain, NetworkState, Record

SERVER = "metalwright-dns"
"""The name of this server in the default domain, which every zone has in its NS record."""
NEGATIVE_TTL = 30
"""Seconds that others may remember that a name does not exist (RFC 2308 section 5): machines come up at any time."""

Zones = Mapping[str, frozenset[str]]


def desired(state: NetworkState, ours: Interfaces) -> Zones:
    """The zones by name, without a trailing dot. ``ours`` are the addresses under which this server is asked."""
    forwarded = {domain.name for domain in state.domains if domain.forward_to}
    names = _forward(state) | {zone for network in state.networks for zone in reverse(network.cidr)}
    zones: dict[str, set[str]] = {name: set() for name in sorted(names) if _zone_of(name, forwarded) is None}
    domains = {domain.name: domain for domain in state.domains}
    server = f"{SERVER}.{state.default_domain}."
    records = list(_records(state, domains, ours, server, zones))
    least = _least(records)
    inside: dict[str, str | None] = {}
    for name, type_, data, ttl in records:
        zone: str | None = name
        if name not in zones:
            parent = name.partition(".")[2]
            if parent not in inside:
                inside[parent] = _zone_of(parent, zones)
            zone = inside[parent]
        if zone is not None and not (forwarded and _zone_of(name, forwarded)):
            zones[zone].add(f"{name}. {least.get((name, type_), ttl)} {type_} {data}")
    for name in forwarded:  # BIND asks elsewhere about a part of a zone of its own only where the zone hands it on
        if zone := _zone_of(name, zones):
            zones[zone].add(f"{name}. {NEGATIVE_TTL} NS {server}")
    return {name: frozenset(lines) for name, lines in zones.items()}


def reverse(cidr: str) -> list[str]:
    """The zones in which the addresses of a subnet have their names (RFC 1035 section 3.5, RFC 3596 section 2.5).

    They end at octets, or at hexadecimal digits of IPv6: 10.0.0.0/22 has four, and one smaller than a /24 that of its /24.
    """
    network = ip_network(cidr)
    step, most = (8, 24) if isinstance(network, IPv4Network) else (4, 124)
    prefix = min(-(-network.prefixlen // step) * step, most)
    whole = [network.supernet(new_prefix=prefix)] if network.prefixlen > prefix else network.subnets(new_prefix=prefix)
    labels = prefix // step
    return [_above(each.network_address.reverse_pointer, labels) for each in whole]


def _above(pointer: str, labels: int) -> str:
    """The last ``labels`` of the name of an address, and the two that all have."""
    return ".".join(pointer.split(".")[-labels - 2 :])


def _forward(state: NetworkState) -> set[str]:
    named = {network.domain for network in state.networks} | {host.domain for host in state.hosts} | {state.default_domain}
    return {domain.name for domain in state.domains if not domain.forward_to} | {name for name in named if name}


def _records(
    state: NetworkState, domains: Mapping[str, Domain], ours: Interfaces, server: str, zones: Mapping[str, object]
) -> Iterator[tuple[str, str, str, int]]:
    """Name without a trailing dot, type, data and time to live. An address is called by the first name that it has."""
    usual = state.resolver.ttl
    for zone in zones:
        yield zone, "NS", server, _ttl(domains.get(zone), None, usual)
    for interface in ours:
        yield server[:-1], "A" if interface.version == 4 else "AAAA", str(interface.ip), usual
    called: set[str] = set()
    for host in state.hosts:
        if host.name:
            domain = host.domain or state.default_domain
            name, ttl = f"{host.name}.{domain}", _ttl(domains.get(domain), None, usual)
            yield name, "AAAA" if ":" in host.address else "A", host.address, ttl
            yield from _pointer(host.address, name, ttl, called)
    for domain_ in state.domains:
        for record in domain_.records:
            name = domain_.name if record.name == "@" else f"{record.name}.{domain_.name}"
            ttl = _ttl(domain_, record, usual)
            yield name, record.type, _data(record), ttl
            if record.type in ("A", "AAAA") and "*" not in name:
                yield from _pointer(record.data, name, ttl, called)


def _pointer(address: str, name: str, ttl: int, called: set[str]) -> Iterator[tuple[str, str, str, int]]:
    if address not in called:
        called.add(address)
        yield _reversed(address), "PTR", f"{name}.", ttl


def _reversed(address: str) -> str:
    if ":" in address:
        return ip_address(address).reverse_pointer
    one, two, three, four = address.split(".")
    return f"{four}.{three}.{two}.{one}.in-addr.arpa"


def _ttl(domain: Domain | None, record: Record | None, usual: int) -> int:
    if record is not None and record.ttl is not None:
        return record.ttl
    return domain.ttl if domain is not None and domain.ttl is not None else usual


def _data(record: Record) -> str:
    """Names of the data are absolute, and a zone file wants a dot behind those."""
    names = record.type in ("CNAME", "MX", "SRV", "PTR")
    return f"{record.data}." if names and not record.data.endswith(".") else record.data


def _zone_of(name: str, zones: Mapping[str, object] | set[str]) -> str | None:
    """The innermost zone a name is in."""
    while name not in zones:
        _, dot, name = name.partition(".")
        if not dot:
            return None
    return name


def _least(records: Iterable[tuple[str, str, str, int]]) -> dict[tuple[str, str], int]:
    """All records of a name and type have one time to live (RFC 2181 section 5.2): the least, where several are wanted."""
    if len({ttl for _, _, _, ttl in records}) == 1:
        return {}
    least: dict[tuple[str, str], int] = {}
    for name, type_, _, ttl in records:
        least[name, type_] = min(ttl, least.get((name, type_), ttl))
    return least
