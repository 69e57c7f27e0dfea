# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the DHCP server is not ours, anybody on the node network may ask for a machine's boot script: whose turn it is."""

from __future__ import annotations

import pytest
from node_world import ADDRESS, MAC, URL, UUID, World, token_in
from sqlalchemy import update

from metalwright.config import Settings
from metalwright.store.models import Task

ELSEWHERE = "10.77.0.120"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings of a controller on a network whose DHCP server is somebody else's."""
    return settings.model_copy(update={"dhcp": settings.dhcp.model_copy(update={"engine": "none"})})


def reap(world: World) -> None:
    with world.store.write() as session:
        world.engine.reap(session)


def test_second_asker_waits_and_the_first_keeps_its_token(world: World) -> None:
    operation = world.start(world.machine(), "commission")
    token = world.token()
    script = world.boot(address=ELSEWHERE)
    assert "metalwright.url" not in script and "sanboot" not in script
    assert f"chain --replace {URL}/boot/ipxe?mac=${{netX/mac}}&uuid=${{uuid}}" in script and "sleep 10" in script
    assert world.hello(token).status_code == 200
    assert world.operation(operation).phase == "inspect"


def test_it_is_told_once_who_has_to_wait(world: World) -> None:
    world.start(world.machine(), "commission")
    world.token()
    for _ in range(5):
        world.boot(address=ELSEWHERE)
    (event,) = world.events("boot.contested")
    assert event.data == {"address": ELSEWHERE, "mac": MAC}
    assert f"{ELSEWHERE} with {MAC}" in event.message


def test_machine_that_restarts_is_served_at_once(world: World) -> None:
    world.start(world.machine(), "commission")
    world.token()
    world.clock.forward(20)
    assert world.hello(world.token()).status_code == 200


def test_the_second_half_of_the_time_belongs_to_whoever_else_asks(world: World) -> None:
    operation = world.start(world.machine(), "commission")
    for _ in range(10):  # somebody who asks again and again does not hold it for longer
        world.boot(address=ELSEWHERE)
        world.clock.forward(29)
    assert "metalwright.url" not in world.boot()
    world.clock.forward(10)
    token = world.token()
    assert "metalwright.url" not in world.boot(address=ELSEWHERE), "now it is the machine's turn, for as long"
    world.clock.forward(280)
    reap(world)
    assert world.hello(token).status_code == 200
    assert world.operation(operation).attempt == 1


def test_agent_at_work_is_not_robbed_of_its_token(world: World) -> None:
    operation = world.start(world.machine(), "release")
    token = world.token()
    world.hello(token)
    world.clock.forward(25)
    assert "chain --replace" in world.boot(address=ELSEWHERE)
    world.post(f"/agent/{token}/progress", {"percent": 5})
    world.clock.forward(25)
    assert "chain --replace" in world.boot(address=ELSEWHERE)
    assert world.operation(operation).attempt == 1
    assert world.post(f"/agent/{token}/progress", {"percent": 6}).status_code == 200


def test_machine_that_restarts_under_another_address_is_served_when_its_agent_is_silent(world: World) -> None:
    operation = world.start(world.machine(), "release")
    world.hello(world.token())
    world.clock.forward(39)
    assert "chain --replace" in world.boot(address=ELSEWHERE)
    world.clock.forward(2)
    assert world.hello(token_in(world.boot(address=ELSEWHERE))).status_code == 200
    assert world.operation(operation).attempt == 2


def test_other_nic_of_the_machine_is_another_asker(world: World) -> None:
    world.start(world.machine(), "commission")
    world.token()
    assert "chain --replace" in world.boot("52:54:00:77:00:99", ADDRESS, uuid=UUID)


def test_each_power_on_is_a_new_beginning(world: World) -> None:
    operation = world.start(world.machine(), "commission")
    world.boot(address=ELSEWHERE)
    world.change(lambda session: session.execute(update(Task).values(state="done")))
    world.clock.forward(601)
    reap(world)
    assert (world.operation(operation).phase, world.operation(operation).attempt) == ("netboot", 2)
    assert world.hello(world.token()).status_code == 200
