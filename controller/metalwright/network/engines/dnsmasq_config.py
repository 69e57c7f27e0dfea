# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders dnsmasq's files. docs/reference/network-boot.md tells the rules of network boot that it follows, and their sources."""

from __future__ import annotations

import re
from collections import defaultdict
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from urllib.parse import urlsplit

from metalwright.config import Settings
from metalwright.network.model import Host, Network, NetworkState

FIRMWARE = {0: "bios", 20: "bios", 7: "efi64", 9: "efi64", 16: "efi64"}
"""Client system architecture (option 93, RFC 4578 and IANA) to the kind of loader it runs. 9 is sent by old x86-64 firmware.
Others get an address and no loader."""
LOADERS = {"bios": "undionly.kpxe", "efi64": "snponly.efi"}
"""snponly.efi drives the card through the firmware; ipxe.efi's own drivers hang on several cards."""

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def configuration(settings: Settings, state: NetworkState, directory: Path) -> str:
    """The text of dnsmasq.conf: everything that does not change with machines."""
    served = [network for network in state.networks if network.dhcp]
    lines = [
        "# Written by Metalwright: changes are overwritten.",
        *_process(settings, directory),
        *_dns(settings, state, directory),
        *(_dhcp(settings, served, directory) if served else ()),
        *(_boot(settings) if served else ()),
    ]
    return "\n".join(lines) + "\n"


def dhcp_hosts(state: NetworkState) -> dict[str, str]:
    """Files of dhcp-hostsdir, by machine: which card gets which address.

    No names here: a lease would carry the name on, and it would be answered long after the machine has lost it.
    """
    files: defaultdict[str, str] = defaultdict(str)
    for host in _valid(state):
        files[host.machine] += f"{host.mac},{host.address}\n"
    return dict(files)


def dns_hosts(settings: Settings, state: NetworkState) -> dict[str, str]:
    """Files of hostsdir, by machine: forward and reverse names."""
    files: defaultdict[str, str] = defaultdict(str)
    for host in _valid(state):
        if host.name and _LABEL.fullmatch(host.name):
            files[host.machine] += f"{host.address} {host.name}.{host.domain or settings.dns.domain}\n"
    return dict(files)


def _valid(state: NetworkState) -> list[Host]:
    """Hosts that are written to files line by line: nothing else may ever become part of a line."""
    return [host for host in state.hosts if _MAC.fullmatch(host.mac) and IPv4Address(host.address)]


def _process(settings: Settings, directory: Path) -> list[str]:
    return [
        f"interface={settings.dhcp.interface}",
        "except-interface=lo",
        "bind-interfaces",
        f"pid-file={directory / 'dnsmasq.pid'}",
        "log-facility=-",
    ]


def _dns(settings: Settings, state: NetworkState, directory: Path) -> list[str]:
    domains = sorted({network.domain or settings.dns.domain for network in state.networks} | {settings.dns.domain})
    return [
        "no-hosts",
        "no-resolv",
        "domain-needed",
        f"hostsdir={directory / 'hosts.d'}",
        *(f"server={forwarder}" for forwarder in settings.dns.forwarders),
        # ours alone: what is not known here is answered with NXDOMAIN and never asked elsewhere
        *(f"local=/{domain}/" for domain in domains),
        *(f"rev-server={network.cidr}" for network in state.networks),
    ]


def _dhcp(settings: Settings, served: list[Network], directory: Path) -> list[str]:
    lines = [
        "log-dhcp",
        f"dhcp-leasefile={directory / 'leases'}",
        f"dhcp-lease-max={sum(IPv4Network(network.cidr).num_addresses for network in served)}",
        f"dhcp-hostsdir={directory / 'dhcp-hosts.d'}",
        "dhcp-ignore-clid",  # firmware, iPXE and Linux call one machine by three client ids: its card is what it is known by
        "dhcp-ignore-names",  # a name is given by us, never taken
        "no-ping",  # the dynamic range is ours; asking whether it is would hold up every first boot for three seconds
        *(["dhcp-authoritative"] if settings.dhcp.authoritative else []),
    ]
    for network in served:
        cidr = IPv4Network(network.cidr)
        bounds = ",".join(network.dynamic) if network.dynamic else f"{cidr.network_address},static"
        options = f"dhcp-option=tag:{network.id},option"
        lines += [
            f"dhcp-range=set:{network.id},{bounds},{cidr.netmask},{settings.dhcp.lease_seconds}",
            f"{options}:router{',' + network.gateway if network.gateway else ''}",  # named without a value: not sent at all
            f"{options}:dns-server,{','.join(network.dns_servers) or '0.0.0.0'}",  # noqa: S104  dnsmasq's word for itself
            f"{options}:domain-name,{network.domain or settings.dns.domain}",
        ]
    return lines


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
            lines.append(f"dhcp-option-force={over_tftp},66,{_tftp_server(settings)}")
    return lines


def _boot_file(tags: str, name: str) -> list[str]:
    return [f"dhcp-boot={tags},{name}", f"dhcp-option-force={tags},67,{name}"]


def _tftp_server(settings: Settings) -> str:
    """Option 66 is text, so dnsmasq can not fill in its own address as it does for next-server."""
    host = settings.tftp.listen.rpartition(":")[0]
    return host if host and host != "0.0.0.0" else urlsplit(settings.node.url).hostname or host  # noqa: S104
