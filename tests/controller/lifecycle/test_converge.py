# SPDX-License-Identifier: GPL-3.0-or-later
"""Converge: from every place to every goal, and nowhere if it is there already."""

from __future__ import annotations

from typing import Any

import pytest
from converging import (
    ADOPTED,
    AGENT,
    DEPLOY,
    DEPLOYED,
    HARDWARE,
    READY,
    SILENT,
    TEST_FAILED,
    deploy,
    go,
    machine,
    put,
    tell,
)

from metalwright.errors import Conflict, Invalid
from metalwright.lifecycle.converge import Wish
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.store import Store
from metalwright.store.models import Allocation, Image, Machine

__all__ = ["machine"]  # a fixture


@pytest.mark.parametrize(
    ("place", "wish", "plan"),
    [
        ({"state": "new"}, READY, ["commission"]),
        ({"state": "new"}, DEPLOYED, ["commission", "deploy"]),
        ({"state": "ready"}, READY, ["commission"]),  # adopted unseen, then released
        ({"state": "ready"}, DEPLOYED, ["commission", "deploy"]),
        ({"state": "ready", "hardware": HARDWARE}, READY, []),
        ({"state": "ready", "hardware": HARDWARE}, DEPLOYED, ["deploy"]),
        ({"state": "allocated", "hardware": HARDWARE}, READY, []),
        ({"state": "allocated", "hardware": HARDWARE}, DEPLOYED, ["deploy"]),
        ({"state": "deployed", "hardware": HARDWARE}, READY, ["release"]),
        ({"state": "failed", "failed_from": "commissioning"}, READY, ["commission"]),
        ({"state": "failed", "failed_from": "commissioning"}, DEPLOYED, ["commission", "deploy"]),
        ({"state": "failed", "failed_from": "commissioning", "hardware": HARDWARE}, DEPLOYED, ["commission", "deploy"]),
        ({"state": "failed", "failed_from": "testing", "failure": TEST_FAILED, "hardware": HARDWARE}, READY, ["test"]),
        (
            {"state": "failed", "failed_from": "testing", "failure": TEST_FAILED, "hardware": HARDWARE},
            DEPLOYED,
            ["test", "deploy"],
        ),
        ({"state": "failed", "failed_from": "testing", "failure": SILENT, "hardware": HARDWARE}, READY, ["commission"]),
        ({"state": "failed", "failed_from": "deploying", "hardware": HARDWARE}, DEPLOYED, ["deploy"]),
        ({"state": "failed", "failed_from": "deploying", "hardware": HARDWARE}, READY, ["release"]),
        ({"state": "failed", "failed_from": "releasing", "hardware": HARDWARE}, READY, ["release"]),
        ({"state": "rescue", "former_state": "new"}, READY, ["exit-rescue", "commission"]),
        ({"state": "rescue", "former_state": "ready", "hardware": HARDWARE}, READY, ["exit-rescue"]),
        ({"state": "rescue", "former_state": "ready", "hardware": HARDWARE}, DEPLOYED, ["exit-rescue", "deploy"]),
        ({"state": "rescue", "former_state": "deployed", "hardware": HARDWARE}, READY, ["exit-rescue", "release"]),
        (
            {"state": "rescue", "former_state": "failed", "failed_from": "deploying", "hardware": HARDWARE},
            DEPLOYED,
            ["exit-rescue", "deploy"],
        ),
    ],
)
def test_the_plan_leads_from_where_the_machine_stands(
    store: Store, engine: Engine, machine: str, place: dict[str, Any], wish: dict[str, Any], plan: list[str]
) -> None:
    put(store, machine, place.pop("state"), **place)
    outcome = go(store, engine, machine, wish)
    assert (outcome.plan, outcome.changed) == (plan, bool(plan))
    assert (outcome.operation.kind if outcome.operation else None) == (plan[0] if plan else None)


def test_what_follows_is_started_when_the_first_succeeds(store: Store, engine: Engine, machine: str) -> None:
    go(store, engine, machine, DEPLOYED)
    with store.write() as session:
        session.get_one(Machine, machine).hardware = HARDWARE
    tell(store, engine, machine, *AGENT, *DEPLOY)
    with store.session() as session:
        assert session.get_one(Machine, machine).state == "deployed"
    assert go(store, engine, machine, DEPLOYED).changed is False


