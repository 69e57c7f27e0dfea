# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers the question for an IPv6 router: there is none here.

iPXE configures IPv4 and IPv6 side by side and goes on when both have come to an end. On a network without an IPv6 router it asks
for one for 15 seconds, at every start, although DHCP has told it everything after one. An advertisement with a router lifetime of
zero, no prefix and no flags ends that at once (iPXE, ``net/ndp.c``) and tells any other host nothing: its sender is no default
router (RFC 4861 section 4.2), and what a real router advertises stays as it is.

Only those who ask are answered, each by itself.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from metalwright.errors import Unavailable

_ALL_ROUTERS = "ff02::2"
_ALL_NODES = "ff02::1"
_SOLICITATION, _ADVERTISEMENT = 133, 134
_ICMP6_FILTER = 1
_HOP_LIMIT = 255  # RFC 4861 section 6.1: proof that a packet was sent on this link
_ANSWER = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0)  # the kernel fills in the checksum


def open_socket(interface: str) -> socket.socket | None:
    """The socket to answer from, bound to one network interface; needs CAP_NET_RAW. None on a host without IPv6.

    Raises ``Unavailable`` (``interface_missing``, ``port_refused``).
    """
    if not socket.has_ipv6:
        return None
    try:
        opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    except PermissionError:
        hint = "Run it as root, or set AmbientCapabilities=CAP_NET_RAW in the service unit."
        raise Unavailable("port_refused", "This user may not answer router solicitations.", hint) from None
    except OSError:
        return None
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        blocked = [0xFFFFFFFF] * 8
        blocked[_SOLICITATION // 32] &= ~(1 << (_SOLICITATION % 32))
        opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *blocked))
        group = socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS) + struct.pack("=I", socket.if_nametoindex(interface))
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        for option in (socket.IPV6_UNICAST_HOPS, socket.IPV6_MULTICAST_HOPS):
            opened.setsockopt(socket.IPPROTO_IPV6, option, _HOP_LIMIT)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    except OSError as error:
        opened.close()
        message = f"Router solicitations on {interface} can not be answered: {error.strerror}."
        raise Unavailable("interface_missing", message, "Bring the interface up, or mend [dhcp] interface.") from None
    return opened


def answer(opened: socket.socket, wanted: Callable[[], bool]) -> None:
    """Wait for one packet and answer it, if it is what it says it is and that is ``wanted``. What is received raises nothing."""
    try:
        packet, ancillary, _, sender = opened.recvmsg(1500, socket.CMSG_SPACE(4))
    except OSError:  # the interface went down
        return
    hops = [struct.unpack("=i", data)[0] for level, kind, data in ancillary if kind == socket.IPV6_HOPLIMIT]
    if hops != [_HOP_LIMIT] or len(packet) < 8 or not wanted():
        return
    host, _, flow, scope = sender
    try:
        opened.sendto(_ANSWER, (_ALL_NODES if host == "::" else host, 0, flow, scope))
    except OSError:  # the asker is gone, or we have no link-local address yet
        return


def serve(opened: socket.socket, wanted: Callable[[], bool]) -> None:
    """Answer until the process is ended, as long as ``wanted`` says that there is no router of ours."""
    while True:
        answer(opened, wanted)
