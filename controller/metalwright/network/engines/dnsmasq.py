# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP and DNS by dnsmasq.

Everything lies in ``<data_dir>/dnsmasq``: ``dnsmasq.conf``, one file per machine in ``dhcp-hosts.d`` and ``hosts.d``, ``leases``.
A new file is seen by inotify at once. A changed or deleted one in ``dhcp-hosts.d`` is seen after SIGHUP; ``dnsmasq.conf`` is read
at the start only. The TFTP server of dnsmasq is off: ``network.tftp`` serves.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metalwright.config import Settings
from metalwright.errors import Invalid, Unavailable
from metalwright.network.engines import Change, dnsmasq_config, leases
from metalwright.network.model import NetworkState

_RELEASE_WITHIN = 2.0
_POLL = 0.02
_SEEN = re.compile(
    r"DHCP(?P<kind>DISCOVER|OFFER|REQUEST|ACK|NAK)\((?P<interface>[^)]*)\) "
    r"(?:(?P<address>\d+\.\d+\.\d+\.\d+) )?(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})(?: (?P<rest>.*))?$"
)


@dataclass(frozen=True)
class DhcpSeen:
    """A DHCP packet that dnsmasq has seen or sent. ``address`` is what was asked for, offered or given, if any.

    ``note`` is what dnsmasq adds: why it refuses (``address in use``) or does not answer (``no address available``).
    """

    kind: Literal["discover", "offer", "request", "ack", "nak"]
    interface: str
    mac: str
    address: str | None
    note: str


def parse_log(line: str) -> DhcpSeen | None:
    """Read a line of dnsmasq's log; None if it does not tell of a DHCP packet."""
    found = _SEEN.search(line.rstrip())
    if found is None:
        return None
    kind: Literal["discover", "offer", "request", "ack", "nak"] = found["kind"].lower()  # type: ignore[assignment]
    return DhcpSeen(kind, found["interface"], found["mac"], found["address"], found["rest"] or "")


