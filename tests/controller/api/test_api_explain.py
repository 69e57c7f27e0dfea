# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine explained: every state has its ways out, closed ones say why, and what failed says what it means."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.failures import CAUSES
from metalwright.lifecycle.operations import OPERATIONS, Signal
from metalwright.lifecycle.states import MEANINGS, TRANSIENT, State
from metalwright.lifecycle.transitions import ACTIONS, table
from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import Allocation, ConsoleLog, Machine, Operation


def explained(client: FlaskClient, name: str = "node-1") -> dict[str, Any]:
    answer = client.get(f"/api/v1/machines/{name}/explain")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json
    return found


def ways(found: dict[str, Any], *, refused: bool = False) -> dict[str, dict[str, Any]]:
    return {way["action"]: way for way in found["ways"] if bool(way["refused"]) == refused}


def start(store: Store, engine: Engine, machine: str, kind: str, *signals: Signal, **parameters: Any) -> str:
    with store.write() as session:
        row = session.get_one(Machine, machine)
        operation = engine.start(session, row, kind, {"hostname": row.name, "address": "dhcp", **parameters}, by="test")
        for signal in signals:
            engine.signal(session, operation, signal)
        return operation.id


@pytest.mark.parametrize("state", [state for state in State if state not in TRANSIENT])
def test_every_resting_state_has_every_way_of_the_table(client: FlaskClient, add_machine: Any, state: State) -> None:
    add_machine(state=state)
    found = explained(client)
    assert (found["state"], found["meaning"]) == (state, MEANINGS[state])
    offered = {way["action"] for way in found["ways"]}
    assert offered >= {line.by for line in table() if line.before == state and line.when not in ("succeeded",)} & {
        *OPERATIONS,
        *ACTIONS,
    }
    assert {"lock", "delete"} <= offered
    assert ways(found), "there is always a way out"
    for way in ways(found).values():
        assert way["command"].startswith("metalwright ") and "node-1" in way["command"]


def test_failed_machine_says_what_it_failed_at_and_what_usually_causes_it(
    client: FlaskClient, store: Store, engine: Engine, clock: Any, add_machine: Any
) -> None:
    machine = add_machine()
    way = (Signal.POWER_DONE, Signal.BOOT_SCRIPT, Signal.HELLO)
    operation = start(store, engine, machine, "deploy", *way, image="debian/12")
    with store.write() as session:
        stored = session.get_one(Operation, operation)
        record(session, "agent.step", "node-1: write started", operation=stored, at=clock())
        said = {"code": "disk_too_small", "message": "node-1: write: vda has 8 GiB", "log_tail": "one\ntwo"}
        engine.fail(session, stored, said)
    found = explained(client)
    assert found["state"] == "failed" and found["doing"] is None
    failure = found["failure"]
    assert failure["operation"] == operation and failure["at"] == clock().isoformat()
    assert (failure["kind"], failure["code"], failure["phase"]) == ("deploy", "disk_too_small", "install")
    assert (failure["what"], failure["hint"]) == CAUSES["disk_too_small"]
    assert failure["last_seen"].endswith("node-1: write started") and failure["log_tail"] == "one\ntwo"
    (event,) = client.get("/api/v1/events?limit=1000&kind=operation.failed").json["events"]  # type: ignore[index]
    assert event["data"]["code"] == "disk_too_small" and "log_tail" not in event["data"]  # webhooks post it to others
    open_ways = ways(found)
    assert {"commission", "test", "deploy", "release", "rescue", "mark-broken", "delete"} <= set(open_ways)
    assert open_ways["deploy"]["command"] == "metalwright machine deploy node-1 --image debian/12"
    assert open_ways["release"]["leads_to"] == ["ready"]
    order = list(open_ways)
    assert (order[0], order[-1]) == ("deploy", "delete"), "what failed can be done again: first; forgetting the machine: last"
    assert order.index("release") < order.index("power-on")
    assert "did not fail at a test" in ways(found, refused=True)["override-failed-test"]["refused"]


def test_failure_that_changed_nothing_is_told_until_something_succeeds(
    client: FlaskClient, store: Store, engine: Engine, clock: Any, add_machine: Any
) -> None:
    machine = add_machine()
    operation = start(store, engine, machine, "commission")
    with store.write() as session:
        engine.fail(session, session.get_one(Operation, operation), {"code": "no_dhcp", "message": "node-1: nothing"})
    clock.advance(1)
    start(store, engine, machine, "power-off", Signal.POWER_DONE)
    found = explained(client)
    assert found["state"] == "ready" and found["failure"]["code"] == "no_dhcp"
    clock.advance(1)
    start(store, engine, machine, "commission", Signal.HELLO, Signal.JOB_DONE, Signal.POWER_DONE)
    assert explained(client)["failure"] is None


