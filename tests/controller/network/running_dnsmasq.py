# SPDX-License-Identifier: GPL-3.0-or-later
"""A dnsmasq in a network namespace, started again when it ends, as the controller does it."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Callable

import dns.message
import dns.query
import dns.rcode
import dns.reversename
from dhcp_client import Namespace

from metalwright.config import Settings
from metalwright.network import engines
from metalwright.network.engines import Change
from metalwright.network.engines.dnsmasq import Dnsmasq
from metalwright.network.model import NetworkState


class Running:
    """dnsmasq with someone who starts it again when it ends, and its log."""

    def __init__(self, namespace: Namespace, settings: Settings) -> None:
        engine = engines.create(settings)
        assert isinstance(engine, Dnsmasq)
        self.engine = engine
        self.namespace = namespace
        self.log: list[str] = []
        self.starts = 0
        self.ends: list[int] = []
        self._changed = threading.Condition()
        self._stopping = False
        self.process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._supervise)

    def start(self, state: NetworkState) -> None:
        self.apply(state)
        self._thread.start()
        self.wait(lambda: self.said("sockets bound") or self.said("started, version"))

    def _supervise(self) -> None:
        while not self._stopping:
            command = self.engine.command()
            assert command is not None
            self.process = subprocess.Popen(self.namespace.command(command), stderr=subprocess.PIPE, text=True)
            self.starts += 1
            assert self.process.stderr is not None
            with self.process.stderr as lines:
                for line in lines:
                    with self._changed:
                        self.log.append(line)
                        self._changed.notify_all()
            self.ends.append(self.process.wait())

    def said(self, words: str) -> bool:
        return any(words in line for line in self.log)

    def wait(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=5), "".join(self.log)

    def apply(self, *states: NetworkState) -> Change:
        change = Change.NOTHING
        for state in states:
            change = self.namespace.run(lambda wanted=state: self.engine.apply(wanted))
        return change

    def ask(self, name: str, kind: str = "A") -> tuple[str, list[str]]:
        """Rcode and answers."""
        sock = self.namespace.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with sock:
            sock.setblocking(False)
            answer = dns.query.udp(dns.message.make_query(name, kind), "10.99.0.1", timeout=5, sock=sock)
        found = [item.to_text() for rrset in answer.answer for item in rrset]
        return dns.rcode.to_text(answer.rcode()), found

    def reverse(self, address: str) -> tuple[str, list[str]]:
        return self.ask(str(dns.reversename.from_address(address)), "PTR")

    def stop(self) -> None:
        self._stopping = True
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self._thread.join()
