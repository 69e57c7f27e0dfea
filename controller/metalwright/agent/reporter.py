# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress, console and heartbeat, in a thread of their own: a slow controller never holds up work, nor work a heartbeat."""

from __future__ import annotations

import threading
import time
from typing import Any

from . import backoff
from .abort import Abort
from .client import Client, NoAnswer
from .console import Console
from .errors import Refused, StepFailed
from .relay import Relay

TICK = 1.0
"""Seconds between two progress reports while there is something new to say."""
LONGEST_PAUSE = 60.0
EARLIEST, LATEST = 0.3, 0.6
"""A heartbeat is due after this share of the interval that the controller asked for (as ironic-python-agent does)."""


class Reporter:
    """Posts ``progress`` until stopped; an answer of ``"continue": false`` aborts the job, and so does a void token. It is silent
    for the ``pause`` that an answer asks for: the controller has many to listen to."""

    def __init__(
        self, client: Client, console: Console, abort: Abort, heartbeat: float, relay: Relay, tick: float = TICK
    ) -> None:
        """``heartbeat`` and ``tick`` are in seconds; ``relay`` sends the console, as often as progress is reported."""
        self._client = client
        self._console = console
        self._abort = abort
        self._heartbeat = heartbeat
        self._relay = relay
        self._tick = tick
        self._lock = threading.Lock()
        self._news = False
        self._state: dict[str, Any] = {"step": "", "percent": 0, "done_bytes": 0, "total_bytes": 0, "message": ""}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self) -> None:
        """Report no more. Does not wait for a call that is under way."""
        self._stop.set()

    def update(self, step: str, percent: float = 0, message: str = "", done_bytes: int = 0, total_bytes: int = 0) -> None:
        """Say how far ``step`` is: ``percent`` from 0 to 100. Cheap; may be called as often as one likes."""
        state = {
            "step": step,
            "percent": max(0, min(100, int(percent))),
            "done_bytes": done_bytes,
            "total_bytes": total_bytes,
            "message": message,
        }
        with self._lock:
            self._news = self._news or state != self._state
            self._state = state

    def _run(self) -> None:
        failures = 0
        due, quiet = self._next_beat(), 0.0
        while not self._stop.wait(self._tick):
            with self._lock:
                state, news = self._state, self._news
            now = time.monotonic()
            if now < quiet or (now < due and (failures or not news)):
                continue
            with self._lock:
                self._news = False
            try:
                answer = self._client.post_once("progress", state)
            except NoAnswer as error:
                failures += 1
                if failures == 1:
                    self._console.say(f"the controller does not take progress reports: {error}; going on, trying again")
                due = time.monotonic() + backoff.after(failures)
                continue
            except Refused as error:
                self._abort.ask(f"the controller refuses to hear of this job: {error.message}")
                return
            except StepFailed as error:
                self._abort.ask(error.message)
                return
            failures = 0
            if answer.get("continue") is False:
                self._abort.ask("the controller wants this job stopped")
                return
            self._relay.send()
            due, quiet = self._next_beat(), time.monotonic() + _pause(answer.get("pause"))

    def _next_beat(self) -> float:
        return time.monotonic() + self._heartbeat * backoff.between(EARLIEST, LATEST)


def _pause(wished: object) -> float:
    """Anything but a few seconds would end this thread, or its reports for ever, and the job with them."""
    return min(max(float(wished), 0.0), LONGEST_PAUSE) if isinstance(wished, int | float) else 0.0
