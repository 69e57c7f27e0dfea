# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixed addresses and names in the words of servers that sites run, for them to include."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from metalwright.network.model import Host, NetworkState


def files(state: NetworkState) -> dict[str, str]:
    """Texts by file name."""
    fixed = [host for host in state.hosts if host.mac]
    return {
        "hosts": "".join(f"{host.address} {_name(state, host)}\n" for host in state.hosts if host.name),
        "dnsmasq-hosts.conf": "".join(f"dhcp-host={host.mac},{_bracketed(host.address)}\n" for host in fixed),
        "dhcpd-hosts.conf": "".join(map(_dhcpd, fixed)),
        "kea-reservations.json": json.dumps(list(_kea(state, fixed)), indent=1) + "\n",
        "names.zone": "".join(f"{line}\n" for line in _zone(state)),
    }


def _name(state: NetworkState, host: Host) -> str:
    return f"{host.name}.{host.domain or state.default_domain}"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _dhcpd(host: Host) -> str:
    """A host declaration of ISC's dhcpd."""
    name = f"{(host.mac or '').replace(':', '')}-{host.address.replace(':', '-')}"
    which = "fixed-address6" if ":" in host.address else "fixed-address"
    return f"host {name} {{ hardware ethernet {host.mac}; {which} {host.address}; }}\n"


def _kea(state: NetworkState, fixed: list[Host]) -> Iterator[dict[str, Any]]:
    """The reservations of each subnet, as an element of ``subnet4`` or ``subnet6`` has them."""
    for network in state.networks:
        cidr = ip_network(network.cidr)
        here = [host for host in fixed if ip_address(host.address) in cidr]
        if network.family == 4:
            reservations: list[dict[str, Any]] = [{"hw-address": host.mac, "ip-address": host.address} for host in here]
        else:
            reservations = [{"hw-address": host.mac, "ip-addresses": [host.address]} for host in here]
        yield {"subnet": network.cidr, "reservations": reservations}


def _zone(state: NetworkState) -> Iterator[str]:
    """All records with absolute names (RFC 1035 section 5.1): forward ones, and a pointer for each address that has a name."""
    pointers: dict[str, str] = {}
    for host in state.hosts:
        if host.name:
            kind = "AAAA" if ":" in host.address else "A"
            yield f"{_name(state, host)}. {state.resolver.ttl} IN {kind} {host.address}"
            pointers.setdefault(host.address, _name(state, host))
    for domain in state.domains:
        for record in domain.records:
            name = domain.name if record.name == "@" else f"{record.name}.{domain.name}"
            ttl = next(ttl for ttl in (record.ttl, domain.ttl, state.resolver.ttl) if ttl is not None)
            dot = "." if record.type in ("CNAME", "MX", "SRV", "PTR") else ""
            yield f"{name}. {ttl} IN {record.type} {record.data}{dot}"
            if record.type in ("A", "AAAA"):
                pointers.setdefault(record.data, name)
    for address, name in pointers.items():
        yield f"{ip_address(address).reverse_pointer}. {state.resolver.ttl} IN PTR {name}."
