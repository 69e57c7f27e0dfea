# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on PostgreSQL, where two inventories really arrive at once. What rules do is told in api/test_api_rules.py."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import select

from metalwright.lifecycle import rules
from metalwright.store import Store
from metalwright.store.models import Event, Machine, Rule


def test_two_machines_that_reach_for_one_name_at_once(postgres_store: Store, clock: Any) -> None:
    with postgres_store.write() as session:
        session.add(Rule(name="name", when="memory >= 1GiB", actions={"hostname_pattern": "r-{serial}", "zone": "west"}))
        for name in ("a", "b"):
            session.add(Machine(name=name, hardware={"memory": {"bytes": 1 << 30}}, serial="S1"))
    has_looked, may_commit = threading.Event(), threading.Event()

    def arrive(name: str, *, wait: bool) -> None:
        with postgres_store.write() as session:
            machine = session.scalars(select(Machine).where(Machine.name == name)).one()
            rules.arrived(session, machine, clock())
            session.flush()
            has_looked.set()
            if wait:
                may_commit.wait(30)

    first = threading.Thread(target=arrive, args=("a",), kwargs={"wait": True})
    first.start()
    assert has_looked.wait(30)
    second = threading.Thread(target=arrive, args=("b",), kwargs={"wait": False})
    second.start()  # it sees no r-s1, takes it, and has to wait for the first to end
    second.join(1)
    assert second.is_alive()
    may_commit.set()
    first.join(30)
    second.join(30)
    with postgres_store.session() as session:
        machines = session.scalars(select(Machine).order_by(Machine.name)).all()
        assert [(machine.name, machine.zone) for machine in machines] == [("b", "west"), ("r-s1", "west")]
        (refused,) = session.scalars(select(Event).where(Event.kind == "machine.rule_refused"))
        assert refused.message == "b: rule name could not set name: The host name r-s1 is taken by another machine."
        assert rules.matching(session, rules.prepared(session)[0].expression, "", 9) == ["b", "r-s1"]
