# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of transitions is what the engine does: every line of it is walked, and everything else is refused."""

from __future__ import annotations

from datetime import datetime
from itertools import product
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from metalwright.errors import Conflict
from metalwright.lifecycle import actions
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import FAILURES, OPERATIONS, OperationKind, Signal
from metalwright.lifecycle.states import TRANSIENT, State
from metalwright.lifecycle.transitions import ACTIONS, ALLOWED, table, transition
from metalwright.store import Store
from metalwright.store.models import Allocation, Interface, Machine, Operation, Task

PARAMETERS: dict[str, dict[str, Any]] = {
    "deploy": {"address": "dhcp", "hostname": "web-1", "record": {"image": "debian/12"}, "redeploy": True},
    "rescue": {"ssh_keys": []},
}
CHANGING = [kind for kind in OPERATIONS.values() if kind.starts is not None]


def put(store: Store, state: State, **more: Any) -> str:
    """A machine that stands in ``state``."""
    with store.write() as session:
        hardware = None if state == State.NEW else {"disks": []}
        machine = Machine(name="node-1", state=state, hardware=hardware, **more)
        machine.interfaces = [Interface(mac="52:54:00:00:00:01", boot=True)]
        if state == State.ALLOCATED or more.get("former_state") == State.ALLOCATED:
            machine.allocation = Allocation(name="hadoop", count=1)
        if state == State.FAILED and "failure" not in more:
            machine.failed_from, machine.failure = State.DEPLOYING, {"code": "write_failed"}
        session.add(machine)
        session.flush()
        return machine.id


def forget(store: Store) -> None:
    with store.write() as session:
        for model in (Operation, Machine, Allocation):
            for row in session.query(model):
                session.delete(row)
            session.flush()


