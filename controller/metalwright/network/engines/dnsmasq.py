# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP and DNS by dnsmasq.

Everything lies in ``<data_dir>/dnsmasq``. ``dnsmasq.conf`` is read at the start only; ``servers`` and ``dhcp-options`` on SIGHUP
as well, and so is ``dhcp-hosts``; what is new in ``dhcp-hosts.d`` is seen at once, and every change in ``hosts.d``. ``leases`` is
dnsmasq's. The TFTP server of dnsmasq is off: ``network.tftp`` serves.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from metalwright.config import Settings
from metalwright.errors import Invalid, Unavailable
from metalwright.network.engines import (
    Change,
    Process,
    dnsmasq_config,
    dnsmasq_dns,
    dnsmasq_files,
    dnsmasq_leases,
    dnsmasq_log,
    software,
)
from metalwright.network.engines.configuration import Configuration, replace
from metalwright.network.engines.leases import Lease
from metalwright.network.model import NetworkState

NAME = "dnsmasq"
_RELEASE_WITHIN = 2.0
_START_WITHIN = 30.0
_POLL = 0.02
_Address = IPv4Address | IPv6Address
_WRITTEN = "# Written by Metalwright: changes are overwritten."


class Dnsmasq:
    """dnsmasq on one network interface of this host."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.directory = settings.data_dir.resolve() / NAME
        self._config = Configuration(self.directory / "dnsmasq.conf")
        self._leases = self.directory / "leases"
        self._pid_file = self.directory / "dnsmasq.pid"
        self._outdated = self.directory / ".outdated"
        self._replaced = self.directory / ".replaced"
        self._cards = self.directory / "dhcp-hosts"
        self._added = self.directory / "dhcp-hosts.d"
        self._names = self.directory / "hosts.d"

    def processes(self) -> Sequence[Process]:
        """dnsmasq in the foreground, logging to standard error.

        It keeps the user it was started as: it writes to the same directory, and a parent-death signal survives.
        """
        command = [software.program(NAME), "--keep-in-foreground", f"--conf-file={self._config.path}"]
        with suppress(KeyError):
            command += [f"--user={pwd.getpwuid(os.geteuid()).pw_name}", f"--group={grp.getgrgid(os.getegid()).gr_name}"]
        return [Process(NAME, tuple(command), self._config, dnsmasq_log.STARTED, dnsmasq_log.hear)]

    def check(self, state: NetworkState) -> None:
        """See ``Engine.check``."""
        dnsmasq_dns.check(state)

    def apply(self, state: NetworkState) -> Change:
        """Write what changed and have dnsmasq read it; see ``Engine.apply``.

        Raises ``Invalid`` (``engine_can_not``; ``dhcp_config_refused``, with dnsmasq's words: nothing was replaced;
        ``network_rolled_back``: it did not start with it) or ``Unavailable`` (``engine_missing``; ``lease_stuck``: an address is
        still on lease to another machine; ``engine_silent``).
        """
        self.check(state)
        with self._locked():
            text, reread = self._rendered(state)
            changed = self._config.text() != text
            if changed and self._config.refusal(text) is None:
                self._test("\n".join([text, *reread["servers"], *(f"dhcp-option={line}" for line in reread["dhcp-options"])]))
            told = self._write_reread(reread)
            cards = dnsmasq_files.cards_changed(self._cards, self._added, dnsmasq_config.dhcp_hosts(state), self._outdated)
            names = dnsmasq_files.names_changed(self._names, dnsmasq_dns.hosts(state), self._replaced)
            pid = self._running()
            if pid is not None and self._outdated.exists():
                software.hang_up(pid, NAME)
            self._outdated.unlink(missing_ok=True)
            self._free_leases(state, running=pid is not None)
            if changed:
                self._config.check_not_refused(text, NAME)
                self._config.write(text)
            if pid is not None and (self._started_before(self._config.path) or self._started_before(self._replaced)):
                software.hang_up(pid, NAME, signal.SIGTERM)
                self._await_start(pid)
                self._config.await_judgement(text, NAME, _START_WITHIN)
                self._free_leases(state, running=True)  # those of a subnet that it serves only now
                return Change.RESTART
            return Change.RELOADED if changed or told or cards or names else Change.NOTHING

    def leases(self) -> list[Lease]:
        """See ``Engine.leases``."""
        return dnsmasq_leases.read(self._leases)

    def lease_files(self) -> Sequence[Path]:
        """See ``Engine.lease_files``."""
        return [self._leases]

    def take_over(self, leases: Sequence[Lease]) -> None:
        """See ``Engine.take_over``."""
        with self._locked():
            dnsmasq_leases.write(self._leases, leases)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _rendered(self, state: NetworkState) -> tuple[str, dict[str, list[str]]]:
        """The text of dnsmasq.conf, and the lines of the files that are read anew on SIGHUP."""
        dhcp = dnsmasq_config.configuration(self._settings, state, self.directory, _own_addresses())
        text = "\n".join([_WRITTEN, *dhcp, *dnsmasq_dns.configuration(state, self.directory)]) + "\n"
        return text, {
            "servers": dnsmasq_dns.servers(state),
            "dhcp-options": dnsmasq_config.dhcp_options(state),
        }

    def _write_reread(self, files: dict[str, list[str]]) -> bool:
        changed = False
        for name, lines in files.items():
            text = "".join(f"{line}\n" for line in lines)
            path = self.directory / name
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                self._outdated.touch()
                replace(path, text)
                changed = True
        return changed

    def _test(self, text: str) -> None:
        """Have dnsmasq read a configuration before it replaces the good one."""
        candidate = self.directory / ".dnsmasq.conf.candidate"
        candidate.write_text(text, encoding="utf-8")
        try:
            content, said = software.ask([NAME, "--test", f"--conf-file={candidate}"], "dnsmasq-base")
        finally:
            candidate.unlink()
        if not content:
            words = said.strip().replace(f" of {candidate}", "")
            number = re.search(r"at line (\d+)", words)
            line = text.splitlines()[int(number[1]) - 1] if number else ""
            message = f"dnsmasq refuses its configuration: {words}{f': {line}' if line else ''}. The former one stays."
            raise Invalid("dhcp_config_refused", message, "Look at the subnets and the [dhcp] and [dns] settings.", line=line)

    def _running(self) -> int | None:
        """The process id of our dnsmasq: the one in its pid file, if that is still it."""
        return software.running(self._pid_file, Path(f"--conf-file={self._config.path}"))

    def _started_before(self, path: Path) -> bool:
        """It writes its pid file as it starts; one that ends right now starts again with the new configuration."""
        with suppress(FileNotFoundError):
            return path.stat().st_mtime_ns > self._pid_file.stat().st_mtime_ns
        return False

    def _await_start(self, former: int) -> None:
        """Wait until there is another process, unless that is told otherwise."""
        until = time.monotonic() + _START_WITHIN
        while self._running() in (None, former) and time.monotonic() < until:
            time.sleep(_POLL)

    def _free_leases(self, state: NetworkState, *, running: bool) -> None:
        """End leases of fixed addresses that are another machine's now, or nobody's: dnsmasq would not give them to it.

        A DHCPv6 lease whose DUID holds no MAC is not known to be another's, so it ends by itself. So does one in a subnet that
        the running dnsmasq does not serve: it heeds no release there, and gives the address to nobody.
        """
        served = dnsmasq_config.subnets_served(self._config.good() or self._config.text() or "") if running else set()
        holders = {host.address: host.mac for host in state.hosts if host.mac}
        dynamic = [(ip_address(first), ip_address(last)) for each in state.networks for first, last in each.dynamic]

        def stale() -> set[Lease]:
            now = time.time()
            there = (lease for lease in self.leases() if lease.mac and not lease.ended(now))
            return {lease for lease in there if not _rightful(lease, holders, dynamic)}

        unwanted = stale()
        if unwanted and not served:  # no dnsmasq that gives addresses: nobody has the file in memory
            dnsmasq_leases.forget(self._leases, unwanted)
            return
        unwanted = {lease for lease in unwanted if any(ip_address(lease.address) in network for network in served)}
        duid = dnsmasq_leases.server_duid(self._leases) if unwanted else None
        until = time.monotonic() + _RELEASE_WITHIN
        try:
            for lease in unwanted:
                dnsmasq_leases.release(lease, self._settings.dhcp.interface, duid)
            while (left := unwanted & stale()) and time.monotonic() < until:
                time.sleep(_POLL)
        except OSError as error:
            raise Unavailable("lease_stuck", f"dnsmasq can not be told to end a lease: {error}.", "") from None
        for lease in left:
            to = holders.get(lease.address)
            message = f"{lease.address} is still on lease to {lease.mac}" + (f", so {to} does not get it." if to else ".")
            raise Unavailable("lease_stuck", message, "Restart the controller's dnsmasq.", address=lease.address, mac=lease.mac)


def _rightful(lease: Lease, holders: dict[str, str], dynamic: list[tuple[_Address, _Address]]) -> bool:
    """Whether a lease is that of the machine whose address it is, or of one that DHCP gives to anyone."""
    holder = holders.get(lease.address)
    if holder is not None:
        return holder == lease.mac
    address = ip_address(lease.address)
    return any(first.version == address.version and first <= address <= last for first, last in dynamic)  # type: ignore[operator]


def _own_addresses() -> frozenset[str]:
    """The IPv6 addresses of this host (proc(5), ``net/if_inet6``)."""
    try:
        lines = Path("/proc/thread-self/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return frozenset()
    return frozenset(str(ip_address(bytes.fromhex(line.split()[0]))) for line in lines)
