# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine in a network namespace, its processes run as the controller runs them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

import dns.message
import dns.query
import dns.rcode
import dns.reversename
from dhcp_client import Namespace

from metalwright.config import Settings
from metalwright.network import engines
from metalwright.network.engines import Change, Process
from metalwright.network.engines.seen import DhcpSeen
from metalwright.network.model import NetworkState
from metalwright.serve.engine_process import EngineProcess


class Running:
    """The processes of an engine, their log, and what was reported of them. ``server`` is where it answers DNS."""

    def __init__(self, namespace: Namespace, settings: Settings, server: str = "10.99.0.1") -> None:
        self.engine = engines.create(settings)
        self.namespace = namespace
        self.server = server
        self.log: list[str] = []
        self.seen: list[DhcpSeen] = []
        self.reports: list[tuple[str, str, dict[str, Any]]] = []
        self._changed = threading.Condition()
        self._processes: list[EngineProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, state: NetworkState) -> None:
        """The first configuration, and the processes with it; waits until they serve."""
        self.apply(state)
        self.run()

    def run(self) -> None:
        """Start the processes with the configuration there is, and wait until they serve."""
        found = self.engine.processes()
        prefix = self.namespace.command([])
        self._processes = [EngineProcess(self._heard(each), self._saw, self._reported, prefix=prefix) for each in found]
        for process in self._processes:
            process.start()
        self.wait(lambda: all(any(each.started.search(line) for line in self.log) for each in found))

    def _heard(self, process: Process) -> Process:
        def hear(line: str) -> Sequence[DhcpSeen] | str | None:
            with self._changed:
                self.log.append(line)
                self._changed.notify_all()
            return process.hear(line)

        return replace(process, hear=hear)

    def _saw(self, seen: DhcpSeen) -> None:
        with self._changed:
            self.seen.append(seen)
            self._changed.notify_all()

    def _reported(self, kind: str, message: str, data: dict[str, Any]) -> None:
        with self._changed:
            self.reports.append((kind, message, data))
            self._changed.notify_all()

    def said(self, words: str) -> int:
        """How many lines of the log hold these words."""
        return sum(words in line for line in self.log)

    @property
    def starts(self) -> int:
        """How often a process has come up."""
        return sum(bool(each.started.search(line)) for each in self.engine.processes() for line in self.log)

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until the log or the reports show it."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout=10), "\n".join([*self.log, *map(str, self.reports)])

    def apply(self, *states: NetworkState) -> Change:
        """Apply one after the other, as a worker of the namespace's host does."""
        change = Change.NOTHING
        for state in states:
            change = self.namespace.run(lambda wanted=state: self.engine.apply(wanted))
        return change

    def ask(self, name: str, kind: str = "A") -> tuple[str, list[str]]:
        """Rcode and answers."""
        family = socket.AF_INET6 if ":" in self.server else socket.AF_INET
        sock = self.namespace.run(lambda: socket.socket(family, socket.SOCK_DGRAM))
        with sock:
            sock.setblocking(False)
            answer = dns.query.udp(dns.message.make_query(name, kind), self.server, timeout=5, sock=sock)
        found = [item.to_text() for rrset in answer.answer for item in rrset]
        return dns.rcode.to_text(answer.rcode()), found

    def reverse(self, address: str) -> tuple[str, list[str]]:
        """Rcode and names."""
        return self.ask(str(dns.reversename.from_address(address)), "PTR")

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [process.pid for process in self._processes if process.pid is not None]

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.stop()
        for process in self._processes:
            process.join()
