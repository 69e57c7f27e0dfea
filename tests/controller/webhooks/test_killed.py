# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers that are killed in the middle of deliveries: nothing is lost, the order is kept, repetitions have the same id."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from receiver import Receiver
from sqlalchemy import select

sys.path.append(str(Path(__file__).parent.parent / "serve"))
from processes import until
from running_controller import RunningController

from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import Event, Task

EVENTS = 100


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[RunningController]:
    made = RunningController(tmp_path)
    yield made
    made.stop()


def worker_of(store: Store) -> int | None:
    """The process that delivers now; the outbox knows."""
    with store.session() as session:
        owner = session.scalar(select(Task.owner).where(Task.kind == "webhook.deliver", Task.state == "running"))
    return int(owner.split(":")[1]) if owner else None


def test_a_worker_is_killed_again_and_again_in_the_middle_of_a_delivery(
    controller: RunningController, receiver: Receiver
) -> None:
    controller.start()
    made = controller.json("webhook", "set", "ops", "--url", receiver.url, "--event", "test.*")
    store = Store(f"sqlite:///{controller.data / 'metalwright.db'}")
    killed: list[int] = []

    def kill(event: int) -> None:
        """While the worker waits for the answer to some events."""
        time.sleep(0.002)
        if len(receiver.taken) in (20, 70) and len(killed) < 2 and event not in killed:
            pid = worker_of(store)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                killed.append(event)

    receiver.before = kill
    for number in range(EVENTS):
        with store.write() as session:
            record(session, "test.happened", str(number), data={"number": number})
            record(session, "other.happened", "not wanted")
    with store.session() as session:
        wanted = list(session.scalars(select(Event.id).where(Event.kind == "test.happened").order_by(Event.id)))
    until(lambda: receiver.taken and receiver.taken[-1] == wanted[-1], "the last event", 120)
    store.engine.dispose()
    assert len(killed) == 2
    assert [event for event, _ in groupby(receiver.taken)] == wanted
    assert len(receiver.taken) <= EVENTS + len(killed), "only the event that a killed worker was at is repeated"
    assert made["secret"]


def test_a_webhook_that_hangs_slows_neither_others_nor_operations(controller: RunningController, receiver: Receiver) -> None:
    hanging, release = [Receiver() for _ in range(4)], threading.Event()
    for each in hanging:
        each.before = lambda _event: release.wait(9) and None
    controller.start()
    for number, each in enumerate(hanging):
        controller.json("webhook", "set", f"hangs-{number}", "--url", each.url)
    controller.json("webhook", "set", "well", "--url", receiver.url, "--event", "machine.created", "--event", "operation.*")
    controller.json("machine", "add", "node-1", "--mac", "52:54:00:00:00:01")
    began = time.monotonic()
    assert controller.cli("machine", "power", "query", "node-1").returncode == 0
    until(lambda: [each.event["kind"] for each in receiver.deliveries][-1:] == ["operation.succeeded"], "the end is told", 8)
    assert time.monotonic() - began < 8
    assert not any(each.deliveries for each in hanging)
    release.set()
    for each in hanging:
        each.stop()
