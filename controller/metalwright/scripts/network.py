#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
# --- metalwright
# name: network
# kind: test
# title: Reaches the controller, the gateway and the name servers
# timeout: 2m
# parallel: true
# automatic: true
# parameters:
#   tries: {type: int, default: 5, description: How often each is asked; the median of the times counts.}
# ---
"""Asks the controller's node plane by HTTP, the gateway by ICMP and every name server for the root, and takes the times.

Fails if one try at the controller fails, if the gateway that DHCP named answers neither ICMP nor ARP, or if no name server of
those that DHCP named answers anything at all. Result: ``{"controller", "gateway", "dns"}`` with times in milliseconds.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SECONDS = 3.0
"""To wait for each answer."""
_ROUTE_UP_GATEWAY = 0x3
_ARP_COMPLETE = 0x2
_NS = 2


def main() -> int:
    """Return the exit status."""
    tries = max(int(os.environ.get("METALWRIGHT_PARAM_TRIES", "5")), 1)
    url = os.environ["METALWRIGHT_URL_BASE"]
    controller = {"url": url, **times(partial(ask_controller, url), tries)}
    address = gateway(Path("/proc/net/route").read_text(encoding="ascii"))
    routed = {"address": address, **times(partial(ping, address), tries)} if address else None
    if routed and not routed["answers"]:
        routed["arp"] = answers_arp(Path("/proc/net/arp").read_text(encoding="ascii"), routed["address"])
    servers = name_servers(Path("/etc/resolv.conf"))
    dns = [{"address": server, **times(partial(ask_name_server, server), tries)} for server in servers]
    found = {"controller": controller, "gateway": routed, "dns": dns}
    for name, told in (("controller", controller), ("gateway", routed), *(("name server", each) for each in dns)):
        print(f"{name}: {json.dumps(told)}" if told else f"{name}: there is none")
    if result := os.environ.get("METALWRIGHT_RESULT"):
        Path(result).write_text(json.dumps(found), encoding="utf-8")
    problems = verdict(found)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def verdict(found: dict[str, Any]) -> list[str]:
    """What is wrong, in sentences; nothing if the network is good enough."""
    problems = []
    controller, routed, dns = found["controller"], found["gateway"], found["dns"]
    if controller["answers"] < controller["tries"]:
        problems.append(f"The controller answered {controller['answers']} of {controller['tries']} times: {controller['error']}")
    if routed and not routed["answers"] and not routed["arp"]:
        problems.append(f"The gateway {routed['address']} does not answer: {routed['error']}")
    if dns and not any(server["answers"] for server in dns):
        problems.append(f"No name server answers: {', '.join(server['address'] for server in dns)}")
    return problems


def times(ask: Callable[[], None], tries: int) -> dict[str, Any]:
    """Ask some times; ``ms`` is the median of those that were answered, ``error`` the last reason of those that were not."""
    taken, why = [], ""
    for _ in range(tries):
        began = time.monotonic()
        try:
            ask()
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
        else:
            taken.append((time.monotonic() - began) * 1000)
    median = round(statistics.median(taken), 2) if taken else None
    return {"tries": tries, "answers": len(taken), "ms": median, "error": why}


def ask_controller(url: str) -> None:
    """Fetch the first boot script, which every machine may have. Raises ``OSError``."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=SECONDS)
    try:
        connection.request("GET", "/boot/start.ipxe")
        answer = connection.getresponse()
        if answer.status != 200 or not answer.read():
            raise OSError(f"HTTP {answer.status} {answer.reason}")
    finally:
        connection.close()


def gateway(table: str) -> str | None:
    """The default gateway, by ``/proc/net/route``: addresses are in hexadecimal, in the order of the host's bytes (proc(5))."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if (
            len(fields) > 7
            and fields[1] == fields[7] == "00000000"
            and int(fields[3], 16) & _ROUTE_UP_GATEWAY == _ROUTE_UP_GATEWAY
        ):
            return socket.inet_ntoa(struct.pack("=I", int(fields[2], 16)))
    return None


def answers_arp(table: str, address: str) -> bool:
    """Whether the neighbour's hardware address is known, by ``/proc/net/arp``: it is there, but may not answer ICMP."""
    rows = (line.split() for line in table.splitlines()[1:])
    return any(len(row) > 3 and row[0] == address and int(row[2], 16) & _ARP_COMPLETE for row in rows)


def ping(address: str) -> None:
    """An ICMP echo and its answer (RFC 792). Raises ``OSError``."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as peer:
        peer.settimeout(SECONDS)
        mark = secrets.token_bytes(16)
        identifier, until = secrets.randbits(16), time.monotonic() + SECONDS
        head = struct.pack("!BBHHH", 8, 0, 0, identifier, 1)
        sum_ = checksum(head + mark)
        peer.sendto(struct.pack("!BBHHH", 8, 0, sum_, identifier, 1) + mark, (address, 0))
        while time.monotonic() < until:
            packet, (source, _) = peer.recvfrom(1024)
            body = packet[(packet[0] & 15) * 4 :]
            if source == address and body[:1] == b"\0" and body[8:] == mark:
                return
    raise TimeoutError("timed out")


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def name_servers(path: Path) -> list[str]:
    """The name servers of a resolv.conf(5)."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return [words[1] for words in map(str.split, lines) if len(words) > 1 and words[0] == "nameserver"]


def ask_name_server(address: str, port: int = 53) -> None:
    """Ask for the servers of the root (RFC 1035); any answer will do, a refusal too. Raises ``OSError``."""
    family, _, _, _, target = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.settimeout(SECONDS)
        peer.connect(target)
        mark = secrets.token_bytes(2)
        peer.send(mark + struct.pack("!HHHHHxHH", 0x0100, 1, 0, 0, 0, _NS, 1))
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            answer = peer.recv(4096)
            if answer[:2] == mark and len(answer) >= 12 and answer[2] & 0x80:
                return
    raise TimeoutError("timed out")


if __name__ == "__main__":
    sys.exit(main())
