# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations go on by signals and deadlines, never twice, and always to an end."""

from __future__ import annotations

from typing import Any

import pytest
from operating import DEPLOY, HARDWARE, RECORD, add_machine, carry_out, look, start, tell
from sqlalchemy import select

from metalwright.errors import Conflict
from metalwright.lifecycle import actions
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.lifecycle.states import TRANSIENT, State
from metalwright.lifecycle.timeline import timeline
from metalwright.lifecycle.waiting import wants_netboot
from metalwright.store import Store
from metalwright.store.models import Event, IpRange, Machine, Operation, Subnet, Task


def test_a_deploy_walks_through_its_phases_to_deployed(store: Store, engine: Engine) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    phases = [look(store, operation_id).phase] + [tell(store, engine, operation_id, signal).phase for signal in DEPLOY]
    assert phases == ["netboot", "netboot", "boot", "install", "install", "first-boot", "first-boot"]
    operation = look(store, operation_id)
    assert (operation.state, operation.machine.state, operation.machine.operation_id) == ("succeeded", "deployed", None)
    assert operation.machine.deployed is not None
    assert operation.machine.deployed["image"] == "debian/12"
    assert operation.machine.hostname == "web-1"


@pytest.mark.parametrize("repeat", list(DEPLOY))
def test_a_signal_that_comes_twice_changes_nothing(store: Store, engine: Engine, repeat: Signal) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    for signal in DEPLOY:
        before = tell(store, engine, operation_id, signal)
        if signal == repeat:
            again = tell(store, engine, operation_id, signal)
            assert (again.phase, again.state, again.attempt) == (before.phase, before.state, before.attempt)
    assert look(store, operation_id).state == "succeeded"


def test_signals_after_the_end_are_ignored(store: Store, engine: Engine) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    tell(store, engine, operation_id, *DEPLOY)
    assert tell(store, engine, operation_id, Signal.JOB_FAILED, Signal.HELLO, code="late").state == "succeeded"


def test_a_refused_power_call_leaves_the_machine_as_it_was(store: Store, engine: Engine) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    operation = tell(store, engine, operation_id, Signal.POWER_FAILED, code="bmc_auth_failed", message="wrong password")
    assert (operation.state, operation.machine.state, operation.machine.hostname) == ("failed", "ready", None)
    assert operation.failure is not None
    assert (operation.failure["code"], operation.failure["phase"]) == ("bmc_auth_failed", "netboot")


def test_a_machine_whose_job_failed_is_failed_and_may_be_deployed_straight_away(store: Store, engine: Engine) -> None:
    machine_id = add_machine(store)
    operation_id = start(store, engine, machine_id, "deploy")
    tell(store, engine, operation_id, Signal.BOOT_SCRIPT, Signal.HELLO)
    operation = tell(store, engine, operation_id, Signal.JOB_FAILED, code="disk_too_small", message="8 GiB < 20 GiB")
    machine = operation.machine
    assert (machine.state, machine.failed_from, machine.operation_id) == ("failed", "deploying", None)
    assert machine.failure is not None
    assert machine.failure["code"] == "disk_too_small"
    again = start(store, engine, machine_id, "deploy")
    assert tell(store, engine, again, *DEPLOY).machine.failure is None


def test_a_machine_that_does_not_boot_is_tried_again_and_then_fails_with_a_reason(
    store: Store, engine: Engine, clock: Any
) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    for attempt in (2, 3):
        carry_out(store)
        clock.advance(engine.settings.deadlines.netboot + 1)
        with store.write() as session:
            assert engine.reap(session) == 1
        assert (look(store, operation_id).attempt, look(store, operation_id).phase) == (attempt, "netboot")
    carry_out(store)
    clock.advance(engine.settings.deadlines.netboot + 1)
    with store.write() as session:
        engine.reap(session)
    operation = look(store, operation_id)
    assert operation.failure is not None
    assert (operation.state, operation.failure["code"], operation.machine.state) == ("failed", "no_netboot", "ready")
    assert operation.failure["hint"]
    with store.session() as session:
        assert len(session.scalars(select(Task).where(Task.kind == "power.netboot")).all()) == 3


