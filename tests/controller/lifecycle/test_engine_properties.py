# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten thousand random steps: operations, signals, duplicates, delays and crashes in any order. Nothing is ever stuck or lost."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.errors import Conflict, MetalwrightError, Unavailable
from metalwright.lifecycle import actions
from metalwright.lifecycle.ending import LIVE
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import OPERATIONS, Signal
from metalwright.lifecycle.states import TRANSIENT, State
from metalwright.lifecycle.tasks import Claimed, claim
from metalwright.lifecycle.worker import Worker
from metalwright.power import PowerError
from metalwright.store import Store
from metalwright.store.models import Interface, Machine, Operation, Task

EXAMPLES, STEPS = 100, 100
MACHINES = 3
LEASE = 15.0
OPEN = ("pending", "running")
PARAMETERS: dict[str, dict[str, Any]] = {
    "deploy": {"address": "dhcp", "record": {"image": "debian/12"}, "redeploy": True, "wipe_adopted": True},
    "release": {"wipe_adopted": True},
    "rescue": {"ssh_keys": []},
}

machines = st.integers(0, MACHINES - 1)
failures = st.sampled_from(["test_failed", "write_failed", "bmc_unreachable", "agent_silent"])


class Crash(Exception):
    """The process is killed before its transaction is committed."""


