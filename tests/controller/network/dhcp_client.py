# SPDX-License-Identifier: GPL-3.0-or-later
"""A DHCP client of bare packets that can be any firmware, and the network namespace it shares with a server."""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

DISCOVER, OFFER, REQUEST, ACK, NAK, RELEASE = 1, 2, 3, 5, 6, 7
_WANTED = bytes([1, 3, 6, 12, 15, 43, 54, 60, 66, 67, 175])


def ip(*arguments: str) -> None:
    """The command ip(8)."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class NetworkNamespace:
    """A network namespace with nothing but its loopback in it."""

    def __init__(self) -> None:
        self.name = f"mwtest-{secrets.token_hex(4)}"
        ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments: str) -> None:
        """The command ip(8) in the namespace."""
        ip("-n", self.name, *arguments)

    def remove(self) -> None:
        ip("netns", "delete", self.name)

    def command(self, command: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, act: Callable[[], T]) -> T:
        """Call something in the namespace: a thread enters it and ends with it. Sockets made there stay there."""
        outcome: list[T] = []
        failure: list[BaseException] = []

        def enter() -> None:
            try:
                descriptor = os.open(Path("/run/netns") / self.name, os.O_RDONLY)
                try:
                    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                finally:
                    os.close(descriptor)
                outcome.append(act())
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]


class Namespace(NetworkNamespace):
    """A network namespace with one cable in it: ``server`` has addresses, ``client`` has none."""

    def __init__(self, *addresses: str) -> None:
        super().__init__()
        self.ip("link", "add", "server", "type", "veth", "peer", "name", "client")
        for address in addresses:
            self.ip("address", "add", address, "dev", "server")
        for device in ("server", "client"):
            self.ip("link", "set", device, "up")

    def settle(self) -> None:
        """Give both ends a link-local address that may be used at once."""
        for number, device in enumerate(("server", "client"), 1):
            self.ip("link", "set", device, "addrgenmode", "none")
            self.ip("address", "add", f"fe80::{number}/64", "dev", device, "nodad")


@dataclass
class Answer:
    """What a server said: the BOOTP fields and the options by number."""

    kind: int
    address: str
    next_server: str
    file: str
    options: dict[int, bytes] = field(default_factory=dict)

    def text(self, option: int) -> str | None:
        found = self.options.get(option)
        return None if found is None else found.rstrip(b"\0").decode()

    def addresses(self, option: int) -> list[str]:
        found = self.options.get(option, b"")
        return [socket.inet_ntoa(found[i : i + 4]) for i in range(0, len(found), 4)]


class DhcpClient:
    """Speaks from the ``client`` end of the cable; the functions below give the options that tell firmware apart."""

    def __init__(self, namespace: NetworkNamespace, device: str = "client") -> None:
        self.device = device
        self.had: dict[str, str] = {}
        self.sock = namespace.run(self._open)

    def _open(self) -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        sock.bind((self.device, 0x0800))
        sock.settimeout(5)
        return sock

    def close(self) -> None:
        self.sock.close()

    def ask(
        self, mac: str, kind: int = DISCOVER, *, patience: float = 5, ciaddr: str = "0.0.0.0", **options: object
    ) -> Answer | None:
        """Send one message and wait for its answer. Options are named ``o60=b"..."``. None: no answer within ``patience``."""
        chosen = {53: bytes([kind]), 55: _WANTED} | {int(name[1:]): value for name, value in options.items()}
        xid = secrets.randbits(32)
        self.send(self.message(mac, chosen, xid=xid, ciaddr=ciaddr))
        self.sock.settimeout(patience)
        while True:
            try:
                packet = self.sock.recv(2048)
            except TimeoutError:
                return None
            if packet[23] == 17 and struct.unpack_from("!H", packet, 36)[0] == 68:
                payload = packet[42:]
                if struct.unpack_from("!I", payload, 4)[0] == xid:
                    return _parse(payload)

    @staticmethod
    def message(mac: str, options: dict[int, bytes], *, xid: int = 1, ciaddr: str = "0.0.0.0") -> bytes:
        """A BOOTREQUEST that asks for its answer to be broadcast."""
        hardware = bytes.fromhex(mac.replace(":", ""))
        fixed = (1, 1, 6, 0, xid, 0, 0x8000, socket.inet_aton(ciaddr), *[bytes(4)] * 3, hardware, 0x63825363)
        packed = b"".join(bytes([code, len(value)]) + value for code, value in options.items())
        return struct.pack("!BBBBIHH4s4s4s4s16s192xI", *fixed) + packed + b"\xff"

    def send(self, payload: bytes) -> None:
        """Broadcast a datagram from port 68 to port 67, from no address."""
        self.sock.send(_frame(payload))

    def release(self, mac: str, server: str) -> None:
        """Give the lease up that was had last (RFC 2131 section 4.4.6)."""
        options = {53: bytes([RELEASE]), 54: socket.inet_aton(server)}
        self.send(self.message(mac, options, ciaddr=self.had[mac]))

    def lease(self, mac: str, **options: object) -> Answer:
        """DISCOVER and REQUEST."""
        offer = self.ask(mac, **options)
        assert offer is not None
        assert offer.kind == OFFER
        acknowledged = self.ask(mac, REQUEST, o50=socket.inet_aton(offer.address), o54=offer.options[54], **options)
        assert acknowledged is not None
        self.had[mac] = acknowledged.address
        return acknowledged


def pxe(arch: int) -> dict[str, bytes]:
    """PXE firmware (RFC 4578)."""
    vendor = f"PXEClient:Arch:{arch:05d}:UNDI:003016".encode()
    return {"o60": vendor, "o93": struct.pack("!H", arch), "o94": b"\1\3\x10", "o97": b"\0" + bytes(16), "o61": b"\0" + bytes(16)}


def http(arch: int) -> dict[str, bytes]:
    """UEFI firmware that boots over HTTP."""
    return pxe(arch) | {"o60": f"HTTPClient:Arch:{arch:05d}:UNDI:003016".encode()}


def ipxe(arch: int) -> dict[str, bytes]:
    """iPXE, started by firmware of that architecture."""
    return pxe(arch) | {"o77": b"iPXE", "o175": b"\x13\1\1\x18\1\1\xb1\5\1\x80\x86\x10\x0e", "o61": b"\1\2\3\4\5\6\7"}


def _frame(payload: bytes) -> bytes:
    udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    total = sum(struct.unpack("!10H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:]
    return b"\xff" * 6 + b"\x52\x54\0\0\0\1" + b"\x08\0" + header + udp


def _parse(payload: bytes) -> Answer:
    fields = {}
    at = 240
    while payload[at] != 255:
        if payload[at] == 0:
            at += 1
            continue
        code, length = payload[at], payload[at + 1]
        fields[code] = payload[at + 2 : at + 2 + length]
        at += 2 + length
    file = payload[108:236].split(b"\0")[0].decode()
    return Answer(fields[53][0], socket.inet_ntoa(payload[16:20]), socket.inet_ntoa(payload[20:24]), file, fields)
