# SPDX-License-Identifier: GPL-3.0-or-later
"""What another host's worker was told to change is changed here as well."""

from __future__ import annotations

import errno

import pytest

from metalwright.errors import Invalid, Unavailable
from metalwright.lifecycle.network_effects import APPLY
from metalwright.serve import network_following
from metalwright.serve.network_following import NetworkFollowing
from metalwright.store import Store
from metalwright.store.models import Task


def add(store: Store, kind: str, state: str = "done") -> None:
    with store.write() as session:
        session.add(Task(kind=kind, state=state))


def test_what_is_new_is_applied_once(store: Store) -> None:
    applied: list[None] = []
    following = NetworkFollowing(store, lambda: applied.append(None))
    counts = []
    for kind in (None, None, "power.off", APPLY, None, "power.netboot", None):
        if kind:
            add(store, kind)
        following.look()
        counts.append(len(applied))
    assert counts == [1, 1, 1, 2, 2, 3, 3]


def test_a_task_that_appears_late_is_not_missed(store: Store) -> None:
    """Its number was taken before that of another, and its transaction was the longer one."""
    applied: list[None] = []
    following = NetworkFollowing(store, lambda: applied.append(None))
    for number in (7, 9, 8):
        with store.write() as session:
            session.add(Task(id=number, kind=APPLY))
        following.look()
    assert len(applied) == 3


def test_what_could_not_be_told_is_tried_again_and_what_was_refused_is_not(store: Store) -> None:
    outcomes: list[Exception | None] = [
        Unavailable("engine_unreachable", "It is away.", ""),
        Invalid("dhcp_config_refused", "It is wrong.", ""),
        None,
    ]
    tried = []

    def apply() -> None:
        tried.append(len(tried))
        outcome = outcomes[tried[-1]]
        if outcome is not None:
            raise outcome

    following = NetworkFollowing(store, apply)
    for _ in range(3):
        following.look()
    assert tried == [0, 1]
    add(store, APPLY, "pending")
    following.look()
    assert tried == [0, 1, 2]


def test_no_failure_ends_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_following, "POLL", 0)
    outcomes = [OSError(errno.ENOSPC, "No space left on device"), KeyError("a fault of ours"), SystemExit()]

    def apply() -> None:
        raise outcomes.pop(0)

    with pytest.raises(SystemExit):
        NetworkFollowing(store, apply)._run()
    assert outcomes == []