def test_busy_machine_says_what_it_does_and_what_comes_of_silence(
    client: FlaskClient, store: Store, engine: Engine, clock: Any, add_machine: Any
) -> None:
    machine = add_machine(power_driver="ipmi")
    operation = start(store, engine, machine, "release")
    with store.write() as session:
        stored = session.get_one(Operation, operation)
        record(session, "power.netboot", "node-1 told to boot from the network", operation=stored, at=clock())
        record(session, "boot.dhcp", "node-1: DHCP ack", operation=stored, data={"packet": "ack"}, at=clock())
    found = explained(client)
    doing = found["doing"]
    assert (doing["operation"], doing["kind"], doing["phase"], doing["attempt"]) == (operation, "release", "netboot", 1)
    assert doing["last_seen"].endswith("node-1: DHCP ack")
    assert doing["otherwise"].startswith("it is turned on anew, attempt 2 of 3 (no_loader: DHCP was answered")
    assert found["failure"] is None
    open_ways = ways(found)
    assert open_ways["abort"] == {
        "action": "abort",
        "leads_to": ["ready"],
        "command": f"metalwright operation abort {operation}",
        "refused": "",
        "hint": "",
    }
    assert open_ways["wait"]["leads_to"] == ["ready"]
    with store.write() as session:
        engine.signal(session, session.get_one(Operation, operation), Signal.HELLO)
    found = explained(client)
    assert ways(found)["abort"]["leads_to"] == ["failed"], "the agent may have begun to erase"
    assert found["doing"]["otherwise"].startswith("the operation fails (agent_silent")
    assert "is busy" in ways(found, refused=True)["delete"]["refused"]


def test_machine_that_waits_in_line_may_be_aborted(client: FlaskClient, store: Store, engine: Engine, add_machine: Any) -> None:
    engine.settings = engine.settings.model_copy(update={"limits": engine.settings.limits.model_copy(update={"installs": 0})})
    start(store, engine, add_machine(), "deploy")
    found = explained(client)
    assert found["doing"]["phase"] is None and "waiting in line" in found["doing"]["message"]
    assert ways(found)["abort"]["leads_to"] == ["ready"]


def test_locked_machine_says_that_unlocking_is_the_way(client: FlaskClient, add_machine: Any) -> None:
    add_machine(locked=True)
    found = explained(client)
    assert set(ways(found)) == {"unlock"}
    closed = ways(found, refused=True)
    assert closed["deploy"]["refused"] == "node-1 is locked." and closed["deploy"]["hint"] == "Unlock it first."
    assert any("locked" in note for note in found["notes"])


def test_adopted_machine_is_not_wiped_by_the_way(client: FlaskClient, add_machine: Any) -> None:
    add_machine(state="deployed", deployed={"adopted": True, "image": "somebody's"})
    found = explained(client)
    closed = ways(found, refused=True)
    assert "wipe_adopted" in closed["release"]["hint"] and "wipe_adopted" in closed["deploy"]["hint"]
    assert {"power-cycle", "rescue", "mark-broken", "lock"} <= set(ways(found))


def test_broken_machine_says_who_marked_it_and_why(client: FlaskClient, add_machine: Any) -> None:
    add_machine()
    assert client.post("/api/v1/machines/node-1/mark-broken", json={"note": "smoke"}).status_code == 200
    found = explained(client)
    assert any("marked broken by tester: smoke" in note for note in found["notes"])
    assert "ready" in ways(found)["mark-fixed"]["leads_to"]


def test_failed_test_may_be_overridden(client: FlaskClient, add_machine: Any) -> None:
    failure = {"code": "test_failed", "message": "memory failed", "phase": "test", "hint": "", "docs": "", "log_tail": ""}
    add_machine(state="failed", test_status="failed", failure={**failure, "last_seen": ""})
    found = explained(client)
    assert found["failure"]["what"] == CAUSES["test_failed"].what and found["failure"]["operation"] is None
    assert "override-failed-test" in ways(found)


def test_machine_of_an_allocation_says_how_it_is_given_back(client: FlaskClient, store: Store, add_machine: Any) -> None:
    machine = add_machine(state="allocated")
    with store.write() as session:
        allocation = Allocation(name="hadoop", count=1)
        session.add(allocation)
        session.flush()
        session.get_one(Machine, machine).allocation_id = allocation.id
    found = explained(client)
    assert any("hadoop" in note for note in found["notes"])
    assert [way["command"] for way in found["ways"] if way["action"] == "give-back"] == [
        "metalwright allocation set hadoop --count 0"
    ]


def test_console_of_an_operation(client: FlaskClient, store: Store, engine: Engine, clock: Any, add_machine: Any) -> None:
    operation = start(store, engine, add_machine(), "commission")
    assert client.get(f"/api/v1/operations/{operation}/console").json == {"operation": operation, "sources": []}
    with store.write() as session:
        for source, text in (("first-boot", "Cloud-init v. 22.4\n"), ("agent", "metalwright-agent\n")):
            session.add(ConsoleLog(operation_id=operation, source=source, text=text, updated_at=clock()))
    found: Any = client.get(f"/api/v1/operations/{operation}/console").json
    assert [(each["source"], each["text"]) for each in found["sources"]] == [
        ("agent", "metalwright-agent\n"),
        ("first-boot", "Cloud-init v. 22.4\n"),
    ]
    assert client.get("/api/v1/operations/nothing/console").status_code == 404


@pytest.mark.parametrize(("address", "says"), [("10.0.0.9", "ssh root@10.0.0.9"), (None, "Its address is not known")])
def test_a_rescued_machine_says_how_to_log_in(client: FlaskClient, add_machine: Any, address: str | None, says: str) -> None:
    add_machine(state=State.RESCUE, rescue={"address": address, "host_keys": []})
    (note,) = (note for note in explained(client)["notes"] if note.startswith("Log in"))
    assert says in note and "None" not in note
