# SPDX-License-Identifier: GPL-3.0-or-later
"""Events reach a real server in order, signed; what it does not take is tried again, and given up after a day."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from receiver import SECRET, Receiver, signed_by
from sqlalchemy import select

from metalwright.lifecycle.tasks import claim
from metalwright.lifecycle.webhooks import RETRIES, Webhooks, lane
from metalwright.lifecycle.worker import Worker
from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import Event, Machine, Task, Webhook

HOUR = 3600.0


def look(store: Store, name: str = "ops") -> Webhook:
    with store.session() as session:
        return session.scalars(select(Webhook).where(Webhook.name == name)).one()


def events(store: Store, kind: str) -> list[Event]:
    with store.session() as session:
        return list(session.scalars(select(Event).where(Event.kind == kind).order_by(Event.id)))


def test_an_event_arrives_as_it_is_in_the_log_and_signed(
    store: Store, receiver: Receiver, hook: Any, work: Any, clock: Any, tmp_path: Path
) -> None:
    hook()
    with store.write() as session:
        machine = Machine(name="nöde-1", state="ready")
        session.add(machine)
        session.flush()
        record(session, "machine.created", "nöde-1 was added", machine=machine, data={"macs": ["a"]}, at=clock())
        machine_id = machine.id
    assert work() == 1
    (delivery,) = receiver.deliveries
    assert delivery.path == "/hook?from=metalwright"
    assert delivery.headers["Content-Type"] == "application/json"
    assert delivery.event == {
        "id": delivery.id,
        "at": clock().isoformat(),
        "kind": "machine.created",
        "message": "nöde-1 was added",
        "machine": {"id": machine_id, "name": "nöde-1"},
        "operation": None,
        "data": {"macs": ["a"]},
    }
    assert delivery.headers["Metalwright-Signature"].startswith(f"t={int(clock().timestamp())},v1=")
    assert signed_by(delivery, SECRET, tmp_path)
    assert not signed_by(delivery, "another secret", tmp_path)


def test_only_what_fits_the_patterns_is_posted_in_order(
    store: Store, receiver: Receiver, hook: Any, happen: Any, work: Any
) -> None:
    hook(events=["operation.*", "machine.broken"])
    ids = happen("operation.started", "boot.dhcp", "machine.broken", "machine.brokenly", "operation.failed", "operationXfailed")
    work()
    assert receiver.taken == [ids[0], ids[2], ids[4]]
    work()
    assert look(store).cursor == ids[-1]
    assert work() == 0


def test_a_server_that_is_down_gets_everything_when_it_is_up_again(
    store: Store, receiver: Receiver, hook: Any, happen: Any, work: Any, clock: Any
) -> None:
    hook()
    receiver.stop()
    ids = happen(*["test"] * 5)
    pauses = []
    for _ in range(14):
        work()
        failing = look(store)
        assert failing.retry_at is not None
        pauses.append((failing.retry_at - clock()).total_seconds())
        clock.advance(pauses[-1] - 0.5)
        assert work() == 0
        clock.advance(0.5)
    assert pauses == [min(2.0**n, HOUR) for n in range(14)]
    assert look(store).last_error == "it can not be reached: Connection refused"
    again = Receiver(receiver.port)
    work()
    assert again.taken == ids
    well = look(store)
    assert (well.failures, well.last_error, well.failing_since, well.retry_at) == (0, "", None, None)
    assert well.last_delivery_at == clock()
    again.stop()


def test_one_whose_secret_is_lost_is_tried_less_and_less_often_and_says_what_it_needs(
    store: Store, receiver: Receiver, hook: Any, happen: Any, work: Any, clock: Any
) -> None:
    """As after the database was emptied of what can not be read without the key to it."""
    hook()
    with store.write() as session:
        session.connection().exec_driver_sql("UPDATE webhook SET secrets = '{}'")
    ids = happen("test", "test")
    assert work() == 1
    assert work() == 0, "it is not tried again every second"
    failing = look(store)
    assert (failing.failures, failing.retry_at) == (1, clock() + timedelta(seconds=1))
    assert failing.last_error == "it has no secret; to give it one: metalwright webhook set ops --secret-file FILE"
    with store.write() as session:
        assert session.scalars(select(Task.state)).all() == []
        session.scalars(select(Webhook)).one().secrets = {"hmac": SECRET}
    clock.advance(1)
    work()
    assert (receiver.taken, look(store).failures) == (ids, 0)


def test_an_event_that_is_refused_comes_again_before_those_after_it(
    receiver: Receiver, hook: Any, happen: Any, work: Any, clock: Any
):
    hook()
    first, second, third = happen("test", "test", "test")
    receiver.answer = lambda event: 500 if event == second and len(receiver.deliveries) < 4 else 200
    for _ in range(4):
        work()
        clock.advance(8)
    assert [(each.id, each.status) for each in receiver.deliveries] == [
        *((first, 200), (second, 500), (second, 500), (second, 500)),
        *((second, 200), (third, 200)),
    ]


def test_a_redirect_is_not_followed(store: Store, receiver: Receiver, hook: Any, happen: Any, work: Any) -> None:
    elsewhere = Receiver()
    hook()
    happen("test")
    receiver.answer, receiver.location = lambda _event: 307, elsewhere.url
    work()
    assert look(store).last_error == "it answered 307, and redirects are not followed"
    assert elsewhere.deliveries == []
    elsewhere.stop()


def until_given_up(store: Store, work: Any, clock: Any) -> float:
    began = clock()
    while not events(store, "webhook.given_up"):
        assert (clock() - began).total_seconds() < 30 * HOUR
        work()
        clock.advance(HOUR)
    return float((clock() - began).total_seconds()) / HOUR


def test_a_server_that_is_gone_for_a_day_is_given_up_on_once(
    store: Store, receiver: Receiver, hook: Any, happen: Any, work: Any, clock: Any
) -> None:
    hook()
    receiver.stop()
    happen("old", "old")
    assert 24 <= until_given_up(store, work, clock) <= 26
    (told,) = events(store, "webhook.given_up")
    assert told.data["webhook"] == "ops"
    assert told.data["events"] == 2
    assert "Connection refused" in told.message
    (later,) = happen("later")
    for _ in range(30):
        work()
        clock.advance(HOUR)
    assert len(events(store, "webhook.given_up")) == 1
    assert look(store).given_up == 4, "the two, the event that told of them, and the later one"
    assert look(store).cursor >= later
    again = Receiver(receiver.port)
    (newest,) = happen("newest")
    work()
    assert again.taken == [newest]
    assert look(store).given_up == 0
    again.stop()


def test_one_event_that_a_server_never_takes_holds_up_the_others_for_a_day_only(
    store: Store, receiver: Receiver, hook: Any, happen: Any, work: Any, clock: Any
) -> None:
    hook()
    poison, good = happen("poison", "good")
    receiver.answer = lambda event: 400 if event == poison else 200
    until_given_up(store, work, clock)
    (told,) = events(store, "webhook.given_up")
    assert told.data["events"] == 1
    work()
    assert receiver.taken == [good, told.id]


def test_what_is_old_is_tried_for_a_day_all_the_same(
    store: Store, receiver: Receiver, hook: Any, happen: Any, work: Any, clock: Any
) -> None:
    """The controller was off for long, and the server hiccups once."""
    hook()
    (event,) = happen("test")
    clock.advance(100 * HOUR)
    receiver.answer = lambda _event: 200 if receiver.deliveries else 503
    work()
    clock.advance(2)
    work()
    assert receiver.taken == [event]
    assert events(store, "webhook.given_up") == []


@pytest.mark.parametrize("how", ["disable", "delete"])
def test_disabling_and_deleting_take_effect_before_the_next_event(
    store: Store, receiver: Receiver, hook: Any, happen: Any, work: Any, how: str
) -> None:
    hook()
    ids = happen(*["test"] * 3)

    def meanwhile(_event: int) -> None:
        with store.write() as session:
            found = session.scalars(select(Webhook)).one()
            if how == "delete":
                session.delete(found)
            else:
                found.enabled = False

    receiver.before = meanwhile
    work()
    assert receiver.taken == ids[:1]
    assert work() == 0
    if how == "disable":
        receiver.before = lambda _event: None
        with store.write() as session:
            session.scalars(select(Webhook)).one().enabled = True
        work()
        assert receiver.taken == ids


def test_two_workers_at_one_webhook_keep_the_order(
    store: Store, receiver: Receiver, hook: Any, happen: Any, work: Any, clock: Any
) -> None:
    """The first one's lease runs out while it waits for the server: another goes on, and the first one stops."""
    hook()
    ids = happen(*["test"] * 4)
    late: list[int] = []

    def overtake(event: int) -> None:
        if event == ids[1] and not late:
            late.append(event)
            clock.advance(16)
            work()

    receiver.before = overtake
    work()
    assert receiver.taken == [ids[0], *ids[1:], ids[1]], "what comes last is known by its id"
    assert look(store).cursor == ids[-1]


