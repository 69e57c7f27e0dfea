# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the listening sockets, or takes those that systemd (or whoever speaks its protocol) opened before.

Socket activation: ``sd_listen_fds(3)``. Descriptors named ``admin`` serve the admin plane instead of ``[admin] listen``; one or
several. The supervisor holds every socket for as long as it lives, so a child that dies loses no connection.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass

from metalwright.config import Settings, split_listen
from metalwright.errors import Invalid, MetalwrightError, Unavailable

_FIRST_PASSED = 3
_BACKLOG = 2048


@dataclass(frozen=True)
class Sockets:
    """All sockets of the controller."""

    admin: list[socket.socket]
    node: list[socket.socket]
    tftp: socket.socket | None

    def close_all_but(self, *kept: socket.socket) -> None:
        """Let go of what is not served here."""
        for each in [*self.admin, *self.node, *([self.tftp] if self.tftp else [])]:
            if each not in kept:
                each.close()


def open_all(settings: Settings, environ: MutableMapping[str, str]) -> Sockets:
    """Open every socket the settings ask for.

    Raises ``Unavailable`` (``port_taken``, ``port_refused``, ``address_missing``) or ``Invalid`` (``config_invalid``), each
    naming the setting, the address and what to do.
    """
    with ExitStack() as undo:
        passed = {name: [undo.enter_context(each) for each in given] for name, given in take_passed(environ).items()}
        unknown = sorted(set(passed) - {"admin"})
        if unknown:
            raise Invalid(
                "socket_unknown",
                f"A socket named {unknown[0]!r} was passed to metalwright serve (LISTEN_FDNAMES); only 'admin' is known.",
                "Set FileDescriptorName=admin in the socket unit.",
            )
        admin = passed.get("admin") or [undo.enter_context(_listen("admin", settings.admin.listen, socket.SOCK_STREAM))]
        node = [undo.enter_context(_listen("node", settings.node.listen, socket.SOCK_STREAM))]
        tftp = _listen("tftp", settings.tftp.listen, socket.SOCK_DGRAM) if settings.tftp.listen else None
        undo.pop_all()
        return Sockets(admin, node, tftp)


def take_passed(environ: MutableMapping[str, str]) -> dict[str, list[socket.socket]]:
    """The sockets passed by LISTEN_FDS, by name; the variables are removed so that no child takes them for its own."""
    pid, count, names = (environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    given = names.split(":") if names else []
    passed: dict[str, list[socket.socket]] = {}
    for index in range(int(count)):
        descriptor = _FIRST_PASSED + index
        name = given[index] if index < len(given) else "unknown"
        try:
            taken = socket.socket(fileno=descriptor)
        except OSError as error:
            message = f"Descriptor {descriptor} ({name}), passed as LISTEN_FDS says, is no socket: {error.strerror}."
            raise Invalid("socket_unknown", message, "Look at who starts metalwright serve.") from None
        taken.set_inheritable(False)
        passed.setdefault(name, []).append(taken)
    return passed


def _listen(setting: str, listen: str, kind: socket.SocketKind) -> socket.socket:
    host, port = split_listen(listen)
    opened: socket.socket | None = None
    try:
        wanted = socket.AF_INET if kind == socket.SOCK_DGRAM else socket.AF_UNSPEC  # by TFTP machines boot over IPv4 only
        found = socket.getaddrinfo(host, port, wanted, kind, flags=socket.AI_PASSIVE)
        family, _, protocol, _, address = found[0]
        opened = socket.socket(family, kind, protocol)
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.bind(address)
        if kind == socket.SOCK_STREAM:
            opened.listen(_BACKLOG)
    except OSError as error:
        if opened is not None:
            opened.close()
        raise _explained(error, setting, host, port, kind) from None
    return opened


def _explained(error: OSError, setting: str, host: str, port: int, kind: socket.SocketKind) -> MetalwrightError:
    family = "u" if kind == socket.SOCK_DGRAM else "t"
    what = f"{'UDP' if kind == socket.SOCK_DGRAM else 'TCP'} port {port} of {host} ([{setting}] listen)"
    explain: dict[int | None, Callable[[], MetalwrightError]] = {
        errno.EADDRINUSE: lambda: Unavailable(
            "port_taken",
            f"{what} is taken by another program.",
            f"'ss -{family}lnp sport = :{port}' names it. Stop it, or set another [{setting}] listen.",
        ),
        errno.EACCES: lambda: Unavailable(
            "port_refused",
            f"This user may not listen on {what}.",
            "Ports below 1024 need root, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the service unit.",
        ),
        errno.EADDRNOTAVAIL: lambda: Unavailable(
            "address_missing",
            f"{what}: no interface of this host has that address.",
            f"'ip address' lists what there is. Bring the interface up, or set another [{setting}] listen.",
        ),
    }
    other = Invalid(
        "config_invalid", f"{what}: {error.strerror or error}.", f"Set [{setting}] listen to an address of this host."
    )
    return explain.get(error.errno, lambda: other)()