def test_a_machine_that_is_as_wished_is_left_alone(store: Store, engine: Engine, machine: str) -> None:
    deploy(store, engine, machine, hostname="web-1", user_data="#cloud-config\na: 1\n", packages=["htop"])
    same = {"user_data": "#cloud-config\na: 1\n", "packages": ["htop"]}
    outcome = go(store, engine, machine, DEPLOYED, hostname="WEB-1", **same)
    assert (outcome.changed, outcome.plan, outcome.operation) == (False, [], None)
    assert outcome.before == outcome.after
    assert go(store, engine, machine, DEPLOYED, **same).changed is False  # no host name is wished: the one it has is right


def test_a_locked_or_busy_machine_that_is_there_is_no_trouble(store: Store, engine: Engine, machine: str) -> None:
    deploy(store, engine, machine)
    put(store, machine, "deployed", locked=True)
    assert go(store, engine, machine, DEPLOYED).changed is False
    put(store, machine, "deployed", locked=False)
    with store.write() as session:
        engine.start(session, session.get_one(Machine, machine), "power-query", {}, by="test")
    assert go(store, engine, machine, DEPLOYED).changed is False


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ({"image": "debian/13"}, "image"),
        ({"hostname": "web-2"}, "hostname"),
        ({"user_data": "#cloud-config\na: 2\n"}, "user_data_sha256"),
        ({"packages": ["tree"]}, "packages"),
        ({"package_update": False}, "package_update"),
        ({"timezone": "UTC"}, "timezone"),
        ({"disk": {"name": "vda"}}, "disk"),
    ],
)
def test_drift_is_named_and_nothing_is_done(store: Store, engine: Engine, machine: str, wish: dict[str, Any], name: str) -> None:
    deploy(store, engine, machine, hostname="web-1")
    with pytest.raises(Conflict) as refused:
        go(store, engine, machine, DEPLOYED, **wish)
    assert (refused.value.code, list(refused.value.details["differences"])) == ("drift", [name])
    with store.session() as session:
        assert session.get_one(Machine, machine).state == "deployed"


def test_the_same_content_under_another_name_is_no_drift(store: Store, engine: Engine, machine: str) -> None:
    deploy(store, engine, machine)
    with store.write() as session:
        session.add(Image(name="bookworm", content_sha256="a" * 64, firmware=["bios"]))
    assert go(store, engine, machine, DEPLOYED, image="bookworm").changed is False


def test_new_content_under_the_same_name_is_drift(store: Store, engine: Engine, machine: str) -> None:
    deploy(store, engine, machine)
    with store.write() as session:
        session.query(Image).filter_by(name="debian/12").one().content_sha256 = "c" * 64
    with pytest.raises(Conflict, match="image"):
        go(store, engine, machine, DEPLOYED)


@pytest.mark.parametrize(
    ("was", "wished", "same"),
    [
        ("auto", "auto", True),
        ("auto", "10.0.0.9", True),
        ("auto", "10.0.0.8", False),
        ("10.0.0.9", "auto", True),
        ("dhcp", "auto", False),
        ("dhcp", "dhcp", True),
        ("auto", "dhcp", False),
    ],
)
def test_an_address_is_the_same_if_it_is_the_one_the_machine_has(
    store: Store, engine: Engine, machine: str, was: str, wished: str, same: bool
) -> None:
    deploy(store, engine, machine)
    with store.write() as session:
        found = session.get_one(Machine, machine)
        found.interfaces[0].address = None if was == "dhcp" else "10.0.0.9"
        found.deployed = {**(found.deployed or {}), "address": was, "fingerprint": "of-another-wish"}
    if same:
        assert go(store, engine, machine, DEPLOYED, address=wished).changed is False
    else:
        with pytest.raises(Conflict, match="address"):
            go(store, engine, machine, DEPLOYED, address=wished)


