# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP connections of the webhook power driver and of webhooks. None leads to a link-local address (RFC 3927, RFC 4291 section
2.5.6): clouds give out their secrets at 169.254.169.254 to whoever can have a request sent from the host."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from typing import Any


class LinkLocal(OSError):
    """The name leads to a link-local address; nothing was sent."""

    def __init__(self, host: str, number: str) -> None:
        super().__init__(f"{host} is the link-local address {number}, to which nothing is sent")


def is_link_local(host: str) -> bool:
    """Whether it is such an address, written as a number; a name is not until it is resolved."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_link_local


def connect(host: str, port: int | None, timeout: float | None) -> socket.socket:
    """Connect by TCP to the first address of ``host`` that answers within ``timeout`` seconds.

    Raises ``LinkLocal`` before anything is sent if one of its addresses is link-local, ``OSError`` if none answers.
    """
    numbers = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for number in numbers:
        if is_link_local(number):
            raise LinkLocal(host, number)
    for number in numbers[:-1]:
        try:
            return _connected(number, port, timeout)
        except OSError:
            continue  # the last one says why
    return _connected(numbers[-1], port, timeout)


def _connected(number: str, port: int | None, timeout: float | None) -> socket.socket:
    made = socket.create_connection((number, port), timeout)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a body waits 40 ms for the head to be acknowledged
    return made


class Plain(http.client.HTTPConnection):
    """HTTP over ``connect``."""

    def connect(self) -> None:
        self.sock = connect(self.host, self.port, self.timeout)


class Secure(http.client.HTTPSConnection):
    """HTTPS over ``connect``; ``context`` has to be given."""

    def __init__(self, host: str, /, **options: Any) -> None:
        super().__init__(host, **options)
        self._tls: ssl.SSLContext = options["context"]

    def connect(self) -> None:
        self.sock = self._tls.wrap_socket(connect(self.host, self.port, self.timeout), server_hostname=self.host)
