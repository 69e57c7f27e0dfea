# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting: with a deadline, over a restart of the controller, and with a failure that says what happened."""

from __future__ import annotations

import pytest
from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError
from ansible_collections.metalwright.fleet.plugins.module_utils._wait import Waiter, events

RUNNING = {
    "id": "op1",
    "kind": "deploy",
    "machine": {"id": "m1", "name": "node1"},
    "state": "running",
    "phase": "install",
    "progress": 40,
    "message": "writing the image",
    "created_at": "2026-01-01T00:00:00+00:00",
    "ended_at": None,
    "failure": None,
    "next": [],
    "followed_by": None,
}
DONE = {**RUNNING, "state": "succeeded", "progress": None, "message": "", "ended_at": "2026-01-01T00:05:00+00:00"}
STEPS = [{"name": "agent.hello", "label": "agent loaded and started", "seconds": 9.5, "started_at": "", "detail": ""}]
TIMELINE = {"machine": "node1", "kind": "deploy", "state": "failed", "steps": STEPS, "total_seconds": 9.5, "stuck": None}


class Script:
    """A client whose answers are given, and which takes its time."""

    def __init__(self, clock, *answers, seconds=20):
        self.answers = list(answers)
        self.clock = clock
        self.seconds = seconds
        self.asked = []

    def get(self, path, **query):
        self.asked.append((path, query))
        self.clock.sleep(self.seconds)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_an_operation_is_asked_for_until_it_ends(clock):
    client = Script(clock, RUNNING, DONE)
    assert Waiter(client, 100, clock, clock.sleep).operation(RUNNING) == DONE
    assert client.asked == [("/operations/op1", {"wait": 20}), ("/operations/op1", {"wait": 20})]


def test_what_follows_is_waited_for(clock):
    first = {**DONE, "id": "op0", "kind": "commission", "next": ["deploy"], "followed_by": "op1"}
    client = Script(clock, RUNNING, DONE)
    assert Waiter(client, 100, clock, clock.sleep).operation(first) == DONE
    assert client.asked == [("/operations/op1", {}), ("/operations/op1", {"wait": 20})]


def test_what_could_not_follow_is_told(clock):
    said = "node1: deploy could not follow commission: no disk is large enough"
    first = {**DONE, "kind": "commission", "next": ["deploy"], "message": said}
    client = Script(clock)
    with pytest.raises(ApiError, match="no disk is large enough"):
        Waiter(client, 100, clock, clock.sleep).operation(first)


def test_the_deadline_is_kept_and_tells_where_it_stands(clock):
    client = Script(clock, *[RUNNING] * 10)
    with pytest.raises(ApiError) as caught:
        Waiter(client, 100, clock, clock.sleep).operation(RUNNING)
    assert clock.now == 100
    assert caught.value.code == "wait_timeout"
    assert caught.value.message == (
        "node1: deploy did not end within 100 s. It is running in phase install, 40 %: writing the image."
    )
    assert "metalwright timeline node1" in caught.value.hint


def test_a_controller_without_room_for_long_polls_is_not_flooded(clock):
    client = Script(clock, *[RUNNING] * 50, seconds=0)
    with pytest.raises(ApiError):
        Waiter(client, 10, clock, clock.sleep).operation(RUNNING)
    assert len(client.asked) == 10


def test_a_restart_of_the_controller_is_waited_for(clock):
    away = ApiError("unreachable", "No answer.")
    client = Script(clock, away, away, ApiError("http_error", "starting", 503), DONE, seconds=1)
    assert Waiter(client, 100, clock, clock.sleep).operation(RUNNING) == DONE


def test_a_controller_that_stays_away_is_given_up(clock):
    client = Script(clock, *[ApiError("unreachable", "No answer.")] * 200, seconds=1)
    with pytest.raises(ApiError, match="No answer"):
        Waiter(client, 7200, clock, clock.sleep).operation(RUNNING)
    assert clock.now < 200


