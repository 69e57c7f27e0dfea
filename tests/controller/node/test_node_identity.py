# SPDX-License-Identifier: GPL-3.0-or-later
"""Another machine in the place of the one that is awaited, and two machines with one identity."""

from __future__ import annotations

from typing import Any

import pytest
from node_world import MAC, UUID, World, inventory, token_in
from silent_boot import Boot

from metalwright.store.models import Machine, Subnet

OTHER_UUID = "8a1c4be2-3c4f-4d9b-9a53-1f0c1d2e3f40"
OTHER_MAC = "52:54:00:77:00:02"


# -- another machine in its place ------------------------------------------------------------------------------------------------


def stranger(world: World, token: str) -> int:
    """The agent of another machine, with this one's token."""
    identity = {"system_uuid": OTHER_UUID, "serial": "S9", "macs": [OTHER_MAC]}
    return world.hello(token, OTHER_MAC, identity=identity, firmware="uefi").status_code


def test_another_machine_answers_and_ours_never_does(world: World) -> None:
    world.machine("node-9", OTHER_MAC, None, system_uuid=OTHER_UUID, serial="S9")
    machine = world.machine()
    boot = Boot(world, world.start(machine, "deploy"))
    boot.on()
    world.clock.forward(100)
    token = world.token()
    world.clock.forward(50)
    assert stranger(world, token) == 409
    assert stranger(world, token) == 404, "the token is void at once"
    world.clock.forward(449)
    boot.reap()
    assert world.operation(boot.operation).state == "running", "ours may be in its self-test still"
    world.clock.forward(2)
    boot.reap()
    failure = boot.failure()
    assert (failure["code"], failure["phase"]) == ("identity_mismatch", "netboot")
    assert f"UUID {OTHER_UUID}, serial number S9, MAC {OTHER_MAC}, known here as node-9" in failure["message"]
    assert "an agent with the token of node-1 runs on another machine" in failure["last_seen"]
    assert world.operation(boot.operation).attempt == 1, "another attempt would only meet the stranger again"
    assert world.reload(machine).state == "ready"


def test_another_machine_answers_first_and_ours_then(world: World) -> None:
    boot = Boot(world, world.start(world.machine(), "commission"))
    boot.on()
    world.change(lambda session: setattr(session.query(Machine).one().interfaces[0], "address", None))
    assert stranger(world, world.token()) == 409
    assert "sanboot" in world.boot(), "who was refused is sent to its own disk until the next power-on"
    world.clock.forward(590)
    world.boot(address="10.77.0.11")
    world.clock.forward(300)
    boot.reap()
    assert world.operation(boot.operation).phase == "boot", "from its boot script on it has the time that booting may take"
    assert world.hello(token_in(world.boot(address="10.77.0.11"))).status_code == 200
    assert world.operation(boot.operation).phase == "inspect"


def test_late_stranger_ends_it_at_once(world: World) -> None:
    boot = Boot(world, world.start(world.machine(), "commission"))
    boot.on()
    world.clock.forward(590)
    token = world.token()
    world.clock.forward(100)
    assert stranger(world, token) == 409
    boot.reap()
    assert boot.failure()["code"] == "identity_mismatch"


def test_token_in_other_hands_does_not_disturb_an_agent_at_work(world: World) -> None:
    boot = Boot(world, world.start(world.machine(), "release"))
    token = world.token()
    world.hello(token)
    assert stranger(world, token) == 409
    assert world.operation(boot.operation).phase == "wipe"
    assert world.post(f"/agent/{token}/progress", {"percent": 1}).status_code == 200


# -- two machines, one identity --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "other", "says"),
    [
        # the NIC or the mainboard has moved: its MAC is ours, its UUID another's
        ({}, {}, {"system_uuid": OTHER_UUID, "serial": "S9", "macs": [MAC]}),
        ({}, {}, {"system_uuid": OTHER_UUID, "macs": [MAC]}),
        # one machine entered twice, each time with one of its NICs
        ({"system_uuid": None, "serial": None}, {}, {"system_uuid": "", "macs": [MAC, OTHER_MAC]}),
        ({"system_uuid": None, "serial": None}, {}, {"system_uuid": OTHER_UUID, "serial": "S9", "macs": [MAC, OTHER_MAC]}),
        # boards whose vendor gave both the same UUID
        ({"system_uuid": None, "serial": None}, {"serial": None}, {"system_uuid": OTHER_UUID, "macs": [MAC]}),
    ],
)
def test_agent_that_is_as_surely_another_machine_fails_at_once(
    world: World, ours: dict[str, Any], other: dict[str, Any], says: dict[str, Any]
) -> None:
    world.machine("node-9", OTHER_MAC, None, **{"system_uuid": OTHER_UUID, "serial": "S9"} | other)
    machine = world.machine(**ours)
    boot = Boot(world, world.start(machine, "commission"))
    answer = world.hello(world.token(), identity=says)
    assert answer.status_code == 409 and answer.json is not None and answer.json["code"] == "identity_conflict"
    failure = boot.failure()
    assert failure["code"] == "identity_conflict" and "node-9" in failure["message"]
    assert "shared_uuids" in failure["hint"]
    assert len(world.events("machine.identity_conflict")) == 1
    assert world.reload(machine).state == "ready"


@pytest.mark.parametrize(
    "says",
    [
        {"system_uuid": UUID, "serial": "S1", "macs": [MAC, OTHER_MAC]},  # a NIC was entered for another machine by mistake
        {"system_uuid": OTHER_UUID, "serial": "S1", "macs": [MAC]},  # the same UUID, but serial numbers that tell them apart
        {"system_uuid": "0f0f0f0f-3c4f-4d9b-9a53-1f0c1d2e3f40", "macs": [MAC]},  # a new mainboard
    ],
)
def test_what_is_surely_this_machine_goes_on(world: World, says: dict[str, Any]) -> None:
    world.machine("node-9", OTHER_MAC, None, system_uuid=OTHER_UUID, serial="S9")
    world.start(world.machine(), "commission")
    assert world.hello(world.token(), identity=says).status_code == 200


def test_uuid_that_is_known_to_be_shared_tells_nothing(world: World) -> None:
    node = world.settings.node.model_copy(update={"shared_uuids": [OTHER_UUID.upper()]})
    world = World(world.settings.model_copy(update={"node": node}), world.clock)
    world.machine("node-9", OTHER_MAC, None, system_uuid=OTHER_UUID, serial=None)
    world.start(world.machine(system_uuid=None), "commission")
    assert world.hello(world.token(), identity={"system_uuid": OTHER_UUID, "macs": [MAC]}).status_code == 200


def test_unknown_machine_with_the_identity_of_one_that_is_awaited(world: World) -> None:
    world.add(Subnet(name="open", cidr="10.78.0.0/24", enlist=True))
    machine = world.machine(power_driver="ipmi")
    boot = Boot(world, world.start(machine, "commission"))
    boot.on()
    claim = {"protocol": 1, "identity": {"macs": [OTHER_MAC]}, "firmware": "bios", "boot_mac": OTHER_MAC}
    for _ in range(3):
        answer = world.post("/agent/enlist", {**claim, "inventory": inventory(OTHER_MAC)}, "10.78.0.5")
        assert answer.status_code == 409 and answer.json is not None and answer.json["code"] == "identity_conflict"
    (event,) = world.events("machine.identity_conflict")
    assert event.operation_id == boot.operation and OTHER_MAC in event.message and "10.78.0.5" in event.message
    boot.silence()
    failure = boot.failure()
    assert failure["code"] == "identity_conflict" and f"MAC {OTHER_MAC} at 10.78.0.5" in failure["message"]
