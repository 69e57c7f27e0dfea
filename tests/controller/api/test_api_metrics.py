# SPDX-License-Identifier: GPL-3.0-or-later
"""``/metrics``, read by the library's own parser: what is now, and what only grows."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from metalwright.lifecycle import measures
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.lifecycle.tasks import claim, enqueue
from metalwright.store import Store, tallies
from metalwright.store.events import record
from metalwright.store.models import Event, Image, Machine, Operation, Task, Webhook

TO_THE_AGENT = (Signal.POWER_DONE, Signal.BOOT_SCRIPT, Signal.HELLO)


class Scrape:
    """One answer of /metrics."""

    def __init__(self, client: FlaskClient) -> None:
        response = client.get("/metrics")
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        self.families = {family.name: family for family in text_string_to_metric_families(response.text)}
        samples = [sample for family in self.families.values() for sample in family.samples]
        self.values = {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.values.get((f"metalwright_{name}", *sorted(labels.items())))


def run(store: Store, engine: Engine, clock: Any, machine_id: str, kind: str, *signals: Signal, **data: Any) -> None:
    """An operation whose signals come ten seconds apart."""
    with store.write() as session:
        operation = engine.start(session, session.get_one(Machine, machine_id), kind, {}, by="test").id
    for signal in signals:
        clock.advance(10)
        with store.write() as session:
            engine.signal(session, session.get_one(Operation, operation), signal, data)


def test_it_needs_a_token(client: FlaskClient) -> None:
    assert client.application.test_client().get("/metrics").status_code == 401


def test_machines_and_the_outbox_are_as_they_are_now(
    client: FlaskClient, store: Store, add_machine: Any, clock: Any, engine: Engine
) -> None:
    first = add_machine("a")
    add_machine("b")
    add_machine("c", "failed", power_failure={"code": "bmc_unreachable", "message": "x"})
    add_machine("d", "broken", power_failure=None)
    with store.write() as session:
        engine.start(session, session.get_one(Machine, first), "commission", {}, by="test")
        enqueue(session, "image.import", {}, now=clock() + timedelta(seconds=5))
        session.add(Task(kind="power.off", state="failed", run_at=clock()))
        session.add(Task(kind="power.off", state="done", run_at=clock()))
    clock.advance(30)
    scrape = Scrape(client)
    assert [scrape("machines", state=state) for state in ("ready", "commissioning", "failed", "new")] == [1, 1, 1, 0]
    assert scrape("machines_power_failing", code="bmc_unreachable") == 1
    assert len(scrape.families["metalwright_machines_power_failing"].samples) == 1
    assert scrape("operations_live", operation="commission", state="running") == 1
    assert scrape("tasks", task="power.netboot", state="pending") == 1
    assert scrape("tasks", task="power.off", state="failed") == 1
    assert scrape("tasks", task="power.off", state="done") is None
    assert scrape("task_oldest_seconds", task="power.netboot") == 30
    assert scrape("task_oldest_seconds", task="image.import") == 25
    assert scrape("task_untaken_seconds") == 30
    claim(store, "worker", clock(), 9)
    waiting = Scrape(client)
    assert waiting("task_oldest_seconds", task="image.import") == 25
    assert waiting("task_untaken_seconds") == 0, "a worker is there"


def test_operations_and_their_phases_are_counted_once(
    client: FlaskClient, store: Store, add_machine: Any, clock: Any, engine: Engine
) -> None:
    machine = add_machine("a")
    run(store, engine, clock, machine, "commission", *TO_THE_AGENT, Signal.JOB_DONE, Signal.POWER_DONE)
    run(store, engine, clock, machine, "release", *TO_THE_AGENT)
    with store.write() as session:
        operation = session.get_one(Operation, session.get_one(Machine, machine).operation_id)
        clock.advance(40)
        engine.fail(session, operation, {"code": "wipe_failed", "message": "sda"})
    for _ in range(3):
        measures.fold(store, clock())
    scrape = Scrape(client)
    assert scrape("operations_total", operation="commission", result="succeeded") == 1
    assert scrape("operations_total", operation="release", result="failed") == 1
    assert scrape("operation_failures_total", operation="release", code="wipe_failed") == 1
    which = {"operation": "commission", "phase": "netboot"}
    assert scrape("phase_duration_seconds_sum", **which) == 20, "until the boot script came"
    assert scrape("phase_duration_seconds_count", **which) == 1
    assert scrape("phase_duration_seconds_bucket", **which, le="10.0") == 0
    assert scrape("phase_duration_seconds_bucket", **which, le="20.0") == 1
    assert scrape("phase_duration_seconds_bucket", **which, le="+Inf") == 1
    assert scrape("phase_duration_seconds_sum", operation="release", phase="wipe") == 40
    assert {labels["phase"] for labels in phases(scrape)} == {"netboot", "boot", "inspect", "power-off", "wipe"}


def phases(scrape: Scrape) -> list[dict[str, str]]:
    family = scrape.families["metalwright_phase_duration_seconds"]
    return [sample.labels for sample in family.samples if sample.name.endswith("_count")]


def test_counters_stay_when_what_they_counted_is_gone(
    client: FlaskClient, store: Store, add_machine: Any, clock: Any, engine: Engine
):
    machine = add_machine("a")
    run(store, engine, clock, machine, "power-on", Signal.POWER_DONE)
    measures.fold(store, clock())
    with store.write() as session:
        session.delete(session.get_one(Machine, machine))
        session.query(Event).delete()
    measures.fold(store, clock())
    assert Scrape(client)("operations_total", operation="power-on", result="succeeded") == 1


@pytest.mark.parametrize("which", ["store", "postgres_store"])
def test_a_long_log_is_folded_in_batches_and_nothing_is_left_out(request: Any, which: str, clock: Any) -> None:
    store: Store = request.getfixturevalue(which)
    count = measures.BATCH * 2 + 7
    with store.write() as session:
        for number in range(count):
            record(session, "power.unreachable", "x", data={"code": "bmc_unreachable" if number % 2 else "bmc_auth_failed"})
            record(session, "other", "x")
    for _ in range(3):
        measures.fold(store, clock())
    with store.session() as session:
        found = tallies.all_of(session)["power_unreachable"]
    assert {labels["code"]: value for labels, value in found} == {
        "bmc_unreachable": count // 2,
        "bmc_auth_failed": count - count // 2,
    }


@pytest.mark.parametrize("which", ["store", "postgres_store"])
def test_many_workers_count_an_event_once(request: Any, which: str, clock: Any) -> None:
    store: Store = request.getfixturevalue(which)
    start = threading.Barrier(5)

    def work() -> None:
        start.wait()
        for _ in range(25):
            measures.fold(store, clock())

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    start.wait()
    for _ in range(20):
        with store.write() as session:
            record(session, "power.unreachable", "x", data={"code": "bmc_unreachable"})
    for worker in workers:
        worker.join()
    measures.fold(store, clock())
    with store.session() as session:
        assert tallies.all_of(session)["power_unreachable"] == [({"code": "bmc_unreachable"}, 20)]


def test_images_events_and_webhooks(client: FlaskClient, store: Store, clock: Any) -> None:
    with store.write() as session:
        for number, content in enumerate(["a", "a", "b", None]):
            stored = (1 << 40) + ord(content) if content else None
            session.add(Image(name=f"i{number}", content_sha256=content * 64 if content else None, stored_bytes=stored))
        for _ in range(3):
            record(session, "test", "x", at=clock())
        session.add(Webhook(name="chat", url="http://x/", failures=3, given_up=1))
        session.add(Webhook(name="off", url="http://x/", failures=3, enabled=False))
    scrape = Scrape(client)
    assert scrape("image_store_bytes") == (2 << 40) + ord("a") + ord("b")
    assert (scrape("events_kept"), scrape("events_total")) == (3, 3)
    assert scrape("event_oldest_timestamp_seconds") == clock().timestamp()
    assert (scrape("webhook_failures", webhook="chat"), scrape("webhook_given_up", webhook="chat")) == (3, 1)
    assert scrape("webhook_failures", webhook="off") is None


def test_names_that_people_choose_can_not_break_the_format(client: FlaskClient, store: Store) -> None:
    name = 'a"b\\c\nd'
    with store.write() as session:
        session.add(Webhook(name=name, url="http://x/", failures=1))
        tallies.add(session, {tallies.key("webhook_deliveries", webhook=name, result="taken"): 2})
    scrape = Scrape(client)
    assert scrape("webhook_failures", webhook=name) == 1
    assert scrape("webhook_deliveries_total", webhook=name, result="taken") == 2


@pytest.mark.parametrize("which", ["store", "postgres_store"])
def test_two_processes_that_count_the_same_lose_nothing(request: Any, which: str) -> None:
    store: Store = request.getfixturevalue(which)
    keys = [tallies.key("dhcp_packets", packet=packet) for packet in ("ack", "offer")]
    with store.write() as session:
        tallies.add(session, dict.fromkeys(keys, 2))
    with store.write() as session:
        tallies.add(session, dict.fromkeys(reversed(keys), 1.5))
    with store.session() as session:
        assert tallies.all_of(session)["dhcp_packets"] == [({"packet": "ack"}, 3.5), ({"packet": "offer"}, 3.5)]
