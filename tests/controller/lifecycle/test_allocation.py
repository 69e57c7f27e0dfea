# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocations: idempotent, cheapest first, all or nothing, and nothing lost when many ask at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from metalwright.errors import Conflict, Invalid, NotFound
from metalwright.lifecycle import allocation
from metalwright.lifecycle.allocation import Constraints
from metalwright.store import Store
from metalwright.store.models import Allocation, Event, Machine


def add(store: Store, name: str, state: str = "ready", **columns: Any) -> None:
    facts = {"cpu_count": 4, "memory_mib": 16384, "disk_gib": 100, **columns}
    with store.write() as session:
        session.add(Machine(name=name, state=state, **facts))


def ask(store: Store, clock: Any, count: int, of: str = "hadoop", **constraints: Any) -> tuple[list[str], list[str]]:
    with store.write() as session:
        outcome = allocation.put(session, of, count, Constraints(**constraints), by="test", now=clock())
        assert outcome.changed or not (outcome.added or outcome.removed)
        return outcome.added, outcome.removed


def states(store: Store) -> dict[str, str]:
    with store.session() as session:
        rows = session.execute(select(Machine.name, Machine.state, Machine.allocation_id).order_by(Machine.name))
        for _, state, allocated in rows.all():
            assert (state == "ready") == (allocated is None) or state not in ("ready", "allocated")
        return {name: state for name, state in session.execute(select(Machine.name, Machine.state)).all()}  # noqa: C416


def test_asking_again_changes_nothing(store: Store, clock: Any) -> None:
    for name in ("a", "b", "c"):
        add(store, name)
    assert ask(store, clock, 2) == (["a", "b"], [])
    with store.session() as session:
        events = session.scalars(select(Event.id)).all()
    assert ask(store, clock, 2) == ([], [])
    with store.session() as session:
        assert session.scalars(select(Event.id)).all() == events
    assert states(store) == {"a": "allocated", "b": "allocated", "c": "ready"}


def test_the_cheapest_that_fit_are_chosen(store: Store, clock: Any) -> None:
    add(store, "large", cpu_count=64, memory_mib=262144)
    add(store, "small", cpu_count=2, memory_mib=4096)
    add(store, "fitting", cpu_count=8, memory_mib=32768)
    assert ask(store, clock, 1, min_cpus=4) == (["fitting"], [])


@pytest.mark.parametrize(
    ("constraints", "names"),
    [
        ({}, ["a", "b", "c"]),
        ({"name": "b"}, ["b"]),
        ({"min_cpus": 8}, ["b", "c"]),
        ({"min_memory": "32GiB"}, ["b", "c"]),
        ({"min_memory": 32768}, ["b", "c"]),
        ({"min_memory": "33 GiB"}, ["c"]),
        ({"min_disk": "1TiB"}, ["c"]),
        ({"arch": "arm64"}, ["c"]),
        ({"tags": ["ssd"]}, ["a", "b"]),
        ({"tags": ["ssd", "gpu"]}, ["b"]),
        ({"not_tags": ["gpu"]}, ["a", "c"]),
        ({"pool": "test"}, ["c"]),
        ({"zone": "east"}, ["b"]),
        ({"tags": ["SSD"]}, []),
    ],
)
def test_constraints(store: Store, clock: Any, constraints: dict[str, Any], names: list[str]) -> None:
    add(store, "a", tags=["ssd"])
    add(store, "b", tags=["ssd", "gpu"], cpu_count=8, memory_mib=32768, zone="east")
    add(store, "c", cpu_count=16, memory_mib=65536, disk_gib=2048, arch="arm64", pool="test")
    if names:
        assert sorted(ask(store, clock, len(names), **constraints)[0]) == names
    with pytest.raises(Conflict):
        ask(store, clock, len(names) + 1, **constraints)


@pytest.mark.parametrize(
    "wrong", [{"min_memory": "16 bananas"}, {"min_memory": "-1"}, {"min_cpus": 0}, {"tags": ["a b"]}, {"cpu": 1}]
)
def test_constraints_that_mean_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Constraints(**wrong)