def test_redeploy_deploys_straight_over(store: Store, engine: Engine, machine: str) -> None:
    deploy(store, engine, machine)
    outcome = go(store, engine, machine, DEPLOYED, image="debian/13", on_drift="redeploy")
    assert outcome.plan == ["deploy"]
    assert (outcome.before["image"], outcome.after["image"]) == ("debian/12", "debian/13")
    tell(store, engine, machine, *DEPLOY)
    assert go(store, engine, machine, DEPLOYED, image="debian/13").changed is False


def test_the_same_wish_again_is_answered_with_what_is_under_way(store: Store, engine: Engine, machine: str) -> None:
    first = go(store, engine, machine, DEPLOYED)
    again = go(store, engine, machine, DEPLOYED)
    assert first.operation is not None
    assert again.operation is not None
    assert (again.operation.id, again.plan, again.changed) == (first.operation.id, ["commission", "deploy"], True)


@pytest.mark.parametrize("wish", [READY, {**DEPLOYED, "image": "debian/13"}, {**DEPLOYED, "hostname": "web-2"}])
def test_another_wish_meanwhile_is_refused(store: Store, engine: Engine, machine: str, wish: dict[str, Any]) -> None:
    first = go(store, engine, machine, DEPLOYED).operation
    with pytest.raises(Conflict) as refused:
        go(store, engine, machine, wish)
    assert first is not None
    assert (refused.value.code, refused.value.details["operation"]) == ("machine_busy", first.id)


def test_a_machine_in_rescue_goes_back_to_what_it_was_deployed_with(store: Store, engine: Engine, machine: str) -> None:
    deploy(store, engine, machine, hostname="web-1")
    put(store, machine, "rescue", former_state="deployed")
    with pytest.raises(Conflict, match="packages"):
        go(store, engine, machine, DEPLOYED, packages=["htop"])
    outcome = go(store, engine, machine, DEPLOYED)
    assert (outcome.plan, outcome.before, outcome.after["hostname"]) == (["exit-rescue"], {"state": "rescue"}, "web-1")
    again = go(store, engine, machine, DEPLOYED)
    assert again.plan == ["exit-rescue"]
    with pytest.raises(Conflict, match="busy"):
        go(store, engine, machine, READY)
    tell(store, engine, machine, Signal.POWER_DONE)
    assert go(store, engine, machine, DEPLOYED).changed is False


def test_a_machine_in_rescue_is_deployed_anew_if_that_is_wished(store: Store, engine: Engine, machine: str) -> None:
    deploy(store, engine, machine)
    put(store, machine, "rescue", former_state="deployed")
    wish = {**DEPLOYED, "image": "debian/13", "on_drift": "redeploy"}
    first = go(store, engine, machine, wish)
    assert first.plan == ["exit-rescue", "deploy"]
    again = go(store, engine, machine, wish)
    assert first.operation is not None
    assert again.operation is not None
    assert again.operation.id == first.operation.id
    tell(store, engine, machine, Signal.POWER_DONE, *DEPLOY)
    assert go(store, engine, machine, {**DEPLOYED, "image": "debian/13"}).changed is False


@pytest.mark.parametrize("wish", [READY, DEPLOYED])
def test_a_broken_machine_is_refused_with_the_way_out(store: Store, engine: Engine, machine: str, wish: dict[str, Any]) -> None:
    put(store, machine, "broken", former_state="ready", hardware=HARDWARE, note="fan 3 is dead")
    with pytest.raises(Conflict) as refused:
        go(store, engine, machine, wish)
    assert (refused.value.code, refused.value.details["note"]) == ("machine_broken", "fan 3 is dead")
    assert "fan 3 is dead" in refused.value.message
    assert refused.value.hint.endswith("metalwright machine mark-fixed node-1")
    put(store, machine, "rescue", former_state="broken")
    with pytest.raises(Conflict) as refused:
        go(store, engine, machine, wish)
    assert "exit-rescue node-1, then metalwright machine mark-fixed node-1" in refused.value.hint