def test_a_webhook_is_delivered_to_by_one_task_at_a_time_in_its_servers_lane(
    store: Store, receiver: Receiver, hook: Any, happen: Any, work: Any, clock: Any
) -> None:
    hook("one")
    hook("two", url="https://Example.COM/x")
    happen("test")
    for _ in range(3):
        Webhooks(store, clock).schedule(clock())
    with store.session() as session:
        tasks = session.execute(select(Task.kind, Task.lane).order_by(Task.lane)).all()
    assert tasks == [("webhook.deliver", f"127.0.0.1:{receiver.port}"), ("webhook.deliver", "example.com:443")]
    assert lane("http://[::1]:8080/") == "::1:8080"


def test_the_connection_is_kept_between_events_and_made_anew_when_the_server_has_closed_it(
    receiver: Receiver, hook: Any, happen: Any, work: Any
) -> None:
    connections: list[object] = []
    accept = receiver.server.get_request
    receiver.server.get_request = lambda: (lambda made: (connections.append(made[1]), made)[1])(accept())  # type: ignore[func-returns-value]
    hook()
    ids = happen(*["test"] * 5)
    work()
    assert receiver.taken == ids
    assert len(connections) == 1


def test_webhooks_that_failed_the_last_time_leave_room_for_the_others(store: Store, hook: Any, happen: Any, clock: Any) -> None:
    for number in range(RETRIES + 3):
        hook(f"down-{number}", failures=5, failing_since=clock(), retry_at=clock())
    hook("well")
    happen("test")
    for _ in range(2):
        Webhooks(store, clock).schedule(clock())
    with store.session() as session:
        scheduled = {payload["webhook"] for payload in session.scalars(select(Task.payload))}
        names = sorted(session.scalars(select(Webhook.name).where(Webhook.id.in_(scheduled))))
    assert len(names) == RETRIES + 1
    assert names[-1] == "well"


