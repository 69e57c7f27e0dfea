# SPDX-License-Identifier: GPL-3.0-or-later
"""A receiver for every test, and a worker's turn that is taken by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from receiver import SECRET, Receiver

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.tasks import claim
from metalwright.lifecycle.webhooks import Webhooks
from metalwright.lifecycle.worker import Worker
from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import Webhook

sys.path.append(str(Path(__file__).parent.parent / "serve"))

Work = Callable[[], int]
Happen = Callable[..., list[int]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def hook(store: Store, receiver: Receiver) -> Callable[..., None]:
    """Add a webhook that leads to the receiver."""

    def add(name: str = "ops", **columns: Any) -> None:
        with store.write() as session:
            session.add(Webhook(name=name, **{"url": receiver.url, "secrets": {"hmac": SECRET}, **columns}))

    return add


@pytest.fixture
def happen(store: Store, clock: Any) -> Happen:
    """Record events, and return their ids."""

    def events(*kinds: str, **data: Any) -> list[int]:
        found = []
        with store.write() as session:
            for kind in kinds:
                event = record(session, kind, f"{kind} happened", data=data, at=clock())
                session.flush()
                found.append(event.id)
        return found

    return events


@pytest.fixture
def work(store: Store, engine: Engine, clock: Any) -> Work:
    """What a worker does in one second: schedule, then carry out all that is due. Returns how many tasks that were."""
    webhooks = Webhooks(store, clock)
    worker = Worker(store, engine, webhooks.handlers(), owner="w", threads=2)

    def turn() -> int:
        webhooks.schedule(clock())
        done = 0
        while task := claim(store, "w", clock(), 15):
            worker.carry_out(task)
            done += 1
        return done

    return turn
