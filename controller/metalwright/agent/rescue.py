# SPDX-License-Identifier: GPL-3.0-or-later
"""Letting people in: an SSH server (dropbear) for root, by the keys given and by nothing else.

The host keys are made now and are gone with the machine's memory; the controller learns their public halves, so that the first
login is verified already.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from .abort import Abort
from .children import run
from .client import parse
from .errors import CommandFailed, StepFailed
from .work import Work

_KEY_TYPES = ("ed25519", "ecdsa")
PORT = 22
_CLOSING = 10.0
"""Seconds a server is given to end."""


class Door(NamedTuple):
    """Where the SSH server keeps its things, and where it listens."""

    home: Path = Path("/root")
    directory: Path = Path("/run/metalwright-rescue")
    port: int = PORT


def open_door(step: Mapping[str, Any], work: Work, door: Door | None = None) -> tuple[list[str], dict[str, Any]]:
    """Start the SSH server; return what a person has to know, in lines, and the step's result ``{"host_keys", "address"}``.

    A server that an agent before this one has started is replaced. Raises ``StepFailed`` (``agent_error``).
    """
    door = door or Door()
    keys = [key for key in (str(key).strip() for key in step.get("ssh_keys") or []) if key]
    if any("\n" in key or "\r" in key for key in keys):
        raise StepFailed("agent_error", "a key of the job is more than one line")
    authorize(door.home, keys)
    door.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        host_keys = [_host_key(door.directory / kind, kind, work.abort) for kind in _KEY_TYPES]
        _close(door.directory / "pid")
        _serve(door, work.abort)
    except (CommandFailed, OSError) as error:
        raise StepFailed("agent_error", f"the SSH server does not start: {error}") from error
    address = own_address(work.client.base_url)
    login = [f"this machine is here for you: ssh {'' if door.port == PORT else f'-p {door.port} '}root@{address}"]
    login += [f"  its host key: {key}" for key in host_keys]
    if not keys:
        login.append("  but no key was given, so nobody can log in")
    for line in login:
        work.console.say(f"rescue: {line}")
    return login, {"host_keys": host_keys, "address": address}


def authorize(home: Path, keys: Sequence[str]) -> None:
    """Let in the owners of these keys, and nobody who was let in before."""
    directory = home / ".ssh"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = directory / "authorized_keys.new"
    fresh.write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(directory / "authorized_keys")


def own_address(url: str) -> str:
    """Return the address from which this machine reaches the host of ``url``. Nothing is sent (UDP only looks up the route)."""
    split = parse(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((split.hostname, split.port or 80))
        return str(sock.getsockname()[0])


def _host_key(path: Path, kind: str, abort: Abort) -> str:
    """Return the public half as ``type base64``; the key is made unless an agent before this one has made it."""
    if not path.exists():
        run(["dropbearkey", "-t", kind, "-f", str(path)], abort)
    printed = run(["dropbearkey", "-y", "-f", str(path)], abort)
    for line in printed.splitlines():
        if line.startswith(("ssh-", "ecdsa-")):
            return " ".join(line.split()[:2])
    raise CommandFailed(f"dropbearkey does not tell the key: {printed[:200]}")


def _serve(door: Door, abort: Abort) -> None:
    keys = [word for kind in _KEY_TYPES for word in ("-r", str(door.directory / kind))]
    # -s: no passwords. It goes into the background when it listens, and fails before that when it can not.
    run(["dropbear", "-s", *keys, "-p", str(door.port), "-P", str(door.directory / "pid")], abort)


def _close(pid_file: Path) -> None:
    """End the server of an agent before this one, and wait until it has left the port."""
    with suppress(FileNotFoundError, ValueError, ProcessLookupError):
        process = os.pidfd_open(int(pid_file.read_text(encoding="ascii")))
        try:
            signal.pidfd_send_signal(process, signal.SIGTERM)
            select.select([process], [], [], _CLOSING)
        finally:
            os.close(process)
        pid_file.unlink()