def test_too_few_take_nothing_and_say_why(store: Store, clock: Any) -> None:
    add(store, "fits")
    add(store, "small", memory_mib=4096)
    add(store, "used", "deployed")
    add(store, "fresh", "new")
    add(store, "locked", locked=True)
    add(store, "unknown", memory_mib=None)
    with pytest.raises(Conflict) as refused:
        ask(store, clock, 3, min_memory="16GiB")
    assert refused.value.code == "not_enough_machines"
    assert refused.value.details == {
        "wanted": 3, "held": 0, "fit": 1, "why": {"min_memory": 2, "state deployed": 1, "state new": 1, "locked": 1},
    }  # fmt: skip
    assert "1 fit" in refused.value.message
    assert states(store)["fits"] == "ready"
    with store.session() as session:
        assert session.scalars(select(Allocation)).all() == []


def test_a_larger_count_adds_and_a_smaller_gives_back_the_dearest(store: Store, clock: Any) -> None:
    for name, cpus in (("a", 2), ("b", 4), ("c", 8)):
        add(store, name, cpu_count=cpus)
    assert ask(store, clock, 1) == (["a"], [])
    assert ask(store, clock, 3) == (["b", "c"], [])
    assert ask(store, clock, 1) == ([], ["c", "b"])
    assert ask(store, clock, 0) == ([], ["a"])
    assert set(states(store).values()) == {"ready"}


def test_what_is_deployed_is_not_given_back(store: Store, clock: Any) -> None:
    for name, cpus in (("a", 2), ("b", 4), ("c", 8)):
        add(store, name, cpu_count=cpus)
    ask(store, clock, 3)
    with store.write() as session:
        session.scalars(select(Machine).where(Machine.name == "c")).one().state = "deployed"
    assert ask(store, clock, 2) == ([], ["b"])
    with pytest.raises(Conflict) as refused:
        ask(store, clock, 0)
    assert (refused.value.code, refused.value.details["machines"]) == ("machines_in_use", ["c"])
    assert states(store) == {"a": "allocated", "b": "ready", "c": "deployed"}
    with pytest.raises(Conflict), store.write() as session:
        allocation.delete(session, "hadoop", by="test", now=clock())


def test_changed_constraints_exchange_what_no_longer_fits(store: Store, clock: Any) -> None:
    add(store, "a")
    add(store, "b", memory_mib=65536)
    assert ask(store, clock, 1) == (["a"], [])
    assert ask(store, clock, 1, min_memory="64GiB") == (["b"], ["a"])


def test_a_member_whose_tags_were_edited_stays(store: Store, clock: Any) -> None:
    add(store, "a", tags=["ssd"])
    ask(store, clock, 1, tags=["ssd"])
    with store.write() as session:
        session.scalars(select(Machine)).one().tags = []
    assert ask(store, clock, 1, tags=["ssd"]) == ([], [])


def test_deleting_gives_everything_back(store: Store, clock: Any) -> None:
    add(store, "a")
    ask(store, clock, 1)
    with store.write() as session:
        assert allocation.delete(session, "hadoop", by="test", now=clock()).removed == ["a"]
    assert states(store) == {"a": "ready"}
    with pytest.raises(NotFound), store.write() as session:
        allocation.delete(session, "hadoop", by="test", now=clock())


def test_twenty_at_once_lose_nothing(store: Store, clock: Any) -> None:
    for number in range(60):
        add(store, f"n{number:02}")
    failures: list[Exception] = []

    def claim(number: int) -> None:
        try:
            assert len(ask(store, clock, 3, of=f"claim-{number}")[0]) == 3
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(states(store).values()) == {"allocated"}


def test_a_condition_over_the_hardware_chooses_and_is_named_when_it_does_not_fit(store: Store, clock: Any) -> None:
    for name, pci_id in {"intel": "8086:1572", "mellanox": "15b3:1017"}.items():
        add(store, name, hardware={"nics": [{"name": "eno1", "mac": "52:54:00:00:00:01", "pci_id": pci_id}]})
    add(store, "unseen")
    assert ask(store, clock, 1, hardware="nic.vendor ~ Mellanox") == (["mellanox"], [])
    assert ask(store, clock, 1, hardware="nic.vendor ~ Mellanox") == ([], [])
    with pytest.raises(Conflict) as refused:
        ask(store, clock, 2, hardware="nic.vendor ~ Mellanox")
    assert refused.value.details["why"] == {"hardware": 2}
    assert ask(store, clock, 1, hardware="nic.vendor = intel") == (["intel"], ["mellanox"])  # exchanged, as the wish changed
    with pytest.raises(Invalid, match="column 12"):
        Constraints(hardware="nic.vendor Mellanox")
