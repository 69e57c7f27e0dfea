# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets of single machines that are dropped inside a lab, by rules of nftables in its network namespace."""

from __future__ import annotations

import subprocess

DHCP = "udp dport 67"
TFTP = "udp dport 69"
NODE_PLANE = "tcp dport 5248"
EVERYTHING = ""


class Wall:
    """Stands between the machines of a lab and its controller. ``namespace`` is the lab's."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def block(self, mac: str, *matches: str) -> None:
        """Drop what the machine sends, as far as it fits one of these (matches of nft(8))."""
        table = _table(mac)
        self._nft(f"add table ip {table}")
        self._nft(f"add chain ip {table} input {{ type filter hook input priority 0; }}")
        for match in matches:
            self._nft(f"add rule ip {table} input ether saddr {mac} {match} drop")

    def open(self, mac: str) -> None:
        """Let everything of the machine through again."""
        table = _table(mac)
        self._nft(f"add table ip {table}")  # so that there is one to delete
        self._nft(f"delete table ip {table}")

    def _nft(self, rule: str) -> None:
        subprocess.run(["ip", "netns", "exec", self._namespace, "nft", rule], check=True)


def _table(mac: str) -> str:
    return "of_" + mac.replace(":", "")
