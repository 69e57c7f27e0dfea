# SPDX-License-Identifier: GPL-3.0-or-later
"""What DHCP and TFTP see is written into the operation of the machine it was, once a boot; and reports survive a dead worker."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from processes import until
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.serve import reports as reports_module
from metalwright.serve.reports import Reports
from metalwright.serve.sightings import Sighting, Sightings
from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import Event, Interface, Machine, Operation

MAC, ADDRESS = "52:54:00:00:00:0a", "10.77.0.10"
ARP = "IP address       HW type     Flags       HW address            Mask     Device\n"


def saw(kind: str = "boot.dhcp", once: str = "ack", *, mac: str | None = MAC, address: str | None = None) -> Sighting:
    return Sighting(kind, once, f"{kind} {once}", {}, mac=mac, address=address)


@pytest.fixture
def operation(store: Store, engine: Engine) -> str:
    """A machine that boots."""
    with store.write() as session:
        machine = Machine(name="node-1", state="new")
        machine.interfaces = [Interface(mac=MAC, boot=True, address=ADDRESS)]
        session.add(machine)
        session.flush()
        return engine.start(session, machine, "commission", {}, by="test").id


@pytest.fixture
def sightings(store: Store, clock: Any, tmp_path: Path) -> Sightings:
    neighbours = tmp_path / "arp"
    neighbours.write_text(f"{ARP}10.77.0.120      0x1         0x2         {MAC}     *        br0\n")
    return Sightings(store, clock, neighbours)


def events(store: Store, *kinds: str) -> list[Event]:
    with store.session() as session:
        return list(session.scalars(select(Event).where(Event.kind.in_(kinds)).order_by(Event.id)))


def test_what_is_left_of_a_former_boot_hides_nothing_of_this_one(
    store: Store, clock: Any, sightings: Sightings, operation: str
) -> None:
    """A lease is asked for in the moment between the decision to try again and the power call; the machine then asks anew."""
    assert sightings.record(saw(), clock())
    with store.write() as session:
        turned_on = session.get_one(Operation, operation)
        record(session, "power.netboot", "node-1 told to boot from the network", operation=turned_on, at=clock())
    assert [sightings.record(saw(), clock()) for _ in range(2)] == [True, False]


def test_each_is_recorded_once_a_boot(store: Store, engine: Engine, clock: Any, sightings: Sightings, operation: str) -> None:
    assert [sightings.record(saw(once=each), clock()) for each in ("discover", "ack", "ack", "discover")] == [
        True,
        True,
        False,
        False,
    ]
    with store.write() as session:
        engine.signal(session, session.get_one(Operation, operation), Signal.POWER_DONE)
        engine.signal(session, session.get_one(Operation, operation), Signal.BOOT_SCRIPT)
    assert sightings.record(saw(once="ack"), clock()), "the agent asks again: that is another boot phase"
    found = events(store, "boot.dhcp")
    assert [(each.operation_id, each.machine_name) for each in found] == [(operation, "node-1")] * 3
    assert found[0].message == "node-1: boot.dhcp discover"


def test_it_carries_the_time_it_was_seen(store: Store, clock: Any, sightings: Sightings, operation: str) -> None:
    seen = clock()
    clock.advance(5)
    assert sightings.record(saw(), seen)
    assert events(store, "boot.dhcp")[0].at == seen


@pytest.mark.parametrize("address", [ADDRESS, "10.77.0.120"])
def test_a_machine_is_known_by_its_address_or_by_its_lease(
    store: Store, clock: Any, sightings: Sightings, operation: str, address: str
) -> None:
    assert sightings.record(saw("boot.loader", mac=None, address=address), clock())
    assert [each.operation_id for each in events(store, "boot.loader")] == [operation]


def test_strangers_and_idle_machines_are_no_news(
    store: Store, engine: Engine, clock: Any, sightings: Sightings, operation: str
) -> None:
    assert not sightings.record(saw(mac="52:54:00:00:00:0b"), clock())
    assert not sightings.record(saw(mac=None, address="10.77.0.99"), clock())
    with store.write() as session:
        engine.abort(session, session.get_one(Operation, operation), by="test")
    assert not sightings.record(saw(), clock())
    assert events(store, "boot.dhcp", "boot.loader") == []


def test_reports_wait_until_somebody_records_them(store: Store) -> None:
    reports = Reports()
    reports.put("service.restarted", "service worker was killed by SIGKILL", {"service": "worker"})
    reports.put("service.restarted", "\ufffd" * 5000, {"service": "tftp"})
    reports.start_pump(store)
    found = until(lambda: told if len(told := events(store, "service.restarted")) == 2 else [], "both are recorded")
    assert [each.data["service"] for each in found] == ["worker", "tftp"]


def test_a_database_that_is_away_for_a_moment_loses_no_report(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "AFTER_TROUBLE", 0.01)
    with monkeypatch.context() as away:
        failed = threading.Event()

        def fail(*_arguments: Any, **_named: Any) -> None:
            failed.set()
            raise OperationalError("INSERT", {}, Exception("the server closed the connection"))

        away.setattr(reports_module, "record", fail)
        reports = Reports()
        reports.put("service.restarted", "service worker was killed", {"service": "worker"})
        reports.start_pump(store)
        assert failed.wait(30)
    until(lambda: events(store, "service.restarted"), "it is recorded")


def test_a_report_that_can_not_be_recorded_is_in_the_way_of_none(store: Store) -> None:
    reports = Reports()
    reports._in.send(b'["service.restarted", "cut o')
    reports.put("network.refused", "refused", {"details": "x" * 5000, "name": "\udcff"})
    reports.put("service.restarted", "service worker was killed", {"service": "worker"})
    reports.start_pump(store)
    (last,) = until(lambda: events(store, "service.restarted"), "the last is recorded")
    assert last.data == {"service": "worker"}
    assert [(each.message, each.data) for each in events(store, "network.refused")] == [("refused", {})]


def test_reports_nobody_takes_out_hold_nothing_up() -> None:
    reports = Reports()
    for _ in range(2000):
        reports.put("service.restarted", "again", {"service": "worker"})
    reports.close()