@pytest.mark.parametrize("state", ["deployed", "rescue"])
@pytest.mark.parametrize(
    ("wish", "code"), [(READY, "adopted"), (DEPLOYED, "drift"), ({**DEPLOYED, "on_drift": "redeploy"}, "adopted")]
)
def test_an_adopted_machine_is_not_wiped_unless_that_is_said(
    store: Store, engine: Engine, machine: str, state: str, wish: dict[str, Any], code: str
) -> None:
    put(store, machine, state, former_state="deployed", hardware=HARDWARE, deployed=ADOPTED)
    with pytest.raises(Conflict) as refused:
        go(store, engine, machine, wish)
    assert refused.value.code == code
    assert "wipe_adopted=true" in refused.value.hint
    with store.session() as session:
        assert session.get_one(Machine, machine).operation_id is None


def test_an_adopted_machine_is_wiped_when_that_is_said(store: Store, engine: Engine, machine: str) -> None:
    put(store, machine, "deployed", hardware=HARDWARE, deployed=ADOPTED)
    released = go(store, engine, machine, READY, wipe_adopted=True)
    assert released.plan == ["release"]
    tell(store, engine, machine, *AGENT)
    put(store, machine, "deployed", hardware=HARDWARE, deployed=ADOPTED)
    over = go(store, engine, machine, DEPLOYED, on_drift="redeploy", wipe_adopted=True)
    assert over.plan == ["deploy"]
    tell(store, engine, machine, *DEPLOY)
    assert go(store, engine, machine, DEPLOYED).changed is False


def test_an_adopted_machine_that_nobody_has_looked_at_is_looked_at_before_it_is_deployed(
    store: Store, engine: Engine, machine: str
) -> None:
    put(store, machine, "deployed", deployed=ADOPTED)
    wish = {**DEPLOYED, "on_drift": "redeploy", "wipe_adopted": True}
    assert go(store, engine, machine, wish).plan == ["release", "commission", "deploy"]
    with store.write() as session:
        session.get_one(Machine, machine).hardware = HARDWARE
    tell(store, engine, machine, *AGENT, *AGENT, *DEPLOY)
    with store.session() as session:
        assert (session.get_one(Machine, machine).deployed or {})["hostname"] == "old-1"


def test_how_the_disks_are_erased_is_part_of_the_goal(store: Store, engine: Engine, machine: str) -> None:
    deploy(store, engine, machine)
    started = go(store, engine, machine, READY, erase="full").operation
    assert started is not None
    assert started.parameters["erase"] == "full"
    for same in ({}, {"erase": "full"}):
        again = go(store, engine, machine, READY, **same).operation
        assert again is not None
        assert again.id == started.id
    with pytest.raises(Conflict, match="busy"):
        go(store, engine, machine, READY, erase="secure")


@pytest.mark.parametrize(("state", "failed_from"), [("failed", "deploying"), ("deployed", None)])
def test_a_release_ends_the_allocation(store: Store, engine: Engine, machine: str, state: str, failed_from: str | None) -> None:
    with store.write() as session:
        session.add(Allocation(id="hadoop", name="hadoop", count=1))
    put(store, machine, state, failed_from=failed_from, hardware=HARDWARE, allocation_id="hadoop")
    outcome = go(store, engine, machine, READY)
    tell(store, engine, machine, *AGENT)
    with store.session() as session:
        assert outcome.after == {"state": session.get_one(Machine, machine).state} == {"state": "ready"}


def test_user_data_is_shown_by_its_hash_only(store: Store, engine: Engine, machine: str) -> None:
    outcome = go(store, engine, machine, DEPLOYED, user_data="#cloud-config\npassword: s3cret\n")
    assert "s3cret" not in str((outcome.before, outcome.after, outcome.plan))
    assert len(outcome.after["user_data_sha256"]) == 64


@pytest.mark.parametrize(
    "wish",
    [
        {"state": "deployed"},
        {"state": "ready", "image": "debian/12"},
        {"state": "broken"},
        {**DEPLOYED, "erase": "full"},
        {**READY, "erase": "shred"},
    ],
)
def test_wishes_that_mean_nothing(wish: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Wish.model_validate(wish)


def test_everything_is_checked_before_the_first_operation_starts(store: Store, engine: Engine, machine: str) -> None:
    with pytest.raises(Invalid, match="no image"):
        go(store, engine, machine, DEPLOYED, image="none")
    with store.session() as session:
        assert session.get_one(Machine, machine).operation_id is None