def test_on_postgresql_an_event_that_commits_late_is_posted_before_those_after_it(
    postgres_store: Store, engine: Any, receiver: Receiver, clock: Any
) -> None:
    webhooks = Webhooks(postgres_store, clock)
    worker = Worker(postgres_store, engine, webhooks.handlers(), owner="w", threads=2)

    def work() -> None:
        webhooks.schedule(clock())
        while task := claim(postgres_store, "w", clock(), 15):
            worker.carry_out(task)

    with postgres_store.write() as session:
        session.add(Webhook(name="ops", url=receiver.url, secrets={"hmac": SECRET}))
    with postgres_store.write() as late:
        first = record(late, "test", "late")
        late.flush()
        with postgres_store.write() as quick:
            second = record(quick, "test", "quick")
        work()
        assert receiver.deliveries == []
    work()
    assert receiver.taken == [first.id, second.id]


def test_on_postgresql_two_workers_schedule_one_task(postgres_store: Store, receiver: Receiver, clock: Any) -> None:
    with postgres_store.write() as session:
        session.add(Webhook(name="ops", url=receiver.url, secrets={"hmac": SECRET}))
        record(session, "test", "x", at=clock())
    start = threading.Barrier(6)

    def schedule() -> None:
        start.wait()
        Webhooks(postgres_store, clock).schedule(clock())

    threads = [threading.Thread(target=schedule) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with postgres_store.session() as session:
        assert len(session.scalars(select(Task.id)).all()) == 1


@pytest.mark.parametrize("poison", [{"note": "\ud800"}, {"rate": float("inf")}])
def test_an_event_that_can_not_be_written_as_json_is_a_failed_delivery(
    store: Store, receiver: Receiver, hook: Any, work: Any, clock: Any, poison: dict[str, Any]
) -> None:
    hook()
    with store.write() as session:
        record(session, "test", "bad", at=clock()).data = poison
    work()
    failed = look(store)
    assert (failed.failures, receiver.deliveries) == (1, [])
    assert failed.retry_at is not None and failed.retry_at > clock()
    assert "can not be written as JSON" in failed.last_error