def test_a_machine_that_restarts_for_ever_before_its_agent_reports_fails(store: Store, engine: Engine, clock: Any) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    for _ in range(1000):
        operation = tell(store, engine, operation_id, Signal.BOOT_SCRIPT)
        if operation.state != "running":
            break
        clock.advance(60)
        with store.write() as session:
            engine.reap(session)
    assert operation.failure is not None
    assert (operation.failure["code"], operation.attempt) == ("no_kernel", engine.settings.deadlines.netboot_attempts)


def test_a_machine_that_restarts_under_the_agent_begins_anew(store: Store, engine: Engine) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    tell(store, engine, operation_id, Signal.BOOT_SCRIPT, Signal.HELLO)
    operation = tell(store, engine, operation_id, Signal.BOOT_SCRIPT)
    assert (operation.phase, operation.attempt) == ("boot", 2)
    assert tell(store, engine, operation_id, Signal.HELLO).phase == "install"


def test_the_boot_script_is_given_out_only_while_the_agent_is_wanted(store: Store, engine: Engine) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    wanted = [wants_netboot(look(store, operation_id))]
    for signal in DEPLOY:
        wanted.append(wants_netboot(tell(store, engine, operation_id, signal)))
    assert wanted == [True, True, True, True, True, False, False]
    assert not wants_netboot(None)


def test_a_second_operation_is_refused_and_names_the_first(store: Store, engine: Engine) -> None:
    machine_id = add_machine(store)
    operation_id = start(store, engine, machine_id, "deploy")
    with pytest.raises(Conflict) as refused:
        start(store, engine, machine_id, "release")
    assert (refused.value.code, refused.value.details["operation"]) == ("machine_busy", operation_id)


def test_a_machine_never_commissioned_is_not_deployed(store: Store, engine: Engine) -> None:
    machine_id = add_machine(store, state=State.NEW)
    with pytest.raises(Conflict, match="starts from"):
        start(store, engine, machine_id, "deploy")
    with store.session() as session:
        assert session.get_one(Machine, machine_id).operation_id is None
        assert session.scalars(select(Operation)).all() == []


def test_what_follows_starts_in_the_same_transaction(store: Store, engine: Engine) -> None:
    machine_id = add_machine(store, state=State.NEW)
    with store.write() as session:
        machine = session.get_one(Machine, machine_id)
        then = [{"kind": "deploy", "parameters": {"address": "dhcp", "record": RECORD}}]
        operation_id = engine.start(session, machine, "commission", {}, by="test", then=then).id
    with store.write() as session:
        session.get_one(Machine, machine_id).hardware = HARDWARE
    tell(store, engine, operation_id, Signal.BOOT_SCRIPT, Signal.HELLO, Signal.JOB_DONE, Signal.POWER_DONE)
    assert look(store, operation_id).next == [{"kind": "deploy"}]  # who waits for the first goes on with the second
    with store.session() as session:
        machine = session.get_one(Machine, machine_id)
        assert machine.state == "deploying"
        following = session.get_one(Operation, machine.operation_id)
        assert (following.kind, following.requested_by) == ("deploy", "test")
        assert look(store, operation_id).followed_by == following.id


@pytest.mark.parametrize(
    ("signals", "state"),
    [((), "ready"), ((Signal.BOOT_SCRIPT,), "ready"), ((Signal.BOOT_SCRIPT, Signal.HELLO), "failed")],
)
def test_an_abort_says_what_is_left_of_the_machine(store: Store, engine: Engine, signals: tuple[Signal, ...], state: str) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    tell(store, engine, operation_id, *signals)
    with store.write() as session:
        engine.abort(session, session.get_one(Operation, operation_id), by="ann")
    operation = look(store, operation_id)
    assert (operation.state, operation.machine.state, operation.machine.operation_id) == ("aborted", state, None)
    with store.write() as session, pytest.raises(Conflict, match="ended already"):
        engine.abort(session, session.get_one(Operation, operation_id), by="ann")


