# SPDX-License-Identifier: GPL-3.0-or-later
"""The outbox's task that runs a playbook on a machine. Carried out twice, it runs the playbook again from the beginning.

What is known of a run stands on its operation, ``playbook_run``: ``name``; ``status``, which is ``running``, ``succeeded``,
``failed`` or ``stopped``; ``began``, how often it was begun; ``started_at, ended_at``; and ``recap``, the numbers of tasks that
were ``ok, changed, unreachable, failed, skipped``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.errors import MetalwrightError, NotFound, Unavailable
from metalwright.lifecycle import console
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.held import take
from metalwright.lifecycle.operations import OPERATIONS, Signal
from metalwright.lifecycle.tasks import Claimed
from metalwright.lifecycle.worker import PLAYBOOK, Handler
from metalwright.runs import place, playbooks
from metalwright.runs.output import Output, piece
from metalwright.runs.place import Target
from metalwright.runs.run import Run
from metalwright.store import Store
from metalwright.store.base import Clock, utcnow
from metalwright.store.events import record
from metalwright.store.models import Operation, Task

LOOK = 0.5
"""Seconds between two looks at whether the run is still wanted."""
TAIL = 4096


class _Unwanted(Exception):
    """The operation has ended, or another worker runs the playbook by now."""


@dataclass
class _Seen:
    """What a run has said of itself."""

    task: str = ""
    failed: str = ""
    why: str = ""
    status: str = ""
    recap: dict[str, int] | None = None
    tail: str = ""


class PlaybookRuns:
    """The handler. When ``stop`` is set, what runs is ended and put back: another worker, or the next start, begins it anew."""

    def __init__(self, settings: Settings, store: Store, stop: threading.Event, clock: Clock = utcnow) -> None:
        self._settings = settings
        self._store = store
        self._stop = stop
        self._clock = clock
        self._engine = Engine(settings, clock)

    def handlers(self) -> dict[str, Handler]:
        """Kind of task to what carries it out."""
        return {PLAYBOOK: self.run}

    def run(self, task: Claimed) -> None:
        """Run the playbook of the task's operation, to its end or until nobody wants it any more.

        Raises ``MetalwrightError``: ``playbook_failed``, ``playbook_unreachable``, ``playbook_timeout``, ``playbook_gone``;
        ``Unavailable`` when the worker stops.
        """
        try:
            self._run(task)
        except _Unwanted:
            return

    def _run(self, task: Claimed) -> None:
        with self._store.write() as session:
            operation = _locked(session, task)
            parameters = operation.parameters
            target = _target(operation)
            limit = self._engine.seconds(operation, OPERATIONS[operation.kind].phase(operation.phase or ""))
            playbook = self._find(parameters["playbook"])
            self._begin(session, operation, parameters["playbook"])
        variables = parameters.get("playbook_vars") or {}
        output, seen = Output(variables), _Seen()
        with (
            place.made(self._settings.runs_dir, self._settings.runs, target, variables) as directory,
            Run(directory, playbook) as run,
        ):
            self._follow(task, run, output, seen, limit)
            complaint = "" if seen.status else output.hide(run.complaint())
        text = output.take(0, last=True) + complaint
        failure = None
        if seen.status != "successful":
            seen.tail = (seen.tail + text)[-TAIL:]
            failure = _failure(target.name, parameters["playbook"], seen)
        self._end(task, text, seen, "failed" if failure else "succeeded")
        if failure:
            raise failure

    def _find(self, name: str) -> Path:
        try:
            return playbooks.find(self._settings.runs, name)
        except MetalwrightError as error:
            raise MetalwrightError("playbook_gone", error.message, error.hint) from None

    def _begin(self, session: Session, operation: Operation, name: str) -> None:
        began = (operation.playbook_run or {}).get("began", 0) + 1
        run = {"name": name, "status": "running", "began": began, "started_at": self._clock().isoformat()}
        operation.playbook_run = {**run, "ended_at": None, "recap": None}
        again = f", for the {began}. time" if began > 1 else ""
        message = f"{operation.machine.name}: playbook {name} begins{again}"
        data = {"playbook": name, "began": began}
        record(session, "playbook.started", message, operation=operation, data=data, at=self._clock())
        if began > 1:
            console.append(session, operation, "playbook", "\n[the playbook was begun again]\n", self._clock())

    def _follow(self, task: Claimed, run: Run, output: Output, seen: _Seen, limit: float) -> None:
        """Take in what the run says until it ends, or until it has to."""
        began = looked = time.monotonic()
        for message in run.messages(LOOK):
            now = time.monotonic()
            if message is not None:
                _take_in(message, output, seen)
            if now - looked >= LOOK:
                looked = now
                self._look(task)
                if now - began >= limit:
                    seen.status = "timeout"
                    return
            if text := output.take(now - began):
                self._tell(task, text, seen)

    def _look(self, task: Claimed) -> None:
        """Raise ``_Unwanted`` when nobody wants the run any more, ``Unavailable`` when the worker stops."""
        if self._stop.is_set():
            raise Unavailable("worker_stops", "The controller is being stopped; the playbook is begun anew.")
        with self._store.session() as session:
            operation, held = session.get(Operation, task.operation_id), session.get(Task, task.id)
            wanted = operation is not None and operation.state == "running" and operation.phase == task.phase
            if not wanted or held is None or held.fence != task.fence:
                raise _Unwanted

    def _tell(self, task: Claimed, text: str, seen: _Seen) -> None:
        with self._store.write() as session:
            operation = _locked(session, task)
            seen.tail = (seen.tail + text)[-TAIL:]
            self._add(session, operation, text, seen)
            self._engine.signal(session, operation, Signal.PROGRESS, {"message": seen.task})

    def _add(self, session: Session, operation: Operation, text: str, seen: _Seen) -> None:
        """Add what was printed to the console log, and its end to the event log."""
        console.append(session, operation, "playbook", text, self._clock())
        name = operation.parameters["playbook"]
        message = f"{operation.machine.name}: playbook {name}: {seen.task}" if seen.task else f"{operation.machine.name}: {name}"
        data = {"playbook": name, "text": console.printable(piece(text))}
        record(session, "playbook.output", message, operation=operation, data=data, at=self._clock())

    def _end(self, task: Claimed, text: str, seen: _Seen, status: str) -> None:
        with self._store.write() as session:
            operation = _locked(session, task)
            if text:
                self._add(session, operation, text, seen)
            ended = {"status": status, "ended_at": self._clock().isoformat(), "recap": seen.recap}
            operation.playbook_run = {**(operation.playbook_run or {}), **ended}
            name = operation.parameters["playbook"]
            message = f"{operation.machine.name}: playbook {name} {status}"
            data = {"playbook": name, "status": status, "recap": seen.recap}
            record(session, "playbook.ended", message, operation=operation, data=data, at=self._clock())


def _locked(session: Session, task: Claimed) -> Operation:
    operation = take(session, task.operation_id) if task.operation_id else None
    if operation is None or operation.state != "running" or operation.phase != task.phase:
        raise _Unwanted
    return operation


def _target(operation: Operation) -> Target:
    """How the machine is reached now: before a release, as it was until then."""
    machine = operation.machine
    interface = machine.boot_interface
    address = operation.parameters.get("former_address") if operation.kind == "release" else interface and interface.address
    if not address or not machine.host_keys:
        what = "its SSH host keys are" if address else "its address is"
        raise NotFound("playbook_unreachable", f"{machine.name}: {what} not known, so the playbook can not be run on it.")
    facts = {
        **{name: getattr(machine, name) for name in ("name", "hostname", "arch", "firmware", "pool", "zone", "description")},
        "tags": list(machine.tags),
        "address": address,
        "operation": operation.kind,
        "image": operation.parameters.get("image") or (machine.deployed or {}).get("image"),
    }
    return Target(machine.name, address, list(machine.host_keys), facts)


def _take_in(message: dict[str, Any], output: Output, seen: _Seen) -> None:
    if "text" in message:
        output.add(message["text"])
    if "task" in message:
        seen.task = output.hide(message["task"])
    if "failed" in message:
        seen.failed, seen.why = output.hide(message["failed"]), output.hide(message["why"])
    if "status" in message:
        seen.status, seen.recap = message["status"], message["recap"] or None


def _failure(machine: str, playbook: str, seen: _Seen) -> MetalwrightError:
    """Why a run did not succeed, with the end of what it printed."""
    if seen.status == "timeout":
        where = f", in the task {seen.task!r}" if seen.task else ""
        message = f"{machine}: playbook {playbook} did not end in time{where}"
        return MetalwrightError("playbook_timeout", message, log_tail=seen.tail)
    where = f" in the task {seen.failed!r}" if seen.failed else ""
    why = f": {' '.join(seen.why.split())[:400]}" if seen.why else ""
    unreachable = bool((seen.recap or {}).get("unreachable"))
    message = f"{machine}: playbook {playbook} failed{where}{why}"
    return MetalwrightError("playbook_unreachable" if unreachable else "playbook_failed", message, log_tail=seen.tail)
