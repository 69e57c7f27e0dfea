# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders dnsmasq's files for DNS, and says what of it dnsmasq can not do (docs/reference/network-engines.md)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import dns.name
import dns.rdata
import dns.rdataclass

from metalwright.errors import Invalid
from metalwright.network.engines.dnsmasq_config import ADDRESS
from metalwright.network.model import Domain, NetworkState, Record

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")


def check(state: NetworkState) -> None:
    """Refuse what dnsmasq can not do and nothing comes near to. Raises ``Invalid`` (``engine_can_not``)."""
    if state.resolver.query_from or state.resolver.recurse_from:
        what = "dnsmasq has no list of networks that may ask it: it answers on its interface, whoever asks"
        raise _can_not(what, "Leave query_from and recurse_from empty, or use the engine kea+bind.")
    ours = {domain.name for domain in state.domains if not domain.forward_to}
    for domain, record in _records(state):
        name = _absolute(domain, record)
        if "*" in record.name:
            raise _can_not(f"dnsmasq has no wildcard record as {name} is one", "Name each, or use the engine kea+bind.", name)
        if record.type == "CNAME" and not any(record.data == known or record.data.endswith(f".{known}") for known in ours):
            what = f"{name} is a CNAME of {record.data}, which is elsewhere: dnsmasq does not ask elsewhere for a CNAME"
            raise _can_not(what, "Give it an A or AAAA record, or use the engine kea+bind.", name)


def configuration(state: NetworkState, directory: Path) -> list[str]:
    """The lines of dnsmasq.conf about DNS: what it reads at its start only."""
    lines = [
        "no-hosts",
        "no-resolv",
        "domain-needed",
        f"local-ttl={state.resolver.ttl}",
        f"hostsdir={directory / 'hosts.d'}",
        f"servers-file={directory / 'servers'}",
    ]
    for domain, record in _records(state):
        if not _in_hosts(state, domain, record):
            lines.append(_record(domain, record, _ttl(state, domain, record)))
    return lines


def servers(state: NetworkState) -> list[str]:
    """The lines of servers-file: who is asked for what. Read anew on SIGHUP."""
    forwarded = {domain.name: domain.forward_to for domain in state.domains if domain.forward_to}
    ours = {domain.name for domain in state.domains} | {network.domain for network in state.networks if network.domain}
    ours |= {host.domain for host in state.hosts if host.domain} | {state.default_domain}
    return [
        *(f"server={forwarder}" for forwarder in state.resolver.forwarders),
        *(f"server=/{name}/{address}" for name, addresses in sorted(forwarded.items()) for address in addresses),
        # ours alone: what is not known here is answered with NXDOMAIN and never asked elsewhere
        *(f"server=/{name}/" for name in sorted(ours - forwarded.keys())),
        *(f"rev-server={network.cidr}" for network in state.networks),
    ]


def hosts(state: NetworkState) -> dict[str, str]:
    """Lines of hostsdir: names and addresses, which give forward and reverse names.

    An address is in one line, whatever names it has, and the first of them is its reverse name: that of the machine, else that
    of the first record. They are told by the owner of the address, or by the address itself where nobody owns it.
    """
    names: defaultdict[str, list[str]] = defaultdict(list)
    owners: dict[str, str] = {}
    for host in state.hosts:
        if host.name and _LABEL.fullmatch(host.name) and ADDRESS.fullmatch(host.address):
            names[host.address].append(f"{host.name}.{host.domain or state.default_domain}")
            owners.setdefault(host.address, host.owner)
    for domain, record in _records(state):
        if _in_hosts(state, domain, record):
            names[record.data].append(_absolute(domain, record))
    files: defaultdict[str, str] = defaultdict(str)
    for address, known in names.items():
        files[owners.get(address, address)] += f"{address} {' '.join(dict.fromkeys(known))}\n"
    return dict(files)


def _records(state: NetworkState) -> Iterator[tuple[Domain, Record]]:
    return ((domain, record) for domain in state.domains if not domain.forward_to for record in domain.records)


def _absolute(domain: Domain, record: Record) -> str:
    return domain.name if record.name == "@" else f"{record.name}.{domain.name}"


def _ttl(state: NetworkState, domain: Domain, record: Record) -> int:
    """``record.ttl``, else that of the domain, else that of everything."""
    return next(ttl for ttl in (record.ttl, domain.ttl, state.resolver.ttl) if ttl is not None)


def _in_hosts(state: NetworkState, domain: Domain, record: Record) -> bool:
    """Whether the record can be one of a hosts file, which has one time to live for all: that of ``local-ttl``."""
    address = record.type in ("A", "AAAA") and _ttl(state, domain, record) == state.resolver.ttl
    return address and bool(_NAME.fullmatch(_absolute(domain, record)) and ADDRESS.fullmatch(record.data))


def _record(domain: Domain, record: Record, ttl: int) -> str:
    name = _absolute(domain, record)
    if record.type in ("A", "AAAA"):
        return f"host-record={name},{ip_address(record.data)},{ttl}"
    if record.type == "CNAME":
        return f"cname={name},{record.data},{ttl}"
    if record.type == "PTR":
        return f"ptr-record={name},{record.data}"
    data = dns.rdata.from_text(dns.rdataclass.IN, record.type, record.data, origin=dns.name.root, relativize=False)
    return f"dns-rr={name},{int(data.rdtype)},{(data.to_wire() or b'').hex()}"


def _can_not(what: str, hint: str, name: str | None = None) -> Invalid:
    return Invalid("engine_can_not", f"{what}.", hint, engine="dnsmasq", name=name)