class Walker:
    """Does everything there is to do to a machine and notes which state followed which."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self.store = store
        self.engine = engine
        self.seen: set[tuple[State, State]] = set()

    def start(self, machine_id: str, kind: OperationKind) -> str:
        with self.store.write() as session:
            machine = session.get_one(Machine, machine_id)
            before = State(machine.state)
            operation = self.engine.start(session, machine, kind.name, PARAMETERS.get(kind.name, {}), by="test")
            self.seen.add((before, State(machine.state)))
            return operation.id

    def end(self, operation_id: str, how: str) -> None:
        """Lead an operation to its end: ``succeed``, ``fail`` at the earliest, ``fail-late`` at the latest, or ``abort``."""
        with self.store.write() as session:
            operation = session.get_one(Operation, operation_id)
            before = State(operation.machine.state)
            kind = OPERATIONS[operation.kind]
            if how == "abort":
                self.engine.abort(session, operation, by="test")
            for _ in range(9):
                if operation.state != "running":
                    break
                phase = kind.phase(operation.phase or "")
                last = kind.after(phase.name, operation.parameters) is None
                if how == "fail" or (how == "fail-late" and last):
                    self.engine.fail(session, operation, {"code": "agent_silent", "message": "test"})
                else:
                    self.engine.signal(session, operation, phase.until)
            assert operation.state != "running", (operation.kind, operation.phase, how)
            self.seen.add((before, State(operation.machine.state)))


@pytest.fixture
def walker(store: Store, engine: Engine) -> Walker:
    return Walker(store, engine)


def test_every_line_of_the_table_is_walked_and_no_other(walker: Walker, store: Store) -> None:
    for kind in CHANGING:
        for state in kind.allowed:
            for how in ("succeed", "fail", "fail-late", "abort"):
                for former in kind.ends if kind.name == "exit-rescue" else (None,):
                    machine_id = put(store, state, former_state=former)
                    walker.end(walker.start(machine_id, kind), how)
                    forget(store)
    tested = {"code": "test_failed"}
    for allocation in (None, "hadoop"):
        machine_id = put(store, State.FAILED, failed_from=State.TESTING, failure=tested)
        if allocation:
            with store.write() as session:
                session.get_one(Machine, machine_id).allocation = Allocation(name=allocation, count=1)
        walker.end(walker.start(machine_id, OPERATIONS["test"]), "succeed")
        forget(store)
    with store.write() as session:
        session.add(Allocation(id="hadoop", name="hadoop", count=1))
    machine_id = put(store, State.READY, allocation_id="hadoop")
    walker.end(walker.start(machine_id, OPERATIONS["commission"]), "succeed")
    by_operation = {(line.before, line.after) for line in table() if line.by in OPERATIONS}
    assert walker.seen == by_operation


@pytest.mark.parametrize(("kind", "state"), [(kind.name, state) for kind in OPERATIONS.values() for state in State])
def test_an_operation_starts_where_the_table_says_and_nowhere_else(store: Store, engine: Engine, kind: str, state: State) -> None:
    machine_id = put(store, state)
    with store.write() as session:
        machine = session.get_one(Machine, machine_id)
        if state in OPERATIONS[kind].allowed:
            engine.start(session, machine, kind, PARAMETERS.get(kind, {}), by="test")
            assert machine.state == (OPERATIONS[kind].starts or state)
            return
        with pytest.raises(Conflict) as refused:
            engine.start(session, machine, kind, PARAMETERS.get(kind, {}), by="test")
    assert refused.value.code == "wrong_state"
    assert all(name in refused.value.message for name in OPERATIONS[kind].allowed), "says where it could start"


def test_every_pair_of_states_is_in_the_table_or_refused(store: Store) -> None:
    machine_id = put(store, State.NEW)
    for before, after in product(State, State):
        with store.write() as session:
            machine = session.get_one(Machine, machine_id)
            session.execute(update(Machine).values(state=before))
            session.refresh(machine)
            if before == after or (before, after) in ALLOWED:
                transition(session, machine, after, holder=None, new_holder=None)
                assert machine.state == after
            else:
                with pytest.raises(Conflict, match=f"can not go from {before} to {after}"):
                    transition(session, machine, after, holder=None, new_holder=None)


def act(session: Session, engine: Engine, machine: Machine, name: str, now: datetime) -> None:
    if name == "adopt":
        actions.adopt(session, engine, machine, by="test", address="dhcp")
    elif name == "mark-broken":
        actions.mark_broken(session, machine, by="test", note="smoke", now=now)
    elif name == "mark-fixed":
        actions.mark_fixed(session, machine, by="test", now=now)
    else:
        actions.override_failed_test(session, machine, by="test", now=now)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("name", ["adopt", "mark-broken", "mark-fixed", "override-failed-test"])
def test_an_action_is_possible_where_the_table_says_and_nowhere_else(
    store: Store, engine: Engine, clock: Any, name: str, state: State
) -> None:
    for former in ACTIONS[name].ends if name == "mark-fixed" else (None,):
        more = {"failure": {"code": "test_failed"}, "failed_from": "testing"} if name == "override-failed-test" else {}
        machine_id = put(store, state, former_state=former, **more)
        with store.write() as session:
            machine = session.get_one(Machine, machine_id)
            if state in ACTIONS[name].allowed:
                act(session, engine, machine, name, clock())
                assert machine.state in ACTIONS[name].ends
                assert former is None or machine.state == former
            else:
                with pytest.raises(Conflict) as refused:
                    act(session, engine, machine, name, clock())
                assert refused.value.code == "wrong_state"
        forget(store)


def test_every_state_has_a_way_out(store: Store) -> None:
    """From every state that is no work in progress a person can go on; work in progress ends by itself or by an abort."""
    for state in State:
        assert any(before == state for before, _after in ALLOWED), state
    ends = {line.after for line in table() if line.before in TRANSIENT}
    assert not ends & TRANSIENT


def test_every_phase_that_can_fail_says_of_what(
    store: Store, engine: Engine, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever phase passes its deadline for good, the failure has a code that is explained, and the machine is free."""
    monkeypatch.setattr("metalwright.lifecycle.playbooks.prepared", lambda _settings, _machine, _kind, given: given)
    for kind in OPERATIONS.values():
        for number, phase in enumerate(kind.phases):
            machine_id = put(store, next(iter(kind.allowed & {State.READY, State.RESCUE})), former_state="ready")
            with store.write() as session:
                machine = session.get_one(Machine, machine_id)
                parameters = {**PARAMETERS.get(kind.name, {}), **({phase.only_with: "site"} if phase.only_with else {})}
                operation = engine.start(session, machine, kind.name, parameters, by="test")
                for passed in kind.phases[:number]:
                    engine.signal(session, operation, passed.until)
                identifier = operation.id
            for _ in range(20):
                clock.advance(7300)
                with store.write() as session:
                    session.execute(update(Task).values(state="done"))
                    engine.reap(session)
            with store.session() as session:
                ended = session.get_one(Operation, identifier)
                assert ended.state == "failed", (kind.name, ended.phase)
                assert phase.only_with is None or ended.failure["code"] == "playbook_timeout"
                assert ended.failure is not None
                assert ended.failure["hint"], ended.failure
                assert ended.machine.operation_id is None
            forget(store)


def test_only_the_signals_of_failure_fail(store: Store, engine: Engine) -> None:
    """A signal that belongs to another phase comes late; it must not end what has begun since."""
    for signal in set(Signal) - {Signal.POWER_FAILED}:
        machine_id = put(store, State.READY)
        with store.write() as session:
            operation = engine.start(session, session.get_one(Machine, machine_id), "commission", {}, by="test")
            engine.signal(session, operation, signal, {"code": "write_failed", "message": "late"})
            assert operation.state == "running", signal
            assert signal not in FAILURES or operation.phase == "netboot"
        forget(store)
