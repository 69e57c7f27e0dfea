# SPDX-License-Identifier: GPL-3.0-or-later
"""Converge to ``allocated``: a machine that is named is held first, and is then made ready."""

from __future__ import annotations

from typing import Any

import pytest
from converging import (
    AGENT,
    ALLOCATED,
    DEPLOY,
    DEPLOYED,
    HARDWARE,
    READY,
    deploy,
    go,
    machine,
    put,
    tell,
)
from pydantic import ValidationError
from sqlalchemy import select

from metalwright.errors import Conflict
from metalwright.lifecycle import allocation
from metalwright.lifecycle.converge import Wish
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.store import Store
from metalwright.store.models import Allocation, Machine, Operation

__all__ = ["machine"]  # a fixture


def held_by(store: Store, machine: str) -> tuple[str, str | None]:
    with store.session() as session:
        found = session.get_one(Machine, machine)
        return found.state, found.allocation.name if found.allocation else None


def test_a_machine_that_is_free_is_held_at_once(store: Store, engine: Engine, machine: str) -> None:
    put(store, machine, "ready", hardware=HARDWARE)
    outcome = go(store, engine, machine, ALLOCATED)
    assert (outcome.changed, outcome.plan, outcome.operation) == (True, [], None)
    assert (outcome.before, outcome.after) == ({"state": "ready"}, {"state": "allocated", "allocation": "hadoop"})
    assert held_by(store, machine) == ("allocated", "hadoop")
    again = go(store, engine, machine, ALLOCATED)
    assert (again.changed, again.before) == (False, again.after)
    assert go(store, engine, machine, READY).changed is False


@pytest.mark.parametrize(
    ("place", "plan", "signals"),
    [
        ({"state": "new"}, ["commission"], AGENT),
        ({"state": "failed", "failed_from": "deploying", "hardware": HARDWARE}, ["release"], AGENT),
        ({"state": "rescue", "former_state": "ready", "hardware": HARDWARE}, ["exit-rescue"], (Signal.POWER_DONE,)),
    ],
)
def test_a_machine_is_held_before_it_is_on_its_way(
    store: Store, engine: Engine, machine: str, place: dict[str, Any], plan: list[str], signals: tuple[Signal, ...]
) -> None:
    put(store, machine, place.pop("state"), **place)
    outcome = go(store, engine, machine, ALLOCATED)
    assert (outcome.changed, outcome.plan) == (True, plan)
    assert go(store, engine, machine, ALLOCATED).operation is not None  # asked again, it is the same way
    assert held_by(store, machine)[1] == "hadoop"
    tell(store, engine, machine, *signals)
    assert held_by(store, machine) == ("allocated", "hadoop")


def test_a_deployed_machine_is_released_and_stays_held(store: Store, engine: Engine, machine: str) -> None:
    deploy(store, engine, machine)
    assert go(store, engine, machine, ALLOCATED, erase="full").plan == ["release"]
    tell(store, engine, machine, *AGENT)
    assert held_by(store, machine) == ("allocated", "hadoop")
    go(store, engine, machine, DEPLOYED)
    tell(store, engine, machine, *DEPLOY)
    assert go(store, engine, machine, READY).plan == ["release"]
    tell(store, engine, machine, *AGENT)
    assert held_by(store, machine) == ("ready", None)


def test_a_machine_is_taken_from_nobody(store: Store, engine: Engine, machine: str) -> None:
    put(store, machine, "ready", hardware=HARDWARE)
    with store.write() as session:
        session.add(Allocation(name="others", count=0))
    with pytest.raises(Conflict) as others:
        go(store, engine, machine, {**ALLOCATED, "allocation": "others"})
    assert others.value.code == "allocation_of_others"
    go(store, engine, machine, ALLOCATED)
    with pytest.raises(Conflict) as held:
        go(store, engine, machine, {**ALLOCATED, "allocation": "spark"})
    assert (held.value.code, held.value.details["allocation"]) == ("held_already", "hadoop")
    assert held_by(store, machine) == ("allocated", "hadoop")


def test_a_machine_that_is_not_commissioned_is_given_back_as_it_is(store: Store, engine: Engine, machine: str) -> None:
    go(store, engine, machine, ALLOCATED)
    with store.write() as session:
        engine.fail(session, session.scalars(select(Operation)).one(), {"code": "no_netboot", "message": "silence"})
    assert held_by(store, machine) == ("new", "hadoop")
    with store.write() as session:
        assert allocation.delete(session, "hadoop", by="test", now=engine.clock()).removed == ["node-1"]
    assert held_by(store, machine) == ("new", None)


@pytest.mark.parametrize("wish", [{"state": "allocated"}, {**READY, "allocation": "hadoop"}, {**ALLOCATED, "image": "debian/12"}])
def test_a_wish_that_contradicts_itself_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"allocation is required|deploy options have no meaning"):
        Wish.model_validate(wish)