def test_a_failure_says_machine_phase_reason_and_what_to_do(clock):
    failure = {
        "code": "disk_too_small",
        "message": "node1: /dev/sda has 8 GiB.",
        "phase": "install",
        "hint": "Name another disk.",
        "last_seen": "12:00 step: write",
        "log_tail": "".join(f"line {number}\n" for number in range(30)),
        "docs": "docs/reference/failures.md#disk_too_small",
    }
    broken = {**DONE, "state": "failed", "failure": failure}
    with pytest.raises(ApiError) as caught:
        Waiter(Script(clock, TIMELINE), 100, clock, clock.sleep).operation(broken)
    result = caught.value.as_result()
    assert result["timeline"] == [{"operation": "deploy", "step": "agent loaded and started", "seconds": 9.5}]
    assert result["msg"].splitlines()[:8] == [
        "node1: deploy failed in phase install: /dev/sda has 8 GiB.",
        "  code: disk_too_small",
        "  last seen: 12:00 step: write",
        "  hint: Name another disk.",
        "  docs: docs/reference/failures.md#disk_too_small",
        "  ways out: metalwright explain node1",
        "  log:",
        "    line 10",
    ]
    assert result["msg"].endswith("\n    line 29")
    assert (result["failure"], result["operation"]) == (failure, broken)
    assert (result["error"]["code"], result["error"]["hint"]) == ("disk_too_small", "Name another disk.")


def test_a_failure_of_which_nothing_is_known_is_no_failure_of_the_module(clock):
    with pytest.raises(ApiError) as caught:
        away = ApiError("unreachable", "No answer.")
        Waiter(Script(clock, away), 100, clock, clock.sleep).operation({**DONE, "state": "aborted"})
    assert caught.value.as_result()["msg"] == (
        "node1: deploy aborted: no reason was given.\n  code: failed\n  ways out: metalwright explain node1"
    )


def test_where_the_time_went_is_told_of_every_operation(clock):
    first = {**DONE, "id": "op0", "kind": "commission", "next": ["deploy"], "followed_by": "op1"}
    client = Script(clock, RUNNING, DONE, {**TIMELINE, "kind": "commission"}, TIMELINE)
    waiter = Waiter(client, 100, clock, clock.sleep)
    waiter.operation(first)
    assert [step["operation"] for step in waiter.timeline()] == ["commission", "deploy"]
    assert client.asked[-1] == ("/machines/node1/timeline", {"operation": "op1"})


def test_events_are_waited_for_from_where_waiting_began(clock):
    nothing, something = {"events": [], "cursor": 7}, {"events": [{"id": 8}], "cursor": 8}
    client = Script(clock, nothing, nothing, something)
    assert events(client, {"after": "latest", "kind": None}, 90, clock, clock.sleep) == something
    assert [query["after"] for _path, query in client.asked] == ["latest", 7, 7]
    assert [query["wait"] for _path, query in client.asked] == [20, 20, 20]


def test_events_are_waited_for_no_longer_than_wished(clock):
    client = Script(clock, *[{"events": [], "cursor": 7}] * 9)
    assert events(client, {"after": 0}, 30, clock, clock.sleep)["events"] == []
    assert [query["wait"] for _path, query in client.asked] == [20, 10]


def test_an_image_is_waited_for(clock):
    importing = {"name": "debian/12", "status": "importing", "progress": 10, "failure": None}
    client = Script(clock, importing, {**importing, "status": "ready", "progress": None}, seconds=1)
    assert Waiter(client, 100, clock, clock.sleep).image(importing)["status"] == "ready"


def test_an_image_that_can_not_be_imported_says_why(clock):
    failure = {"code": "sha256_wrong", "message": "the file has another sum", "hint": "Check it."}
    broken = {"name": "debian/12", "status": "failed", "progress": None, "failure": failure}
    with pytest.raises(ApiError, match="debian/12 could not be imported: the file has another sum") as caught:
        Waiter(Script(clock), 100, clock, clock.sleep).image(broken)
    assert caught.value.hint == "Check it."