def test_installations_beyond_the_limit_wait_in_line(store: Store, settings: Any) -> None:
    limited = settings.model_copy(update={"limits": settings.limits.model_copy(update={"installs": 1})})
    engine = Engine(limited)
    first = start(store, engine, add_machine(store, "a"), "deploy", hostname="a")
    second = start(store, engine, add_machine(store, "bb"), "deploy", hostname="bb")
    assert (look(store, second).state, look(store, second).machine.state) == ("queued", "deploying")
    tell(store, engine, first, Signal.BOOT_SCRIPT, Signal.HELLO, Signal.JOB_DONE)
    with store.write() as session:
        assert engine.promote(session) == 1
    assert (look(store, second).state, look(store, second).phase) == ("running", "netboot")


def test_machines_beyond_the_limit_are_not_turned_on_before_others_are_done(store: Store, settings: Any, clock: Any) -> None:
    limits = settings.limits.model_copy(update={"boots": 2, "installs": 1})
    engine = Engine(settings.model_copy(update={"limits": limits}), clock)
    kinds = ["commission", "rescue", "deploy", "deploy", "commission", "power-on"]
    names = [letter * number for number, letter in enumerate("abcdef", 1)]
    ids = {
        name[0]: start(store, engine, add_machine(store, name), kind, hostname=name)
        for name, kind in zip(names, kinds, strict=True)
    }

    def running() -> str:
        return "".join(name for name, operation in ids.items() if look(store, operation).state == "running")

    assert running() == "abf"
    assert look(store, ids["c"]).message == "waiting in line: 2 machines boot into the agent or have just done so"
    for name in "ab":
        tell(store, engine, ids[name], Signal.BOOT_SCRIPT, Signal.HELLO)
    with store.write() as session:
        assert engine.promote(session) == 0
    tell(store, engine, ids["a"], Signal.JOB_DONE)
    with store.write() as session:
        assert engine.promote(session) == 1
    assert running() == "abcf"
    tell(store, engine, ids["c"], Signal.BOOT_SCRIPT, Signal.HELLO)
    clock.advance(601)  # b and c, at work for so long, hold up nobody; but d has to wait while c installs
    with store.write() as session:
        assert engine.promote(session) == 1
    assert running() == "abcef"


def test_the_steps_of_a_timeline_add_up_to_the_whole(store: Store, engine: Engine, clock: Any) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy")
    for signal in DEPLOY:
        clock.advance(7)
        tell(store, engine, operation_id, signal)
    with store.session() as session:
        told = timeline(session, session.get_one(Operation, operation_id), clock)
    assert told["total_seconds"] == 42.0
    assert sum(step["seconds"] for step in told["steps"]) == told["total_seconds"]
    assert told["stuck"] is None


def test_no_machine_is_in_a_transient_state_without_an_operation(store: Store, engine: Engine) -> None:
    for number, signals in enumerate((DEPLOY[:n] for n in range(len(DEPLOY))), start=1):
        name = "n" * number
        tell(store, engine, start(store, engine, add_machine(store, name), "deploy", hostname=name), *signals)
    with store.session() as session:
        for machine in session.scalars(select(Machine)):
            assert (machine.state in TRANSIENT) == (machine.operation_id is not None)
        assert session.scalars(select(Event.kind).where(Event.kind == "operation.started")).all()


def test_user_data_does_not_outlive_its_operation(store: Store, engine: Engine) -> None:
    operation_id = start(store, engine, add_machine(store), "deploy", user_data="#cloud-config\npassword: secret\n")
    assert "user_data" in look(store, operation_id).parameters
    assert "secret" not in str(tell(store, engine, operation_id, *DEPLOY).parameters)


