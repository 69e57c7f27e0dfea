# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS by BIND: its zones are loaded from files once, and changed by updates from then on.

Everything lies in ``<data_dir>/bind``: ``named.conf``, ``update.key``, and in ``zones`` for each zone its file (``.db``, and
``.db.jnl``, both BIND's), what it holds (``.records``), and what it is being told (``.pending``): all of it where BIND is to load
it from the file, else the difference, ``+`` and ``-``. Where somebody who was killed has left one, the zone holds something
between the two, and the next change makes it good.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from metalwright.config import Settings
from metalwright.errors import Invalid, Unavailable
from metalwright.network.engines import Process, bind_config, bind_zones, software
from metalwright.network.engines.bind_update import Server, secret
from metalwright.network.engines.bind_zones import Zones
from metalwright.network.engines.configuration import Configuration, replace
from metalwright.network.engines.own_addresses import Interfaces
from metalwright.network.model import NetworkState

NAME = "named"
_RELOADS_WITHIN = 10.0
_POLL = 0.01


class Bind:
    """``named`` on one network interface of this host."""

    def __init__(self, settings: Settings) -> None:
        self._secondaries = tuple(settings.dns.secondaries)
        self.directory = settings.data_dir.resolve() / "bind"
        self._zones = self.directory / "zones"
        self._key = self.directory / "update.key"
        self._words = self.directory / "words"
        self.configuration = Configuration(self.directory / "named.conf")

    def process(self) -> Process:
        """``named`` in the foreground. It keeps the user it was started as: it writes to the same directory."""
        command = (software.program(NAME), "-f", "-L", "/dev/stderr", "-c", str(self.configuration.path))
        return Process(NAME, command, self.configuration, re.compile("general: notice: running$"), _hear)

    def prepare(self, state: NetworkState, ours: Interfaces) -> tuple[str, Zones]:
        """The configuration and the content of the zones, which BIND's own checkers accept. Nothing is changed.

        Raises ``Invalid`` (``dns_config_refused``, with BIND's words; ``network_rolled_back``) or ``Unavailable``
        (``engine_missing``).
        """
        self._zones.mkdir(parents=True, exist_ok=True)
        secret(self._key)
        zones = bind_zones.desired(state, ours)
        text = bind_config.text(state, zones, ours, self._secondaries, self.directory)
        self.configuration.check_not_refused(text, NAME)
        if self.configuration.good() != text:
            self._check(text, "named-checkconf")
        for zone, records in zones.items():
            if not self._stands(zone, records):
                self._check_zone(zone, records, state.default_domain)
        return text, zones

    def commit(self, text: str, zones: Zones, state: NetworkState, ours: Interfaces) -> bool:
        """Have BIND serve what was prepared; False if it does already.

        Raises ``Invalid`` (``network_rolled_back``) if it does not accept the configuration, and then goes on with the last good
        one; ``Unavailable`` (``engine_unreachable``, ``dns_update_refused``).
        """
        server = Server(str(ours[0].ip), self._key)
        running = self._runs()
        changed = False
        for zone, records in zones.items():
            if not running or not self._path(zone, ".db").exists():
                changed |= self._load(zone, records, state.default_domain)
        if self.configuration.text() != text:
            self.configuration.write(text)
            changed = True
        if not running:
            return changed
        if self.configuration.good() != text or server.identity() != bind_config.mark(text):
            self._reload(text, server)
            changed = True
        for zone, records in zones.items():
            changed |= self._update(zone, records, server)
        self._forget_others(zones)
        return changed

    def _load(self, zone: str, records: frozenset[str], default_domain: str) -> bool:
        """Write the file that a zone begins with; only while BIND does not have it."""
        if self._stands(zone, records):
            return False
        serial = int(time.time())
        self._write(zone, ".pending", records, serial)
        self._path(zone, ".db.jnl").unlink(missing_ok=True)
        replace(self._path(zone, ".db"), bind_config.zone_file(zone, records, serial, default_domain))
        return True

    def _stands(self, zone: str, records: frozenset[str]) -> bool:
        """Whether BIND finds these records in the zone's files when it starts."""
        pending = self._path(zone, ".pending")
        if not self._path(zone, ".db").exists() or (pending.exists() and self._serial(pending) is None):
            return False
        return self._content(zone, ".pending" if pending.exists() else ".records") == records

    def _update(self, zone: str, records: frozenset[str], server: Server) -> bool:
        """Tell BIND the difference between what a zone holds and what it is to hold."""
        held = self._content(zone, ".records")
        pending = self._path(zone, ".pending")
        if held == records and not pending.exists():
            return False
        serial = server.loaded(zone)
        if pending.exists():
            told, loaded = self._content(zone, ".pending"), self._serial(pending)
            if loaded is None:
                possible = held | {line[1:] for line in told if line[0] == "+"}
                certain = held - {line[1:] for line in told if line[0] == "-"}
            elif (serial or 0) >= loaded:
                possible = certain = told
            else:
                possible, certain = held | told, held & told
        else:
            possible = certain = held
        gone, new = possible - records, records - certain
        if gone or new:
            difference = [f"+{line}" for line in (possible | new) - held] + [f"-{line}" for line in held - (certain - gone)]
            self._write(zone, ".pending", difference)
            server.update(zone, gone, new)
        self._write(zone, ".records", records)
        pending.unlink(missing_ok=True)
        return bool(gone or new)

    def _forget_others(self, zones: Zones) -> None:
        for path in self._zones.glob("*.db"):
            if path.name.removesuffix(".db") not in zones:
                for suffix in (".records", ".pending", ".db.jnl", ".db"):
                    self._path(path.name.removesuffix(".db"), suffix).unlink(missing_ok=True)

    def _reload(self, text: str, server: Server) -> None:
        """SIGHUP, and wait until the answer to ``id.server`` is that of this configuration."""
        said = self._words.stat().st_size if self._words.exists() else 0
        self._signal()
        until = time.monotonic() + _RELOADS_WITHIN
        while server.identity() != bind_config.mark(text):
            words = self._last_words(said)
            if words or time.monotonic() > until:
                if not self.configuration.roll_back(text, words or "it does not say why"):
                    raise Unavailable("engine_unreachable", f"named does not read its configuration: {words}.", "", engine=NAME)
                self._signal()
                self.configuration.check_not_refused(text, NAME)
            time.sleep(_POLL)
        self.configuration.accept(text)

    def _last_words(self, said: int) -> str:
        """The last error that named has told of since its log had ``said`` bytes, once it has given up."""
        with suppress(FileNotFoundError):
            lines = self._words.read_bytes()[said:].decode(errors="replace").splitlines()
            if any("reloading configuration failed" in line for line in lines):
                return " ".join(lines)
        return ""

    def _check_zone(self, zone: str, records: frozenset[str], default_domain: str) -> None:
        """Of a zone that BIND has, what is new; else the whole of it."""
        integrity = "local"
        if self._runs() and self._path(zone, ".db").exists():
            integrity = "none"
            records = (records - self._content(zone, ".records")) | {bind_config.name_server(zone, default_domain)}
        file = bind_config.zone_file(zone, records, 1, default_domain)
        self._check(file, "named-checkzone", "-i", integrity, "-k", "ignore", zone)

    def _check(self, text: str, program: str, *arguments: str) -> None:
        candidate = self.directory / f".{program}.candidate"
        candidate.write_text(text, encoding="utf-8")
        try:
            content, said = software.ask([program, *arguments, str(candidate)], "bind9")
        finally:
            candidate.unlink()
        if not content:
            output = said.replace(f"{candidate}:", "line ")
            words = "; ".join(line for line in output.splitlines() if "not loaded due to errors" not in line)
            message = f"named refuses its configuration: {words}. The former one stays."
            raise Invalid("dns_config_refused", message, "Look at the domains, their records and [dns].", words=words)

    def _runs(self) -> bool:
        return self._pid() is not None

    def _pid(self) -> int | None:
        return software.running(self.directory / "named.pid", self.configuration.path)

    def _signal(self) -> None:
        pid = self._pid()
        if pid is not None:
            software.hang_up(pid, NAME)

    def _path(self, zone: str, suffix: str) -> Path:
        return self._zones / f"{zone}{suffix}"

    def _content(self, zone: str, suffix: str) -> frozenset[str]:
        try:
            lines = self._path(zone, suffix).read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return frozenset()
        return frozenset(line for line in lines if line and not line.startswith(";"))

    def _write(self, zone: str, suffix: str, lines: Iterable[str], serial: int | None = None) -> None:
        head = [f";{serial}"] if serial else []
        replace(self._path(zone, suffix), "\n".join([*head, *lines]) + "\n")

    @staticmethod
    def _serial(path: Path) -> int | None:
        """The serial of the file that a zone was to be loaded from, in the first line of what is pending."""
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        return int(first[1:]) if first.startswith(";") else None


def _hear(line: str) -> str | None:
    """Lines worth keeping: ``named`` says at every start what it was built with."""
    kept = re.fullmatch(r"(?:\d+-\w+-\d+ [\d:.]+ )?[a-z-]+: (?P<level>[a-z]+): (?P<text>.*)", line)
    if kept is None or kept["level"] in ("warning", "error", "critical") or kept["text"] in ("running", "all zones loaded"):
        return line or None
    return None