class Fleet(RuleBasedStateMachine):
    """Three machines, two workers, and everything that may happen to them."""

    def __init__(self, make: Callable[[], tuple[Store, Engine, Any]], more: dict[str, Any]) -> None:
        super().__init__()
        self.more = more
        """What deploys and releases are asked for beside ``PARAMETERS``."""
        self.store, self.engine, self.clock = make()
        self.held: list[tuple[str, Claimed]] = []
        """Tasks that a worker has claimed and not ended yet, some of them for too long."""
        self.ended: Counter[int] = Counter()
        """How often each task came to an end."""
        self.outcome: MetalwrightError | None = None
        with self.store.write() as session:
            for number in range(MACHINES):
                machine = Machine(name=f"node-{number}", state=State.READY, hardware={"disks": []})
                machine.interfaces = [Interface(mac=f"52:54:00:00:00:0{number}", boot=True)]
                session.add(machine)

    def change(self, act: Callable[[Session], Any], crash: bool) -> None:
        """One transaction. What it refuses, it refuses without a trace; a crash leaves none either."""
        try:
            with self.store.write() as session:
                act(session)
                if crash:
                    session.flush()
                    raise Crash
        except (Conflict, Crash):
            return

    def machine(self, session: Session, number: int) -> Machine:
        return session.scalars(select(Machine).where(Machine.name == f"node-{number}")).one()

    @rule(number=machines, kind=st.sampled_from(list(OPERATIONS)), crash=st.booleans(), then=st.booleans())
    def start(self, number: int, kind: str, crash: bool, then: bool) -> None:
        following = [{"kind": "deploy", "parameters": PARAMETERS["deploy"]}] if then else []
        parameters = {**PARAMETERS.get(kind, {}), **(self.more if kind in ("deploy", "release") else {})}
        self.clock.advance(0.001)  # the newest operations have an order: ids are random, and a run could not be repeated
        self.change(
            lambda session: self.engine.start(
                session, self.machine(session, number), kind, parameters, by="test", then=following
            ),
            crash,
        )

    @rule(number=machines, name=st.sampled_from(["mark-broken", "mark-fixed", "override", "lock", "unlock", "adopt"]))
    def act(self, number: int, name: str) -> None:
        now = self.clock()

        def do(session: Session) -> None:
            machine = self.machine(session, number)
            if name == "adopt":
                actions.adopt(session, self.engine, machine, by="test", address="dhcp")
            elif name == "mark-broken":
                actions.mark_broken(session, machine, by="test", note="", now=now)
            elif name == "mark-fixed":
                actions.mark_fixed(session, machine, by="test", now=now)
            elif name == "override":
                actions.override_failed_test(session, machine, by="test", now=now)
            else:
                actions.set_locked(session, machine, name == "lock", by="test", now=now)

        self.change(do, crash=False)

    @rule(pick=st.integers(0, 5), signal=st.sampled_from(list(Signal)), code=failures, crash=st.booleans())
    def signal(self, pick: int, signal: Signal, code: str, crash: bool) -> None:
        """Any signal for any of the newest operations, ended ones too: late, twice, or for another phase."""

        def do(session: Session) -> None:
            newest = session.scalars(select(Operation).order_by(Operation.created_at.desc(), Operation.id).limit(6)).all()
            if newest:
                data = {"code": code, "message": "test"}
                self.engine.signal(session, newest[pick % len(newest)], signal, data)

        self.change(do, crash)

    @rule(number=machines)
    def go_on(self, number: int) -> None:
        """The signal that the machine's operation waits for: random ones alone seldom lead anywhere."""

        def do(session: Session) -> None:
            machine = self.machine(session, number)
            operation = session.get(Operation, machine.operation_id) if machine.operation_id else None
            if operation is not None and operation.phase:
                self.engine.signal(session, operation, OPERATIONS[operation.kind].phase(operation.phase).until)

        self.change(do, crash=False)

    @rule(number=machines, crash=st.booleans())
    def abort(self, number: int, crash: bool) -> None:
        def do(session: Session) -> None:
            operation_id = self.machine(session, number).operation_id
            if operation_id:
                self.engine.abort(session, session.get_one(Operation, operation_id), by="test")

        self.change(do, crash)

    @rule(seconds=st.sampled_from([1, 5, 16, 61, 121, 601, 1801]), crash=st.booleans())
    def time_passes(self, seconds: int, crash: bool) -> None:
        self.clock.advance(seconds)
        self.change(lambda session: (self.engine.reap(session), self.engine.promote(session)), crash)

    @rule(owner=st.sampled_from(["one", "other"]))
    def claim(self, owner: str) -> None:
        claimed = claim(self.store, owner, self.clock(), LEASE)
        if claimed is not None:
            self.held.append((owner, claimed))

    @precondition(lambda self: self.held)
    @rule(
        pick=st.integers(0, 9),
        outcome=st.sampled_from([None, None, PowerError("bmc_unreachable", "no answer"), Unavailable("lease_stuck", "wait")]),
        twice=st.booleans(),
    )
    def carry_out(self, pick: int, outcome: MetalwrightError | None, twice: bool) -> None:
        """A worker does what it claimed, perhaps long ago; perhaps it says so twice."""
        owner, claimed = self.held.pop(pick % len(self.held))
        before = self.task_states()

        def do(_task: Claimed) -> None:
            if outcome is not None:
                raise outcome

        worker = Worker(self.store, self.engine, dict.fromkeys([claimed.kind], do), owner=owner, threads=1)
        for _ in range(1 + twice):
            worker.carry_out(claimed)
        for task, state in self.task_states().items():
            if state in ("done", "failed") and before.get(task) in OPEN:
                self.ended[task] += 1

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 9))
    def worker_dies(self, pick: int) -> None:
        self.held.pop(pick % len(self.held))

    def task_states(self) -> dict[int, str]:
        with self.store.session() as session:
            return {task.id: task.state for task in session.execute(select(Task.id, Task.state))}

    @invariant()
    def no_machine_is_stuck(self) -> None:
        with self.store.session() as session:
            for machine in session.scalars(select(Machine)):
                operation = session.get(Operation, machine.operation_id) if machine.operation_id else None
                assert operation is None or (operation.state in LIVE and operation.machine_id == machine.id)
                if machine.state in TRANSIENT:
                    assert operation is not None, f"{machine.name} is {machine.state} and nothing is under way"
                if machine.state == State.FAILED:
                    assert machine.failure is not None
                    assert machine.failed_from
                if machine.state in (State.RESCUE, State.BROKEN):
                    assert machine.former_state

    @invariant()
    def every_live_operation_holds_its_machine_and_has_a_deadline(self) -> None:
        with self.store.session() as session:
            for operation in session.scalars(select(Operation).where(Operation.state.in_(LIVE))):
                assert operation.machine.operation_id == operation.id
                if operation.state == "running":
                    assert operation.phase is not None
                    assert operation.deadline is not None

    @invariant()
    def no_effect_is_lost(self) -> None:
        """A phase that begins with an effect has it in the outbox, or it was carried out."""
        with self.store.session() as session:
            for operation in session.scalars(select(Operation).where(Operation.state == "running")):
                phase = OPERATIONS[operation.kind].phase(operation.phase or "")
                if phase.do:
                    states = session.scalars(
                        select(Task.state).where(Task.operation_id == operation.id, Task.phase == phase.name)
                    ).all()
                    assert set(states) - {"cancelled"}, (operation.kind, phase.name)

    @invariant()
    def no_task_has_two_owners_and_none_ends_twice(self) -> None:
        now = self.clock()
        with self.store.session() as session:
            leased = session.scalars(select(Task).where(Task.state == "running", Task.lease_until >= now)).all()
            valid = Counter(task.machine_id for task in leased if task.machine_id)
        assert all(count == 1 for count in valid.values()), "two tasks of one machine at once"
        assert all(count == 1 for count in self.ended.values()), self.ended

    def teardown(self) -> None:
        """Left alone, with nobody answering any more, everything comes to an end by itself."""
        for _ in range(60):
            self.clock.advance(2000)
            with self.store.write() as session:
                self.engine.reap(session)
                self.engine.promote(session)
            while (claimed := claim(self.store, "last", self.clock(), LEASE)) is not None:
                handlers = dict.fromkeys([claimed.kind], lambda _task: None)
                Worker(self.store, self.engine, handlers, owner="last", threads=1).carry_out(claimed)
            with self.store.session() as session:
                if not session.scalars(select(Operation.id).where(Operation.state.in_(LIVE))).all():
                    break
        with self.store.session() as session:
            live = session.scalars(select(Operation).where(Operation.state.in_(LIVE))).all()
            assert not live, [(operation.kind, operation.phase, operation.attempt) for operation in live]
            assert set(session.scalars(select(Task.state).distinct())) <= {"done", "failed", "cancelled"}
            assert not [machine.name for machine in session.scalars(select(Machine)) if machine.state in TRANSIENT]
        self.store.engine.dispose()


@pytest.mark.parametrize(("limit", "more"), [(1, {}), (20, {"playbook": "site"})])
def test_ten_thousand_random_steps(
    migrated: Path, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch, limit: int, more: dict[str, Any]
) -> None:
    """Half of them where only one machine may install at a time, so that the others wait in line; half with playbooks."""
    monkeypatch.setattr("metalwright.lifecycle.playbooks.prepared", lambda _settings, _machine, _kind, given: given)
    numbers = itertools.count()

    def make() -> tuple[Store, Engine, Any]:
        directory = tmp_path / str(next(numbers))
        directory.mkdir()
        shutil.copy(migrated, directory / "metalwright.db")
        settings = Settings.model_validate({"data_dir": directory, "limits": {"installs": limit}})
        moved = type(clock)()
        return Store(settings.database), Engine(settings, moved), moved

    run_state_machine_as_test(
        lambda: Fleet(make, more),
        settings=hypothesis_settings(
            max_examples=EXAMPLES // 2,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