def test_a_redeploy_that_never_booted_leaves_the_machine_as_it_was(store: Store, engine: Engine) -> None:
    machine_id = add_machine(store)
    with store.write() as session:
        session.get_one(Machine, machine_id).interfaces[0].address = "10.0.0.7"
    tell(store, engine, start(store, engine, machine_id, "deploy"), *DEPLOY)
    with store.write() as session:
        session.get_one(Machine, machine_id).interfaces[0].address = "10.0.0.7"
    operation_id = start(store, engine, machine_id, "deploy", redeploy=True, hostname="web-2")
    machine = tell(store, engine, operation_id, Signal.POWER_FAILED, code="bmc_unreachable", message="no answer").machine
    assert (machine.state, machine.hostname, machine.interfaces[0].address) == ("deployed", "web-1", "10.0.0.7")
    with store.session() as session:
        assert "power.cycle" not in session.scalars(select(Task.kind)).all()


def test_a_rescue_leaves_a_deployed_machine_its_address(store: Store, engine: Engine) -> None:
    with store.write() as session:
        static = IpRange(kind="static", start="10.0.0.10", end="10.0.0.20")
        session.add(Subnet(name="lab", cidr="10.0.0.0/24", ranges=[static]))
    machine_id = add_machine(store)
    with store.write() as session:
        actions.adopt(session, engine, session.get_one(Machine, machine_id), by="test", address="dhcp")
    operation_id = start(store, engine, machine_id, "rescue", ssh_keys=[])
    machine = tell(store, engine, operation_id, Signal.BOOT_SCRIPT, Signal.HELLO, Signal.JOB_DONE).machine
    assert (machine.state, machine.interfaces[0].address) == ("rescue", None)
    with pytest.raises(Conflict, match="power cycle starts from") as refused:
        start(store, engine, machine_id, "power-cycle")
    assert "exit-rescue node-1" in refused.value.hint


def test_no_commissioning_makes_a_machine_ready_whose_disks_were_never_wiped(store: Store, engine: Engine) -> None:
    machine_id = add_machine(store)
    tell(
        store,
        engine,
        start(store, engine, machine_id, "release"),
        Signal.BOOT_SCRIPT,
        Signal.HELLO,
        Signal.JOB_FAILED,
        code="wipe_failed",
    )
    way = (Signal.BOOT_SCRIPT, Signal.HELLO)
    tested = tell(store, engine, start(store, engine, machine_id, "commission"), *way, Signal.JOB_FAILED, code="test_failed")
    assert (tested.machine.state, tested.machine.failed_from) == ("failed", "releasing")
    with store.write() as session, pytest.raises(Conflict, match="may hold anything"):
        actions.override_failed_test(session, session.get_one(Machine, machine_id), by="test", now=engine.clock())
    carry_out(store)
    again = tell(store, engine, start(store, engine, machine_id, "commission"), *way, Signal.JOB_DONE, Signal.POWER_DONE)
    assert (again.state, again.machine.state, again.machine.failed_from) == ("succeeded", "failed", "releasing")
    wiped = tell(store, engine, start(store, engine, machine_id, "release"), *way, Signal.JOB_DONE, Signal.POWER_DONE)
    assert (wiped.machine.state, wiped.machine.failure) == ("ready", None)


def test_an_operation_that_can_not_be_dealt_with_holds_up_no_other(store: Store, engine: Engine, clock: Any) -> None:
    bad, good = (start(store, engine, add_machine(store, name), "commission") for name in ("node-1", "node-22"))
    carry_out(store)
    with store.write() as session:
        session.get_one(Operation, bad).phase = "no-such-phase"
    clock.advance(100_000)
    with store.write() as session:
        assert engine.reap(session) == 1
    assert look(store, bad).state == "running"
    assert look(store, good).attempt == 2
