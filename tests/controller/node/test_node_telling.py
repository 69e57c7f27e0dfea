# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that says the same without end, or ever new things, fills neither the event log nor the database."""

from __future__ import annotations

import pytest
from node_world import ADDRESS, MAC, UUID, World, inventory
from sqlalchemy import func, select

from metalwright.config import Settings
from metalwright.lifecycle.operations import Signal
from metalwright.store.models import Interface

MOST = 100
ROUNDS = 150


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with few events."""
    return settings.model_copy(update={"limits": settings.limits.model_copy(update={"operation_events": MOST})})


def is_over(world: World, operation: str) -> None:
    """It has failed for that reason, and the log holds hardly more than it may."""
    ended = world.operation(operation)
    assert ended.state == "failed" and ended.failure is not None
    assert ended.failure["code"] == "too_many_events"
    assert len(world.events()) <= MOST + 10


def test_an_agent_that_reports_again_and_again(world: World) -> None:
    operation = world.start(world.machine(), "commission")
    token = world.token()
    for _ in range(ROUNDS):
        world.hello(token)
    is_over(world, operation)
    assert world.hello(token).status_code == 404


def test_an_agent_whose_steps_never_end(world: World) -> None:
    world.image()
    operation = world.start(world.machine(), "deploy")
    token = world.token()
    world.hello(token)
    for number in range(ROUNDS):
        world.post(f"/agent/{token}/step", {"step": "write", "status": ("started", "finished")[number % 2]})
    is_over(world, operation)


def test_an_agent_that_is_another_machine_and_does_not_stop(world: World) -> None:
    operation = world.start(world.machine(), "commission")
    token = world.token()
    world.hello(token)
    for _ in range(ROUNDS):
        world.hello(token, identity={"system_uuid": None, "serial": None, "macs": ["52:54:00:00:00:99"]})
    is_over(world, operation)


def test_an_agent_that_finds_the_cards_of_others(world: World) -> None:
    world.machine(name="node-2", mac="52:54:00:77:00:02", address="10.77.0.11", system_uuid=None)
    operation = world.start(world.machine(), "commission")
    token = world.token()
    world.hello(token)
    nics = [*inventory()["nics"], {"name": "ens4", "mac": "52:54:00:77:00:02"}]
    for _ in range(ROUNDS):
        answer = world.post(f"/agent/{token}/inventory", {"inventory": inventory(nics=nics)})
    is_over(world, operation)
    assert answer.status_code == 404


def test_an_agent_that_finds_new_cards_each_time(world: World) -> None:
    machine = world.machine()
    world.start(machine, "commission")
    token = world.token()
    world.hello(token)
    for card in range(8):
        nics = [{"name": f"e{number}", "mac": f"52:54:01:00:{card:02x}:{number:02x}"} for number in range(200)]
        found = inventory(nics=[*inventory()["nics"], *nics])
        assert world.post(f"/agent/{token}/inventory", {"inventory": found}).status_code == 200
    with world.store.session() as session:
        assert session.scalar(select(func.count()).where(Interface.machine_id == machine.id)) == 512


def test_a_first_boot_that_makes_up_stages(world: World) -> None:
    world.image()
    machine = world.machine()
    token = world.first_boot(machine)
    operation = world.reload(machine).operation_id
    assert operation is not None
    world.signal(operation, Signal.JOB_DONE)
    for number in range(ROUNDS):
        world.post(f"/report/{token}", {"origin": "cloudinit", "name": f"stage-{number}", "event_type": "start"})
    is_over(world, operation)


def test_a_boot_script_that_is_asked_for_all_the_time_is_told_once_and_given_each_time(world: World) -> None:
    world.start(world.machine(), "commission")
    for _ in range(ROUNDS):
        token = world.token()
        world.clock.forward(0.05)
    assert len(world.events("boot.script")) == 1
    world.clock.forward(10)
    token = world.token()
    assert len(world.events("boot.script")) == 2
    assert world.hello(token).status_code == 200


def test_boot_scripts_that_many_ask_for_end_nobody_s_operation(world: World) -> None:
    """By its UUID, from the machine's own address, each time with another card."""
    operation = world.start(world.machine(), "commission")
    world.boot()
    world.clock.forward(world.settings.deadlines.boot / 2 + 1)
    for number in range(ROUNDS):
        world.boot(mac=f"52:54:02:00:00:{number:02x}", uuid=UUID)
    assert world.operation(operation).state == "running"
    assert len(world.events()) <= MOST + 10
    assert "sleep 10" in world.boot(mac="52:54:02:00:01:01", uuid=UUID)


def test_strangers_on_the_network_are_told_for_an_hour_and_not_by_the_million(world: World) -> None:
    for number in range(1100):
        world.boot(mac=f"52:54:03:00:{number >> 8:02x}:{number & 255:02x}", address="192.0.2.1")
    assert len(world.events("boot.unknown")) == 1024
    assert world.get("/boot/ipxe?mac=" + MAC, ADDRESS).status_code == 200