class Dnsmasq:
    """dnsmasq on one network interface of this host."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.directory = settings.data_dir.resolve() / "dnsmasq"
        self._config = self.directory / "dnsmasq.conf"
        self._leases = self.directory / "leases"
        self._pid_file = self.directory / "dnsmasq.pid"
        self._outdated = self.directory / ".outdated"
        self._left: dict[Path, tuple[object, ...]] = {}
        """Directories as this process has left them: reading thousands of files to find that nothing is to be done takes long."""

    def command(self) -> list[str] | None:
        """dnsmasq in the foreground, logging to standard error.

        It keeps the user it was started as: it writes to the same directory, and a parent-death signal survives.
        """
        command = [_dnsmasq(), "--keep-in-foreground", f"--conf-file={self._config}"]
        with suppress(KeyError):
            command += [f"--user={pwd.getpwuid(os.geteuid()).pw_name}", f"--group={grp.getgrgid(os.getegid()).gr_name}"]
        return command

    def apply(self, state: NetworkState) -> Change:
        """Write what changed and have dnsmasq read it; see ``Engine.apply``.

        Raises ``Invalid`` (``dhcp_config_refused``, with dnsmasq's words; nothing was replaced) or ``Unavailable``
        (``dnsmasq_missing``; ``lease_stuck``: an address is still on lease to another machine).
        """
        with self._locked():
            text = dnsmasq_config.configuration(self._settings, state, self.directory)
            changed = _text(self._config) != text
            if changed:
                self._check(text)
            hosts = self._sync(self.directory / "dhcp-hosts.d", dnsmasq_config.dhcp_hosts(state))
            names = self._sync(self.directory / "hosts.d", dnsmasq_config.dns_hosts(self._settings, state))
            if changed:
                _write(self._config, text)
            pid = self._running()
            if pid is not None and self._outdated.exists():
                _signal(pid, signal.SIGHUP)
            self._outdated.unlink(missing_ok=True)
            self._free_leases(state, running=pid is not None)
            if pid is not None and self._started_before_config():
                _signal(pid, signal.SIGTERM)
                return Change.RESTART
            return Change.RELOADED if changed or hosts or names else Change.NOTHING

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _check(self, text: str) -> None:
        """Have dnsmasq read a configuration before it replaces the good one."""
        candidate = self.directory / ".dnsmasq.conf.candidate"
        candidate.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([_dnsmasq(), "--test", f"--conf-file={candidate}"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            hint = "Install it: apt install dnsmasq-base"
            raise Unavailable("dnsmasq_missing", "There is no dnsmasq on this host.", hint) from None
        finally:
            candidate.unlink()
        if done.returncode != 0:
            words = done.stderr.strip().replace(f" of {candidate}", "")
            number = re.search(r"at line (\d+)", words)
            line = text.splitlines()[int(number[1]) - 1] if number else ""
            message = f"dnsmasq refuses its configuration: {words}{f': {line}' if line else ''}. The former one stays."
            raise Invalid("dhcp_config_refused", message, "Look at the subnets and the [dhcp] and [dns] settings.", line=line)

    def _sync(self, directory: Path, files: Mapping[str, str]) -> bool:
        """Write the files that changed, delete those that are not wanted; True if there was anything to do.

        What has to be read again by SIGHUP is noted before it is touched, so that it is read even if we are killed in between.
        """
        directory.mkdir(exist_ok=True)
        mark = self.directory / f".{directory.name}.written"  # says who wrote there last: times of files are too coarse
        if self._left.get(directory) == (_text(mark), directory.stat().st_mtime_ns, files):
            return False
        there = {path.name: path for path in directory.iterdir() if not path.name.startswith(".")}
        new = files.keys() - there.keys()
        gone = there.keys() - files.keys()
        other = {name for name in files.keys() & there.keys() if _text(there[name]) != files[name]}
        if gone or other:
            self._outdated.touch()
        if new or gone or other:
            mark.write_text(secrets.token_hex(8), encoding="ascii")
        for name in gone:
            there[name].unlink()
        for name in new | other:
            _write(directory / name, files[name])
        self._left[directory] = (_text(mark), directory.stat().st_mtime_ns, files)
        return bool(new or gone or other)

    def _running(self) -> int | None:
        """The process id of our dnsmasq: the one in its pid file, if that is still it."""
        try:
            pid = int(self._pid_file.read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if f"--conf-file={self._config}".encode() in arguments else None

    def _started_before_config(self) -> bool:
        """It writes its pid file as it starts; one that ends right now starts again with the new configuration."""
        with suppress(FileNotFoundError):
            return self._config.stat().st_mtime_ns > self._pid_file.stat().st_mtime_ns
        return False

    def _free_leases(self, state: NetworkState, *, running: bool) -> None:
        """End leases of addresses that now belong to another machine: dnsmasq would not give them to it."""
        holders = {host.address: host.mac for host in state.hosts}

        def stale() -> set[leases.Lease]:
            return {lease for lease in leases.read(self._leases) if holders.get(lease.address, lease.mac) != lease.mac}

        unwanted = stale()
        if unwanted and not running:
            leases.forget(self._leases, unwanted)
            return
        until = time.monotonic() + _RELEASE_WITHIN
        try:
            for lease in unwanted:
                leases.release(lease, self._settings.dhcp.interface)
            while (left := unwanted & stale()) and time.monotonic() < until:
                time.sleep(_POLL)
        except OSError as error:
            raise Unavailable("lease_stuck", f"dnsmasq can not be told to end a lease: {error}.", "") from None
        for lease in left:
            message = f"{lease.address} is still on lease to {lease.mac}, so {holders[lease.address]} does not get it."
            raise Unavailable("lease_stuck", message, "Restart the controller's dnsmasq.", address=lease.address, mac=lease.mac)


def _dnsmasq() -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # where Debian has it, and users have no such path
    return shutil.which("dnsmasq", path=path) or "dnsmasq"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Replace a file at once: dnsmasq may read it at any moment. It passes over names that begin with a dot."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # whoever supervises it starts it again, and then it reads everything
    except PermissionError:
        message = f"dnsmasq (process {pid}) belongs to another user."
        raise Unavailable("dnsmasq_unreachable", message, "Run this as the user the controller runs as.") from None
