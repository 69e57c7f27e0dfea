# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that falls silent: how far it came says what is wrong, and every silence ends inside its deadlines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from node_world import ADDRESS, MAC, SHA, World
from silent_boot import Boot
from sqlalchemy import update

from metalwright.config import Settings
from metalwright.lifecycle.failures import CAUSES
from metalwright.lifecycle.timeline import timeline
from metalwright.store.models import Operation, Task


def nothing(_boot: Boot) -> None:
    pass


def only_asks(boot: Boot) -> None:
    boot.dhcp("discover")
    boot.dhcp("offer")


def address_only(boot: Boot) -> None:
    boot.dhcp("discover")
    boot.dhcp()


def loader_too(boot: Boot) -> None:
    boot.dhcp()
    boot.loader()


def ipxe_in_the_card(boot: Boot) -> None:
    boot.dhcp()
    boot.world.get("/boot/start.ipxe")


def from_elsewhere(boot: Boot) -> None:
    boot.dhcp()
    boot.world.boot(address="10.77.0.120")


def script_too(boot: Boot) -> None:
    boot.dhcp()
    boot.loader()
    boot.world.boot()


def kernel_too(boot: Boot) -> None:
    script_too(boot)
    boot.kernel()


def kernel_again_and_again(boot: Boot) -> None:
    for _ in range(4):
        boot.world.boot()
        boot.kernel()
        boot.world.clock.forward(20)


@pytest.mark.parametrize(
    ("does", "code", "said", "seen"),
    [
        (nothing, "no_dhcp", "never asked for an address", "told to boot from the network"),
        (only_asks, "no_address", "took none from here: the last was DHCP offer", "DHCP offer"),
        (address_only, "no_loader", "DHCP was answered, but the machine fetched no boot loader", "DHCP ack"),
        (loader_too, "no_boot_script", "never asked for its boot script", "fetched snponly.efi by TFTP"),
        (ipxe_in_the_card, "no_boot_script", "never asked for its boot script", "fetched the start script"),
        (from_elsewhere, "boot_refused", f"from 10.77.0.120 with {MAC}, its own is {ADDRESS}", "was not given its boot script"),
        (script_too, "no_kernel", "the kernel was not", "boot script"),
        (kernel_too, "agent_no_hello", "the agent never reported", "fetched the agent's kernel"),
        (kernel_again_and_again, "agent_no_hello", "it asked for its boot script 4 times", "fetched the agent's kernel"),
    ],
)
def test_how_far_it_came_says_why(world: World, does: Callable[[Boot], None], code: str, said: str, seen: str) -> None:
    machine = world.machine(power_driver="ipmi")
    boot = Boot(world, world.start(machine, "commission"))
    began = world.clock.now
    for attempt in (1, 2, 3):
        assert world.operation(boot.operation).attempt == attempt
        boot.on()
        does(boot)
        boot.silence()
    failure = boot.failure()
    assert (failure["code"], failure["hint"]) == (code, CAUSES[code].hint)
    assert said in failure["message"] and "3 times in a row" in failure["message"]
    assert seen in failure["last_seen"] and failure["last_seen"].startswith("2026-11-21T12:2")
    assert failure["docs"].endswith(f"#{code}")
    assert world.reload(machine).state == "ready", "nothing was changed, so it is where it was"
    assert (world.clock.now - began).total_seconds() >= 3 * 601


def test_where_dhcp_is_not_ours_nothing_is_said_of_it(settings: Settings, world: World) -> None:
    world.settings = settings.model_copy(update={"dhcp": settings.dhcp.model_copy(update={"engine": "none"})})
    world.engine.settings = world.settings
    boot = Boot(world, world.start(world.machine(), "commission"))
    for _ in range(3):
        boot.on()
        boot.silence()
    assert boot.failure()["code"] == "no_netboot"


def test_machine_turned_on_by_hand_is_asked_for(world: World) -> None:
    boot = Boot(world, world.start(world.machine(power_driver="manual"), "commission"))
    for _ in range(3):
        boot.on()
        boot.silence()
    assert "power driver is manual" in boot.failure()["hint"]


def test_agent_that_falls_silent(world: World) -> None:
    world.image()
    machine = world.machine()
    boot = Boot(world, world.start(machine, "deploy"))
    boot.on()
    token = world.token()
    world.hello(token)
    world.post(f"/agent/{token}/step", {"step": "write", "status": "started"})
    world.clock.forward(60)
    world.post(f"/agent/{token}/progress", {"step": "write", "percent": 30, "message": "60 MB/s"})
    world.clock.forward(119)
    boot.reap()
    assert world.operation(boot.operation).state == "running"
    world.clock.forward(2)
    boot.reap()
    failure = boot.failure()
    assert (failure["code"], failure["phase"]) == ("agent_silent", "install")
    assert failure["last_seen"] == "2026-11-21T12:01:00+00:00 progress: 60 MB/s"
    assert world.reload(machine).state == "failed"


