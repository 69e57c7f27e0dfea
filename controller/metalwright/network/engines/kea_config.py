# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the configuration of Kea's two servers, ``kea-dhcp4`` and ``kea-dhcp6`` (2.2), as JSON, a reservation in a line."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Literal

from metalwright.config import Settings
from metalwright.network.engines import kea_classes, kea_options
from metalwright.network.engines.own_addresses import Interfaces
from metalwright.network.model import Host, Network, NetworkState

HOOKS = next(Path("/usr/lib").glob("*/kea/hooks"), Path("/usr/lib/kea/hooks"))
RESERVATION = '"hw-address"'
"""What a reservation begins with."""
_OPEN = ("Dhcp4", "Dhcp6", "shared-networks", "client-classes", "loggers")

Family = Literal[4, 6]


def text(settings: Settings, state: NetworkState, family: Family, ours: Interfaces, directory: Path) -> str:
    """What one of the servers reads. ``ours`` are the addresses on the interface it serves."""
    own = [interface for interface in ours if interface.version == family]
    served = [network for network in state.networks if network.dhcp and network.family == family]
    hosts = _by_network(state, served)
    numbers = subnet_ids(state.networks)
    near: list[dict[str, Any]] = []
    far: list[dict[str, Any]] = []
    for network in served:
        cidr = ip_network(network.cidr)
        here = next((str(interface.ip) for interface in own if interface.ip in cidr), None)
        first = str(own[0].ip) if own else None
        rendered = {"id": numbers[network.id]} | _subnet(network, state, hosts[network.id], here or first)
        (near if here else far).append(rendered)
    config = _server(settings, family, served, own, directory)
    if settings.hot_standby.role:
        config["hooks-libraries"].append({"library": str(HOOKS / "libdhcp_ha.so"), "parameters": hot_standby(settings, family)})
        config["multi-threading"] = {"enable-multi-threading": True}  # without it the two would need kea-ctrl-agent
    if family == 4:
        config |= {"match-client-id": False, "authoritative": settings.dhcp.authoritative}
        config["client-classes"] = kea_classes.boot(settings)
    else:
        config |= {"data-directory": str(directory), "preferred-lifetime": settings.dhcp.lease_seconds}
        config |= {"mac-sources": ["client-link-addr-option", "ipv6-link-local", "duid"]}
    link = {"interface": settings.dhcp.interface}
    if len(near) > 1:
        config["shared-networks"] = [{"name": "link"} | link | {f"subnet{family}": near}]
        near = []
    config[f"subnet{family}"] = [*(link | subnet for subnet in near), *far]
    return f"// Written by Metalwright: changes are overwritten.\n{_written({f'Dhcp{family}': config})}\n"


def skeleton(rendered: str) -> list[str]:
    """Everything but the reservations."""
    return [
        line.partition('"reservations"')[0] for line in rendered.splitlines() if not line.lstrip().startswith(f"{{{RESERVATION}")
    ]


def subnet_ids(networks: Iterable[Network]) -> dict[str, int]:
    """The number of each subnet in Kea's configuration and lease file, by ``Network.id``: the same for as long as it exists.

    That of an IPv4 subnet is its first address; that of an IPv6 subnet a checksum of it, or the next number that is free.
    """
    numbers: dict[str, int] = {}
    for network in networks:
        first = ip_network(network.cidr).network_address
        number = int(first) if network.family == 4 else zlib.crc32(first.packed)
        while number in numbers.values() or not 0 < number < 0xFFFFFFFF:
            number = (number + 1) % 0xFFFFFFFF
        numbers[network.id] = number
    return numbers


def _server(settings: Settings, family: Family, served: list[Network], own: Interfaces, directory: Path) -> dict[str, Any]:
    """What does not depend on subnets.

    DHCPv4 listens on one address: with a raw socket for each, every broadcast would be answered as often as there are addresses.
    """
    interface = settings.dhcp.interface
    name = f"kea-dhcp{family}"
    output = [{"output": "stdout", "pattern": "%-5p %m\n"}]
    return {
        "interfaces-config": {
            "interfaces": [f"{interface}/{own[0].ip}" if own else interface] if served else [],
            "service-sockets-max-retries": 20,
            "service-sockets-retry-wait-time": 250,
        },
        "control-socket": {"socket-type": "unix", "socket-name": str(directory / f"{name}.sock")},
        "lease-database": {
            "type": "memfile",
            "persist": True,
            "name": str(directory / f"leases{family}.csv"),
            "lfc-interval": 3600,
        },
        "sanity-checks": {"lease-checks": "fix-del"},
        "valid-lifetime": settings.dhcp.lease_seconds,
        "calculate-tee-times": True,
        "host-reservation-identifiers": ["hw-address"],
        "reservations-global": False,
        "reservations-in-subnet": True,
        "reservations-out-of-pool": True,  # pools are cut around reserved addresses, so the others need not be looked up
        "ddns-send-updates": False,
        "hooks-libraries": [{"library": str(HOOKS / "libdhcp_lease_cmds.so")}],
        "multi-threading": {"enable-multi-threading": False},
        "loggers": [
            {"name": name, "severity": "INFO", "output_options": output},
            {"name": f"{name}.eval", "severity": "WARN", "output_options": output},  # a line for each class of each packet
            {"name": f"{name}.bad-packets", "severity": "DEBUG", "debuglevel": 50, "output_options": output},
        ],
    }


