# SPDX-License-Identifier: GPL-3.0-or-later
"""Unknown machines that post facts about themselves."""

from __future__ import annotations

from typing import Any

import pytest
from node_world import MAC, UUID, World, inventory
from sqlalchemy import update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from metalwright.store.models import Machine, Rule, Subnet


@pytest.fixture
def enlisting(world: World) -> World:
    """A plane with one subnet that enlists and one that does not."""
    world.add(Subnet(name="open", cidr="10.78.0.0/24", enlist=True), Subnet(name="closed", cidr="10.79.0.0/24"))
    return world


def post(world: World, mac: str = MAC, address: str = "10.78.0.5", **more: Any) -> TestResponse:
    identity = {"system_uuid": None, "serial": None, "macs": [mac]}
    facts = inventory(mac, system={"serial": "", "uuid": None})
    body = {"protocol": 1, "identity": identity, "firmware": "uefi", "boot_mac": mac, "inventory": facts}
    return world.post("/agent/enlist", body | more, address)


def test_becomes_a_new_machine_that_does_nothing(enlisting: World) -> None:
    answer = post(enlisting)
    assert answer.status_code == 202 and answer.json is not None
    assert answer.json["action"] == "poweroff"
    with enlisting.store.session() as session:
        machine = session.get_one(Machine, answer.json["machine"])
    assert (machine.name, machine.state, machine.power_driver) == ("node-525400770001", "new", "manual")
    assert (machine.cpu_count, machine.firmware, machine.interfaces[0].mac) == (2, "uefi", MAC)
    assert [event.kind for event in enlisting.events()] == ["machine.enlisted"]
    assert "metalwright.url" not in enlisting.boot(MAC, "10.78.0.5")


def test_asking_again_is_answered_the_same_and_changes_nothing(enlisting: World) -> None:
    first = post(enlisting).json
    enlisting.clock.forward(60)
    assert post(enlisting, inventory=inventory(memory={"bytes": 1 << 40})).json == first
    with enlisting.store.session() as session:
        (machine,) = session.query(Machine).all()
    assert machine.memory_mib == 2048
    assert machine.updated_at == enlisting.clock.now
    assert len(enlisting.events()) == 1


@pytest.mark.parametrize("address", ["10.79.0.5", "192.0.2.1", "127.0.0.1"])
def test_elsewhere_there_is_nothing(enlisting: World, address: str) -> None:
    assert post(enlisting, address=address).status_code == 404
    assert enlisting.events() == []


def test_known_machines_are_refused(enlisting: World) -> None:
    enlisting.machine()
    assert post(enlisting).status_code == 409
    uuid = {"system": {"serial": "S1", "uuid": UUID}}
    assert post(enlisting, "52:54:00:00:00:42", inventory=inventory("52:54:00:00:00:42", **uuid)).status_code == 409


def test_boot_mac_is_one_of_the_machines_own(enlisting: World) -> None:
    assert post(enlisting, boot_mac="52:54:00:00:00:77").status_code == 422
    assert post(enlisting, boot_mac="01:00:5e:00:00:01").status_code == 422


def test_only_so_many_in_a_minute(enlisting: World) -> None:
    answers = [post(enlisting, f"52:54:00:77:00:0{n}").status_code for n in range(5)]
    assert answers == [202, 202, 202, 503, 503]
    enlisting.clock.forward(61)
    assert post(enlisting, "52:54:00:77:00:04").status_code == 202


def test_as_many_machines_as_may_have_enlisted_and_the_log_says_so_once_an_hour(enlisting: World) -> None:
    limits = enlisting.settings.limits.model_copy(update={"enlisted_machines": 2})
    enlisting = World(enlisting.settings.model_copy(update={"limits": limits}), enlisting.clock)
    enlisting.add(Machine(name="added-by-hand"))  # nobody posted it, so it does not count
    assert [post(enlisting, f"52:54:00:77:00:0{number}").status_code for number in (1, 2, 3, 4)] == [202, 202, 429, 429]
    (told,) = enlisting.events("machine.enlist_refused")
    assert "[limits] enlisted_machines" in told.message and told.data == {"address": "10.78.0.5", "limit": 2}
    assert post(enlisting, "52:54:00:77:00:02").status_code == 202  # it is known: only asks again
    enlisting.clock.forward(3601)
    assert post(enlisting, "52:54:00:77:00:03").status_code == 429
    assert len(enlisting.events("machine.enlist_refused")) == 2

    def commission(session: Session) -> None:
        session.execute(update(Machine).where(Machine.name == "node-525400770001").values(state="ready"))

    enlisting.change(commission)
    assert post(enlisting, "52:54:00:77:00:03").status_code == 202


def test_rules_apply_to_a_machine_that_enlists_but_it_does_not_choose_its_name(enlisting: World) -> None:
    actions = {"add_tags": ["small"], "pool": "lab", "hostname_pattern": "r{rack}-{mac}"}
    enlisting.add(Rule(name="sort", when="memory <= 2GiB", actions=actions))
    assert post(enlisting).status_code == 202
    enlisted, applied = enlisting.events()
    assert (enlisted.kind, applied.kind) == ("machine.enlisted", "machine.rules_applied")
    with enlisting.store.session() as session:
        (machine,) = session.query(Machine).all()
    assert (machine.name, machine.tags, machine.pool) == ("node-525400770001", ["small"], "lab")
