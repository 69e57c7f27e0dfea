# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of this host on one network interface."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from metalwright.errors import Unavailable

Interfaces = Sequence[IPv4Interface | IPv6Interface]


def on_interface(name: str) -> Interfaces:
    """All of them, in the kernel's order: IPv4 first, link-local ones last, and what packets are sent from before the others.

    Raises ``Unavailable`` (``interface_missing``) if there is no such interface, or it has none but link-local ones.
    """
    done = subprocess.run(["ip", "-j", "address", "show", "dev", name], capture_output=True, text=True, check=False)
    entries = json.loads(done.stdout) if done.returncode == 0 else []
    found = [ip_interface(f"{info['local']}/{info['prefixlen']}") for entry in entries for info in entry.get("addr_info", ())]
    if all(each.is_link_local for each in found):
        words = done.stderr.strip() or "it has no address"
        message = f"DHCP and DNS can not be served on the network interface {name}: {words}."
        raise Unavailable("interface_missing", message, "Bring it up, or mend [dhcp] interface.", interface=name)
    return sorted(found, key=lambda each: (each.is_link_local, each.version))
