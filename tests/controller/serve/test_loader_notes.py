# SPDX-License-Identifier: GPL-3.0-or-later
"""What the TFTP service noted down is counted and recorded by the worker, at the time it was seen."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from processes import until
from sqlalchemy import select

from metalwright.lifecycle.engine import Engine
from metalwright.network.tftp import TftpEvent
from metalwright.serve.loader_notes import LoaderNotes
from metalwright.serve.sightings import Sightings
from metalwright.serve.tallying import Tallying
from metalwright.store import Store, tallies
from metalwright.store.models import Event, Interface, Machine

ADDRESS = "10.77.0.10"


@pytest.fixture
def booting(store: Store, engine: Engine) -> str:
    """The operation of a machine that boots."""
    with store.write() as session:
        machine = Machine(name="node-1", state="new")
        machine.interfaces = [Interface(mac="52:54:00:00:00:0a", boot=True, address=ADDRESS)]
        session.add(machine)
        session.flush()
        return engine.start(session, machine, "commission", {}, by="test").id


def fetched(name: str, kind: Any = "complete", client: str = ADDRESS) -> TftpEvent:
    return TftpEvent(kind, client, name, "sent", 1000, 0.5)


def test_it_is_counted_and_recorded(store: Store, clock: Any, tmp_path: Path, booting: str) -> None:
    notes, tallying = LoaderNotes(), Tallying(store)
    before = time.time()
    notes.put(fetched("snponly.efi"))
    after = time.time()
    notes.put(fetched("\u00e9" * 255, "refused"))
    notes.put(fetched("snponly.efi", client="10.77.0.99"))  # nobody's address
    threading.Thread(target=notes.pump, args=(tallying, Sightings(store, clock, tmp_path / "arp")), daemon=True).start()

    def counted() -> dict[str, float]:
        tallying.flush()
        with store.session() as session:
            return {name: sum(value for _, value in each) for name, each in tallies.all_of(session).items()}

    until(lambda: counted() == {"tftp_requests": 3, "tftp_bytes": 3000}, "all is counted")
    with store.session() as session:
        event = session.scalars(select(Event).where(Event.kind == "boot.loader")).one()
        assert (event.message, event.operation_id) == ("node-1: fetched snponly.efi by TFTP", booting)
        assert before <= event.at.timestamp() <= after


def test_a_note_that_finds_no_room_holds_nobody_up() -> None:
    notes = LoaderNotes()
    for _ in range(10_000):
        notes.put(fetched("snponly.efi"))
    notes.close()


def test_the_rest_of_a_line_that_a_killed_worker_had_begun_to_read(
    store: Store, clock: Any, tmp_path: Path, booting: str
) -> None:
    notes = LoaderNotes()
    notes.put(fetched("snponly.efi"))
    os.read(notes._out, 10)
    notes.put(fetched("ipxe.efi"))
    pumping = (Tallying(store), Sightings(store, clock, tmp_path / "arp"))
    threading.Thread(target=notes.pump, args=pumping, daemon=True).start()

    def recorded() -> list[str]:
        with store.session() as session:
            return list(session.scalars(select(Event.message).where(Event.kind == "boot.loader")))

    until(lambda: recorded() == ["node-1: fetched ipxe.efi by TFTP"], "the next note is recorded")
