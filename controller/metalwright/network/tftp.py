# SPDX-License-Identifier: GPL-3.0-or-later
"""A read-only TFTP server for the first boot loader, in one thread that nothing on the network can end.

tftpy's own server dies of one malformed request and of 512 simultaneous transfers, and writes what it is sent; so its packets
are used here inside a loop of ours. A transfer is a socket and an object of 500 bytes. Each packet is handled on its own: what
goes wrong ends at most the transfer it belongs to.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import resource
import select
import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tftpy.TftpPacketFactory import TftpPacketFactory
from tftpy.TftpPacketTypes import TftpPacketRRQ, TftpPacketWRQ

from metalwright.errors import Invalid
from metalwright.network.tftp_transfer import (
    ACCESS_VIOLATION,
    ILLEGAL,
    NOT_DEFINED,
    NOT_FOUND,
    Ended,
    Files,
    Outcome,
    Transfer,
    error_packet,
)

Kind = Literal[Outcome, "refused", "malformed"]
Address = tuple[str, int]

_IP_PKTINFO = 8  # linux/in.h; the socket module has no name for it before Python 3.14
_PKTINFO = struct.Struct("=I4s4s")  # interface, the local address the packet came to, the address in its header
_SO_RCVBUFFORCE = 33
_REQUESTS_KEPT = 2 << 20
_LONGEST_REQUEST = 512  # RFC 2347
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_BATCH = 64
_AT_ONCE = 256
_ALIVE = 1.0
_PATIENCE = 15.0
_REMEMBERED = 1024
_QUIET = 60.0
_SPARE = 256  # descriptors for everything that is no transfer
_PLENTY = 1 << 20


@dataclass(frozen=True)
class TftpEvent:
    """What became of a request.

    ``complete``: every block was acknowledged. ``aborted``: the client ended it before the first block, as firmware does that
    only asks for the size. ``failed``: it broke. ``refused``: no such file, a write, a path outside the root. ``malformed``:
    something that is not TFTP, told once per source and kind. Texts that come from the client are cut and printable.
    """

    kind: Kind
    client: str
    filename: str
    message: str
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Request:
    raw: bytes
    client: Address
    local: str
    since: float


class Server:
    """The server as a state machine around epoll(7): ``step`` handles what is there, ``serve`` steps for ever."""

    def __init__(
        self,
        sock: socket.socket,
        root: Path,
        *,
        max_transfers: int,
        on_event: Callable[[TftpEvent], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if sock.family != socket.AF_INET:
            raise Invalid("tftp_needs_ipv4", "[tftp] listen is not an IPv4 address.", "Machines boot over IPv4: give one.")
        self._listener = sock
        self._root = root.resolve()
        self._max = max_transfers
        self._on_event = on_event
        self._clock = clock
        self._packets = TftpPacketFactory()
        self._files = Files()
        self._transfers: dict[Address, Transfer] = {}
        self._waiting: OrderedDict[Address, _Request] = OrderedDict()
        self._told: OrderedDict[tuple[str, ...], float] = OrderedDict()
        self._timers: list[tuple[float, int, Transfer]] = []
        self._numbers = itertools.count()
        self._by_descriptor: dict[int, Transfer] = {}
        self._poll = select.epoll()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        _make_room(sock)
        self._poll.register(sock, _READ)
        logging.getLogger("tftpy").setLevel(logging.CRITICAL)  # it logs every error packet of every client

    @property
    def transfers(self) -> int:
        """Transfers under way."""
        return len(self._transfers)

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return len(self._waiting)

    def step(self, wait: float | None = None) -> None:
        """Wait at most ``wait`` seconds (None: until something happens), then handle all that is there."""
        if self._timers:
            until = max(0.0, self._timers[0][0] - self._clock())
            wait = until if wait is None else min(wait, until)
        requests = False
        for descriptor, events in self._poll.poll(wait, _AT_ONCE):
            transfer = self._by_descriptor.get(descriptor)
            if transfer is None:
                requests = True
            else:
                self._carry_on(transfer, events)
        self._fire_timers()
        if requests:  # after the transfers: an ACK may have made room, or an abort may free the client's port for this request
            self._take_requests()
        self._promote()

    def close(self) -> None:
        """Drop all transfers; the listening socket stays the caller's."""
        for transfer in list(self._transfers.values()):
            self._drop(transfer)
        self._poll.close()

    # -- requests --------------------------------------------------------------------------------------------------------------

    def _take_requests(self) -> None:
        for _ in range(_BATCH):
            try:
                raw, ancillary, flags, client = self._listener.recvmsg(_LONGEST_REQUEST, socket.CMSG_SPACE(_PKTINFO.size))
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of a reply sent earlier
                continue
            local = ""
            for level, kind, data in ancillary:
                if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                    local = socket.inet_ntoa(_PKTINFO.unpack_from(data)[1])
            request = _Request(raw, client, local, self._clock())
            if flags & socket.MSG_TRUNC:
                self._tell_malformed(client, "a request longer than 512 bytes")
            else:
                self._admit(request)

    def _admit(self, request: _Request) -> None:
        current = self._transfers.get(request.client)
        if current is not None:
            if current.request == request.raw and request.since - current.heard < _ALIVE:
                return  # sent twice because our answer took its time
            self._guard(current, self._hear, current)  # it may have ended the transfer before it asked again
            if self._lives(current):  # or it was reset in the middle and starts anew from the same port
                self._end(current, "failed" if current.done_bytes else "aborted", "the client asked again")
        if len(self._transfers) < self._max:
            self._begin(request)
        elif request.client in self._waiting or len(self._waiting) < self._max:
            self._waiting[request.client] = request
        # else nothing: the client asks again, and by then there may be room

    def _promote(self) -> None:
        while self._waiting and len(self._transfers) < self._max:
            _, request = self._waiting.popitem(last=False)
            if self._clock() - request.since < _PATIENCE:
                self._begin(request)

    def _begin(self, request: _Request) -> None:
        try:
            packet = self._packets.parse(request.raw)
        except Exception:  # noqa: BLE001  tftpy raises whatever its parser stumbles over
            self._tell_malformed(request.client, "not a TFTP request")
            if request.raw[:2] in (b"\0\1", b"\0\2"):
                self._answer(request, ILLEGAL, "malformed request")
            return
        if isinstance(packet, TftpPacketWRQ):
            self._refuse(request, ACCESS_VIOLATION, packet.filename, "writing is not allowed")
        elif not isinstance(packet, TftpPacketRRQ):
            self._tell_malformed(request.client, "no request, but a packet of some transfer")
        elif packet.mode != "octet":
            self._refuse(request, ILLEGAL, packet.filename, "only octet (binary) mode is served")
        else:
            try:
                self._start(request, packet.filename, packet.options)
            except Exception as error:  # noqa: BLE001  one request must not end the server, whatever is wrong with it
                self._refuse(request, NOT_DEFINED, packet.filename, f"could not be served: {_words(error)}")

    def _start(self, request: _Request, filename: str, options: dict[str, str]) -> None:
        path = (self._root / filename.lstrip("/")).resolve()
        if not path.is_relative_to(self._root):
            return self._refuse(request, ACCESS_VIOLATION, filename, "the path leads out of the directory that is served")
        if not path.is_file():
            return self._refuse(request, NOT_FOUND, filename, "no such file")
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind((request.local, 0))
            sock.connect(request.client)
            file = self._files.open(path)
        except OSError:
            sock.close()
            raise
        transfer = Transfer(sock, request.client, request.raw, filename, options, file)
        self._transfers[request.client] = transfer
        self._by_descriptor[sock.fileno()] = transfer
        self._poll.register(sock, _READ)
        self._guard(transfer, transfer.begin, self._clock())
        heapq.heappush(self._timers, (transfer.due, next(self._numbers), transfer))
        return None

    def _refuse(self, request: _Request, code: int, filename: str, message: str) -> None:
        self._answer(request, code, message)
        self._tell_once(TftpEvent("refused", request.client[0], _printable(filename), _printable(message)), quiet=_QUIET)

    def _answer(self, request: _Request, code: int, message: str) -> None:
        source = _PKTINFO.pack(0, socket.inet_aton(request.local), bytes(4))
        with suppress(OSError):
            self._listener.sendmsg([error_packet(code, message)], [(socket.IPPROTO_IP, _IP_PKTINFO, source)], 0, request.client)

    # -- transfers -------------------------------------------------------------------------------------------------------------

    def _carry_on(self, transfer: Transfer, events: int) -> None:
        if events & _WRITE:
            self._guard(transfer, transfer.go_on)
            if not self._lives(transfer):
                return
        if events & ~_WRITE:  # an error of the socket too: it is raised by the next call
            self._guard(transfer, self._hear, transfer)

    def _hear(self, transfer: Transfer) -> None:
        if not transfer.receive(transfer.sock.recv(_LONGEST_REQUEST), self._clock()):
            self._tell_malformed(transfer.client, "a packet that has no place in a transfer")

    def _fire_timers(self) -> None:
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            _, _, transfer = heapq.heappop(self._timers)
            if self._lives(transfer) and transfer.due <= now:
                self._guard(transfer, transfer.wake, now)
            if self._lives(transfer):
                heapq.heappush(self._timers, (transfer.due, next(self._numbers), transfer))

    def _lives(self, transfer: Transfer) -> bool:
        return self._transfers.get(transfer.client) is transfer

    def _guard(self, transfer: Transfer, act: Callable[..., None], *args: object) -> None:
        was_blocked = transfer.blocked
        try:
            act(*args)
        except Ended as end:
            return self._end(transfer, end.outcome, end.message, say=end.say)
        except BlockingIOError:
            return None
        except ConnectionRefusedError:
            return self._end(transfer, "failed" if transfer.done_bytes else "aborted", "the client closed its port")
        except Exception as error:  # noqa: BLE001  a fault in one transfer ends that transfer and no other
            return self._end(transfer, "failed", _words(error), say=True)
        if transfer.blocked != was_blocked:
            self._poll.modify(transfer.sock, _READ | (_WRITE if transfer.blocked else 0))
        return None

    def _end(self, transfer: Transfer, kind: Outcome, message: str, *, say: bool = False) -> None:
        if say:
            with suppress(OSError):
                transfer.sock.send(error_packet(NOT_DEFINED, message))
        self._drop(transfer)
        seconds = self._clock() - transfer.started
        self._tell(
            TftpEvent(kind, transfer.client[0], _printable(transfer.filename), _printable(message), transfer.done_bytes, seconds)
        )

    def _drop(self, transfer: Transfer) -> None:
        del self._transfers[transfer.client]
        del self._by_descriptor[transfer.sock.fileno()]
        self._poll.unregister(transfer.sock)
        transfer.sock.close()
        self._files.close(transfer.file)

    # -- telling ---------------------------------------------------------------------------------------------------------------

    def _tell_malformed(self, client: Address, what: str) -> None:
        self._tell_once(TftpEvent("malformed", client[0], "", what))

    def _tell_once(self, event: TftpEvent, quiet: float | None = None) -> None:
        """Tell what was not told before, or not for ``quiet`` seconds. Only the last thousand are known: memory stays bounded."""
        key = (event.kind, event.client, event.filename, event.message)
        before = self._told.get(key)
        if before is not None and (quiet is None or self._clock() - before < quiet):
            return
        self._told.pop(key, None)
        self._told[key] = self._clock()
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        self._tell(event)

    def _tell(self, event: TftpEvent) -> None:
        try:
            self._on_event(event)
        except Exception:
            logging.getLogger(__name__).exception("an event of the TFTP server was lost: %s", event)


def serve(sock: socket.socket, root: Path, *, max_transfers: int, on_event: Callable[[TftpEvent], None]) -> None:
    """Serve the files under ``root`` over a bound UDP socket until the process is ended.

    At most ``max_transfers`` go on at once, as many more wait for a place for 15 s; clients beyond that are not answered and ask
    again. ``on_event`` is called in this thread and should be quick. The process's limit of open files is raised as far as that
    needs and the hard limit allows; fewer transfers go on at once if it does not.
    """
    soft, hard = (_PLENTY if limit == resource.RLIM_INFINITY else limit for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    if soft < max_transfers + _SPARE:
        soft = min(max_transfers + _SPARE, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    server = Server(sock, root, max_transfers=max(1, min(max_transfers, soft - _SPARE)), on_event=on_event)
    while True:
        server.step()


def _make_room(sock: socket.socket) -> None:
    """Have the kernel keep as many requests as a row of racks sends when the power comes back; the default is about 250."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _REQUESTS_KEPT)
    except PermissionError:  # only with CAP_NET_ADMIN; else up to net.core.rmem_max
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _REQUESTS_KEPT)


def _words(error: Exception) -> str:
    """What an error says, without the paths it names: the text goes to the client."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:255])
