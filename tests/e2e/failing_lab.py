# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab in which things are made to go wrong, several at once: each machine lives through a story of its own, in a thread."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab_under_test import LabUnderTest, wait_for
from wall import Wall

from metalwright.lab.spec import LabSpec, MachineSpec

Event = dict[str, Any]

PATIENCE = float(os.environ.get("METALWRIGHT_E2E_PATIENCE", "1"))
"""Makes the deadlines longer where the processors have other work."""
DEADLINES = {"netboot": 60, "boot": 180, "heartbeat": 30, "first_boot": 240}
"""Several times as long as an emulated machine needs that has a processor for itself, for they have to share two."""
AT_ONCE = 2
"""Machines that are on at the same time: also firmware that waits in vain keeps an emulated processor busy."""
SETTINGS: dict[str, Any] = {
    "heartbeat": 5,
    "deadlines": {"netboot_attempts": 2, **{name: int(seconds * PATIENCE) for name, seconds in DEADLINES.items()}},
}


@dataclass(frozen=True)
class Ended:
    """How an operation has failed, what the machine was then, and how it was brought back."""

    operation: dict[str, Any]
    events: list[Event]
    cause: datetime
    after: str
    back: str = ""

    @property
    def failure(self) -> dict[str, Any]:
        found: dict[str, Any] = self.operation["failure"] or {}
        return found


class FailingLab:
    """``stories`` are begun with ``tell``; what comes of each of their failures is asked for with ``of``."""

    def __init__(self, lab: LabUnderTest) -> None:
        self.lab = lab
        self.wall: Wall
        self._places = threading.Semaphore(AT_ONCE)
        self._outcomes: dict[str, Future[Ended]] = {}

    def up(self, *machines: MachineSpec) -> None:
        """Make the lab and enlist its machines."""
        self.lab.up(LabSpec(name=self.lab.name, machines=machines, settings=SETTINGS))
        self.wall = Wall(self.lab.spec.namespace)
        for name, host in self.lab.fleet["metalwright_machines"]["hosts"].items():
            known = {"name": name, "macs": host["metalwright_macs"], "firmware": host["metalwright_firmware"]}
            self.lab.api("POST", "/machines", {**known, "power": host["metalwright_power"]})

    def down(self) -> None:
        self.lab.down()

    def add_image(self, name: str, path: Path) -> None:
        """Import an image on the controller's host."""
        config = str(self.lab.places.config)
        self.lab.inside("metalwright", "image", "import", str(path), "--name", name, "--config", config)

    # -- stories ---------------------------------------------------------------------------------------------------------------

    def tell(self, machine: str, **steps: Callable[[], Ended]) -> None:
        """Begin the story of a machine: its failures by name, one after the other."""
        for name in steps:
            self._outcomes[name] = Future()
        threading.Thread(target=self._live, args=(machine, steps), daemon=True).start()

    def _live(self, machine: str, steps: dict[str, Callable[[], Ended]]) -> None:
        left = list(steps)
        try:
            for name, step in steps.items():
                self._outcomes[name].set_result(step())
                left.remove(name)
        except BaseException as error:
            traceback.print_exc()  # now: the test that asks for it may be waiting for other stories
            for name in left:
                self._outcomes[name].set_exception(error)
            self.lab.ipmitool(machine, "chassis", "power", "off")  # it would only take time from the others

    def of(self, name: str) -> Ended:
        """What came of a failure."""
        return self._outcomes[name].result(900 * PATIENCE)

    # -- what stories are made of ----------------------------------------------------------------------------------------------

    @contextmanager
    def on(self, machine: str) -> Iterator[None]:
        """Keep a place for a machine that is on, and turn it off: too many at once would need longer than their deadlines are."""
        with self._places:
            try:
                yield
            finally:
                self.lab.ipmitool(machine, "chassis", "power", "off")

    def mac(self, machine: str) -> str:
        return self.lab.spec.mac(machine)

    def start(self, machine: str, kind: str, **body: Any) -> str:
        """Begin an operation; returns its identifier."""
        identifier: str = self.lab.api("POST", f"/machines/{machine}/{kind}", body)["operation"]["id"]
        return identifier

    def deploy(self, machine: str, **body: Any) -> str:
        """Begin a deployment, of the lab's own image unless it is said otherwise."""
        return self.start(machine, "deploy", **{**self.lab.fleet["metalwright_machines"]["vars"]["metalwright_deploy"], **body})

    def events(self, operation: str) -> list[Event]:
        found: list[Event] = self.lab.api("GET", f"/events?limit=1000&operation={operation}")["events"]
        return found

    def heard(self, operation: str, kind: str, times: int = 1, **data: Any) -> Event:
        """Wait for an event of an operation, for the first or a later time; fails when the operation has ended without it."""

        def look() -> list[Event]:
            over = self.lab.api("GET", f"/operations/{operation}")["state"] in ("succeeded", "failed", "aborted")
            found = [event for event in self.events(operation) if _is(event, kind, data)]
            assert len(found) >= times or not over, self.told(operation)
            return found if len(found) >= times else []

        return wait_for(f"{kind} ({times})", look, 400 * PATIENCE)[times - 1]  # type: ignore[no-any-return]

    def ended(self, operation: str) -> dict[str, Any]:
        """The operation, when it has ended."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.lab.api("GET", f"/operations/{operation}?wait=20")
            return found if found["state"] in ("succeeded", "failed", "aborted") else None

        return wait_for("the operation's end", look, 600 * PATIENCE)  # type: ignore[no-any-return]

    def succeeds(self, machine: str, kind: str, **body: Any) -> str:
        """Do an operation, without any scripts, and see it succeed; returns its kind."""
        with self.on(machine):
            operation = self.start(machine, kind, scripts=[], **body)
            assert self.ended(operation)["state"] == "succeeded", self.told(operation)
        return kind

    def failed(self, operation: str, *, cause: str | datetime, back: Callable[[], str], **data: Any) -> Ended:
        """Wait for the end of an operation that fails, then bring the machine back.

        ``cause`` is a moment, or the kind of the first event that has ``data``.
        """
        ended = self.ended(operation)
        assert ended["state"] == "failed", self.told(operation)
        events = self.events(operation)
        if isinstance(cause, str):
            found = [datetime.fromisoformat(event["at"]) for event in events if _is(event, cause, data)]
            assert found, self.told(operation)
            cause = found[0]
        machine = self.lab.machine(ended["machine"]["name"])
        assert machine["operation"] is None
        print(f"\n{self.told(operation)}", flush=True)
        return Ended(ended, events, cause, machine["state"], back())

    def told(self, operation: str) -> str:
        """What an operation failed of and what happened before, for who reads a failed test."""
        found = self.lab.api("GET", f"/operations/{operation}")
        lines = [f"{event['at'][11:23]} {event['kind']}: {event['message']}" for event in self.events(operation)]
        return "\n".join([f"{found['machine']['name']} {found['kind']} {found['state']}: {found['failure']}", *lines])


def now() -> datetime:
    """The moment, as events tell theirs."""
    return datetime.now(UTC)


def _is(event: Event, kind: str, data: dict[str, Any]) -> bool:
    return bool(event["kind"] == kind and data.items() <= event["data"].items())
