# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders dnsmasq's files for DHCP. docs/reference/network-boot.md tells the rules of network boot that it follows, and their
sources; docs/reference/network-engines.md what dnsmasq can and can not do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from metalwright.config import Settings
from metalwright.network.engines import dnsmasq_options as options
from metalwright.network.engines.boot import FIRMWARE, LOADERS, tftp_server
from metalwright.network.model import Host, Network, NetworkState

_MOST_LEASES = 1 << 20

ADDRESS = re.compile(r"[0-9a-f:.]+")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def configuration(settings: Settings, state: NetworkState, directory: Path, ours: frozenset[str]) -> list[str]:
    """The lines of dnsmasq.conf about DHCP and network boot: what it reads at its start only.

    ``ours`` are the addresses of this host: where one of them is the gateway of an IPv6 subnet, dnsmasq advertises itself.
    """
    served = [network for network in state.networks if network.dhcp]
    lines = [
        f"interface={settings.dhcp.interface}",
        "except-interface=lo",
        "bind-interfaces",
        f"pid-file={directory / 'dnsmasq.pid'}",
        "log-facility=-",
    ]
    if served:
        lines += [*_dhcp(settings, served, directory), *_advertisements(settings, served, ours), *_tags(state), *_boot(settings)]
    return lines


def subnets_served(text: str) -> set[IPv4Network | IPv6Network]:
    """The subnets in which a dnsmasq with this dnsmasq.conf gives addresses."""
    ranges = (line.split(",") for line in text.splitlines() if line.startswith("dhcp-range="))
    return {ip_network(f"{first}/{size}", strict=False) for _, first, _, size, _ in ranges}


def dhcp_options(state: NetworkState) -> list[str]:
    """The lines of dhcp-optsfile: what clients are told beside their address. Read anew on SIGHUP.

    An option of a host goes before one of its subnet, and one of the subnet before what follows from its other fields.
    """
    lines = []
    for network in state.networks:
        if not network.dhcp:
            continue
        told = _told_4(network, state) if network.family == 4 else _told_6(network, state)
        own = {option.code: options.value(option) for option in network.options}
        name = options.name(network.family)
        lines += [f"tag:{network.id},{name}{code}{value}" for code, value in sorted({**told, **own}.items())]
    for host in _with_options(state):
        tagged = f"tag:{_tag(host)},"
        lines += [f"{tagged}{options.name(option.family)}{option.code}{options.value(option)}" for option in host.options]
    return lines


def dhcp_hosts(state: NetworkState) -> dict[str, str]:
    """Lines of dhcp-hostsfile and dhcp-hostsdir, by owner: which card gets which address.

    No names here: a lease would carry the name on, and it would be answered long after the machine has lost it.
    """
    files: defaultdict[str, str] = defaultdict(str)
    for host in _fixed(state.hosts):
        address = f"[{host.address}]" if ":" in host.address else host.address
        files[host.owner] += f"{host.mac},{address}\n"
    return dict(files)


def _fixed(hosts: Iterable[Host]) -> list[Host]:
    """Hosts that DHCP gives an address, written to files line by line: nothing else may ever become part of a line."""
    return [host for host in hosts if host.mac and _MAC.fullmatch(host.mac) and ADDRESS.fullmatch(host.address)]


def _with_options(state: NetworkState) -> list[Host]:
    return _fixed(host for host in state.hosts if host.options)


def _tags(state: NetworkState) -> list[str]:
    """Tags of the hosts that have options of their own.

    They are not set where the address is: dnsmasq before 2.91 dies of a SIGHUP when a host that it reads anew has a tag.
    """
    return sorted({f"dhcp-mac=set:{_tag(host)},{host.mac}" for host in _with_options(state)})


def _tag(host: Host) -> str:
    return f"host-{(host.mac or '').replace(':', '')}"