def hot_standby(settings: Settings, family: Family) -> dict[str, Any]:
    """The parameters of ``libdhcp_ha``: the standby takes over when the primary has not answered for ``max-response-delay``.

    Reading a configuration again makes a server ask its partner how things stand before it answers clients, at the next
    heartbeat; so that one is soon.
    """
    pair = settings.hot_standby
    port = pair.port if family == 4 else pair.port + 1
    peers = []
    for role, address in (("primary", pair.primary), ("standby", pair.standby)):
        host = f"[{address}]" if ":" in address else address
        peers.append({"name": role, "url": f"https://{host}:{port}/", "role": role, "auto-failover": True})
    return {
        "high-availability": [
            {
                "this-server-name": pair.role,
                "mode": "hot-standby",
                "heartbeat-delay": 500,
                "max-response-delay": 5000,
                "max-ack-delay": 5000,
                "max-unacked-clients": 0,
                "trust-anchor": str(pair.ca),
                "cert-file": str(pair.cert),
                "key-file": str(pair.key),
                "require-client-certs": True,
                "multi-threading": {"enable-multi-threading": True, "http-dedicated-listener": True},
                "peers": peers,
            }
        ]
    }


def _by_network(state: NetworkState, served: list[Network]) -> Mapping[str, list[Host]]:
    """The addresses that belong to someone, by the subnet they lie in."""
    known = {network.id for network in served}
    found: defaultdict[str, list[Host]] = defaultdict(list)
    for host in state.hosts:
        if host.network in known:
            found[host.network or ""].append(host)
        elif host.network is None:
            address = ip_address(host.address)
            for network in served:
                if address in ip_network(network.cidr):
                    found[network.id].append(host)
    return found


def _subnet(network: Network, state: NetworkState, hosts: list[Host], ours: str | None) -> dict[str, Any]:
    subnet: dict[str, Any] = {"subnet": network.cidr, "user-context": {"name": network.name}}
    if network.relays:
        subnet["relay"] = {"ip-addresses": list(network.relays)}
    if network.family == 4 and ours:
        subnet["next-server"] = ours
    subnet["pools"] = [{"pool": f"{first} - {last}"} for first, last in _pools(network, hosts)]
    subnet["option-data"] = kea_options.of_network(network, state, ours)
    subnet["reservations"] = _reservations(network, hosts)
    return subnet


def _pools(network: Network, hosts: list[Host]) -> list[tuple[str, str]]:
    """The dynamic ranges without the addresses that belong to someone."""
    family = AF_INET if network.family == 4 else AF_INET6
    taken = sorted(int.from_bytes(inet_pton(family, host.address)) for host in hosts) if network.dynamic else []
    make: type[IPv4Address] | type[IPv6Address] = IPv4Address if network.family == 4 else IPv6Address
    pieces = []
    for first, last in network.dynamic:
        start, end = int(make(first)), int(make(last))
        inside = taken[bisect_left(taken, start) : bisect_right(taken, end)]
        for address in inside:
            if start < address:
                pieces.append((str(make(start)), str(make(address - 1))))
            start = address + 1
        if start <= end or not inside:
            pieces.append((str(make(start)), last))
    return pieces


def _reservations(network: Network, hosts: list[Host]) -> list[dict[str, Any]]:
    """One for each card: of an IPv4 subnet it has one address, the first; of an IPv6 subnet any number."""
    found: dict[str, dict[str, Any]] = {}
    for host in hosts:
        if host.mac is None:
            continue
        one = found.setdefault(host.mac, {"hw-address": host.mac})
        if network.family == 4:
            one.setdefault("ip-address", host.address)
        else:
            one.setdefault("ip-addresses", []).append(host.address)
        if mine := [option for option in host.options if option.family == network.family]:
            one["option-data"] = kea_options.rendered(mine)
    return list(found.values())


def _written(value: Any, key: str = "", indent: str = "") -> str:
    """JSON whose lists of things have one thing in a line."""
    deeper = f"{indent}  "
    if isinstance(value, dict) and (not key or key in _OPEN or "reservations" in value):
        inner = (f"{deeper}{json.dumps(name)}: {_written(each, name, deeper)}" for name, each in value.items())
        return "{\n" + ",\n".join(inner) + f"\n{indent}}}"
    if key == "reservations":  # all at once, for there may be ten thousand
        lines = json.dumps(value)[1:-1].replace(f"}}, {{{RESERVATION}", f"}},\n{deeper}{{{RESERVATION}")
        return "[\n" + (f"{deeper}{lines}\n" if value else "") + f"{indent}]"
    if isinstance(value, list) and value and (key in _OPEN or key.startswith("subnet")):
        inner = (f"{deeper}{_written(each, key, deeper)}" for each in value)
        return "[\n" + ",\n".join(inner) + f"\n{indent}]"
    return json.dumps(value)