def test_machine_that_boots_the_agent_again_and_again(world: World) -> None:
    boot = Boot(world, world.start(world.machine(), "release"))
    boot.on()
    for _ in range(3):
        assert world.hello(world.token()).status_code == 200
        world.clock.forward(20)
    world.boot()
    failure = boot.failure()
    assert failure["code"] == "boot_loop" and "restarted while the agent was at work" in failure["message"]
    assert (world.clock.now.minute, world.clock.now.second) == (1, 0), "told as soon as it restarts once too often"


# -- the installed system --------------------------------------------------------------------------------------------------------


def installed(world: World) -> Boot:
    """A machine whose disk was written, and of which nothing was heard since."""
    world.image()
    machine = world.machine(power_driver="ipmi")
    world.first_boot(machine)
    identifier = world.reload(machine).operation_id
    assert identifier
    boot = Boot(world, identifier)
    world.clock.forward(1801)
    boot.reap()
    return boot


def test_silent_installation_is_inquired_into_and_its_disk_says_why(world: World) -> None:
    boot = installed(world)
    assert world.operation(boot.operation).phase == "inquire-netboot"
    assert [event.kind for event in world.events("operation.inquiry")] == ["operation.inquiry"]
    boot.on()
    token = world.token()
    answer = world.hello(token)
    assert answer.json is not None and [step["name"] for step in answer.json["steps"]] == ["inquire"]
    error = {"code": "installed_no_network", "message": "it started, but: cannot reach 10.77.0.1:5248: Network is unreachable"}
    world.post(f"/agent/{token}/step", {"step": "inquire", "status": "failed", "error": error, "log_tail": "cannot reach"})
    failure = boot.failure()
    assert (failure["code"], failure["phase"], failure["log_tail"]) == ("installed_no_network", "inquire", "cannot reach")
    assert "Network is unreachable" in failure["message"]


def test_inquiry_does_not_need_the_image_any_more(world: World) -> None:
    boot = installed(world)
    world.change(lambda session: session.execute(update(Task).values(state="done")))
    world.settings.images_dir.joinpath(f"{SHA}.raw.zst").unlink()
    world.change(lambda session: session.connection().exec_driver_sql("DELETE FROM image"))
    boot.on()
    assert world.hello(world.token()).status_code == 200


def test_inquiry_that_is_in_vain_says_what_hindered_it(world: World) -> None:
    boot = installed(world)
    for _ in range(3):
        boot.on()
        boot.silence()
    failure = boot.failure()
    assert failure["code"] == "installed_system_silent"
    assert "the agent could not look at its disk: the machine was turned on, but it never asked for an addr" in failure["message"]


def test_inquiry_whose_agent_falls_silent_is_about_the_installed_system(world: World) -> None:
    boot = installed(world)
    boot.on()
    world.hello(world.token())
    boot.silence()
    failure = boot.failure()
    assert failure["code"] == "installed_system_silent" and "the agent stopped reporting" in failure["message"]


def test_first_boot_that_stops_in_the_middle_is_known_without_an_inquiry(world: World) -> None:
    world.image()
    machine = world.machine()
    token = world.first_boot(machine)
    identifier = world.reload(machine).operation_id
    assert identifier
    stages = [{"name": "init-local", "started": 100, "finished": 101}, {"name": "init-network", "started": 102}]
    progress = {"origin": "metalwright", "event_type": "progress", "now": 110, "stages": stages}
    assert world.post(f"/report/{token}", progress).status_code == 200
    world.clock.forward(1801)
    boot = Boot(world, identifier)
    boot.reap()
    failure = boot.failure()
    assert failure["code"] == "first_boot_silent" and "cloud-init init-network started" in failure["message"]


def test_timeline_of_a_stuck_operation_hints_at_what_it_is_stuck_at(world: World) -> None:
    boot = Boot(world, world.start(world.machine(power_driver="ipmi"), "commission"))
    boot.on()
    address_only(boot)
    world.clock.forward(400)
    with world.store.session() as session:
        told = timeline(session, session.get_one(Operation, boot.operation), world.clock)
    assert told["stuck"]["hint"] == CAUSES["no_loader"].hint
    assert "DHCP ack" in told["stuck"]["last_seen"]