def _dhcp(settings: Settings, served: list[Network], directory: Path) -> list[str]:
    lines = [
        "log-dhcp",
        f"dhcp-leasefile={directory / 'leases'}",
        f"dhcp-lease-max={_MOST_LEASES}",  # it does not start with more in its file, and those of former subnets count
        f"dhcp-hostsfile={directory / 'dhcp-hosts'}",
        f"dhcp-hostsdir={directory / 'dhcp-hosts.d'}",
        f"dhcp-optsfile={directory / 'dhcp-options'}",
        "dhcp-ignore-clid",  # firmware, iPXE and Linux call one machine by three client ids: its card is what it is known by
        "dhcp-ignore-names",  # a name is given by us, never taken
        "no-ping",  # the dynamic range is ours; asking whether it is would hold up every first boot for three seconds
        *(["dhcp-authoritative"] if settings.dhcp.authoritative else []),
    ]
    for network in served:
        cidr = ip_network(network.cidr)
        size = cidr.prefixlen if isinstance(cidr, IPv6Network) else cidr.netmask
        ranges = [f"{first},{last}" for first, last in network.dynamic] or [f"{cidr.network_address},static"]
        lines += [f"dhcp-range=set:{network.id},{bounds},{size},{settings.dhcp.lease_seconds}" for bounds in ranges]
        lines += [f"shared-network={relay},{cidr.network_address}" for relay in network.relays if ip_address(relay) not in cidr]
    return lines


def _advertisements(settings: Settings, served: list[Network], ours: frozenset[str]) -> list[str]:
    """Router advertisements of the IPv6 subnets: addresses come from DHCP (the M flag), routes from the router itself.

    An advertisement names its sender as the router and nobody else (RFC 4861 section 4.2), so it does so where the gateway is
    this host, and has a lifetime of zero elsewhere.
    """
    subnets = [network for network in served if network.family == 6]
    if not subnets:
        return []
    mtu = min((network.mtu for network in subnets if network.mtu), default=None)
    router = "" if any(network.gateway in ours for network in subnets) else ",0"
    return ["enable-ra", f"ra-param={settings.dhcp.interface},{f'mtu:{mtu},' if mtu else ''}0{router}"]


def _told_4(network: Network, state: NetworkState) -> dict[int, str]:
    search = list(network.search)
    told = {
        3: f",{network.gateway}" if network.gateway else "",  # named without a value: not sent at all
        6: f",{','.join(network.dns_servers) or '0.0.0.0'}",  # noqa: S104  dnsmasq's word for itself
        15: f",{network.domain or state.default_domain}",
    }
    told |= {26: f",{network.mtu}"} if network.mtu else {}
    told |= {42: f",{','.join(network.ntp_servers)}"} if network.ntp_servers else {}
    return told | ({119: f",{','.join(search)}"} if search else {})


def _told_6(network: Network, state: NetworkState) -> dict[int, str]:
    def addresses(servers: tuple[str, ...]) -> str:
        return "".join(f",[{server}]" for server in servers if ":" in server)

    search = network.search or (network.domain or state.default_domain,)
    told = {23: addresses(network.dns_servers) or ",[::]", 24: f",{','.join(search)}"}
    if times := addresses(network.ntp_servers):
        told |= {31: times, 56: options.suboptions_of_ntp(network.ntp_servers)}
    return told


def _boot(settings: Settings) -> list[str]:
    url = settings.node.url.rstrip("/")
    lines = ["dhcp-match=set:ipxe,175", "dhcp-userclass=set:ipxe,iPXE", "dhcp-vendorclass=set:http,HTTPClient"]
    lines += [f"dhcp-match=set:{firmware},option:client-arch,{code}" for code, firmware in FIRMWARE.items()]
    lines.append("dhcp-no-override")  # the BOOTP fields stay what they are; the options are sent beside them
    lines += _boot_file("tag:ipxe", f"{url}/boot/start.ipxe")
    lines.append("dhcp-option-force=tag:ipxe,encap:175,176,1b")  # no-pxedhcp: do not wait for a proxy that is not there
    for firmware, loader in LOADERS.items():
        over_http = f"tag:!ipxe,tag:http,tag:{firmware}"
        lines += _boot_file(over_http, f"{url}/boot/loaders/{loader}")
        lines.append(f"dhcp-option-force={over_http},60,HTTPClient")
        if settings.tftp.listen:
            over_tftp = f"tag:!ipxe,tag:!http,tag:{firmware}"
            lines += _boot_file(over_tftp, loader)
            lines.append(f"dhcp-option-force={over_tftp},66,{tftp_server(settings)}")
    return lines


def _boot_file(tags: str, name: str) -> list[str]:
    return [f"dhcp-boot={tags},{name}", f"dhcp-option-force={tags},67,{name}"]
