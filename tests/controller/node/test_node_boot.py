# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines that boot are answered."""

from __future__ import annotations

from typing import Any

import pytest
from node_world import ADDRESS, BUILD, MAC, URL, UUID, World
from sqlalchemy.exc import OperationalError

from metalwright.lifecycle.operations import Signal
from metalwright.node import who
from metalwright.store.models import Interface, Machine, Subnet


def test_start_script_is_static_and_runs_the_answer_only_after_it_was_fetched(world: World) -> None:
    lines = world.get("/boot/start.ipxe").text.splitlines()
    assert lines[0] == "#!ipxe"
    fetch = next(line for line in lines if line.startswith("imgfetch"))
    assert f"{URL}/boot/ipxe?mac=${{netX/mac}}&uuid=${{uuid}}&serial=${{serial:uristring}}" in fetch
    assert lines[-1] == "imgexec --replace answer || exit 1"


def test_machine_without_an_operation_boots_its_disk(world: World) -> None:
    world.machine()
    bios, uefi = world.boot(platform="pcbios"), world.boot(platform="efi")
    assert "sanboot --no-describe --drive 0x80 || sanboot --no-describe --drive 0x81" in bios
    assert f"chain {URL}/boot/loaders/local-boot.efi || exit 1" in uefi
    assert bios.endswith("exit 1\n") and uefi.endswith("exit 1\n")
    assert world.events() == []


def test_waiting_operation_brings_the_agent(world: World) -> None:
    machine = world.machine()
    operation = world.start(machine, "commission")
    script = world.boot(platform="efi")
    assert f"kernel --name vmlinuz {URL}/boot/agent/{BUILD}/vmlinuz?o={operation} metalwright.url={URL}/agent/" in script
    assert f"BOOTIF=01-{MAC.replace(':', '-')} console=tty0 console=ttyS0,115200 ip=dhcp-by-init quiet" in script
    assert " panic=15" in script
    assert "initrd=initrd.img initrd=code.cpio" in script
    assert f"initrd --name code.cpio {URL}/boot/agent/code.cpio || goto failed" in script
    assert "echo Metalwright: node-1: commission" in script
    assert world.operation(operation).phase == "boot"
    assert [event.kind for event in world.events("boot.script")] == ["boot.script"]


def test_any_nic_of_the_machine_will_do(world: World) -> None:
    machine = world.machine()
    world.add(Interface(machine_id=machine.id, mac="52:54:00:77:00:02", position=1))
    world.start(machine, "commission")
    assert "metalwright.url" in world.boot("52:54:00:77:00:02")


def test_each_script_has_a_new_token_and_voids_the_one_before(world: World) -> None:
    world.start(world.machine(), "commission")
    first, second = world.token(), world.token()
    assert first != second
    assert world.hello(first).status_code == 404
    assert world.hello(second).status_code == 200


def test_token_is_not_in_the_database(world: World) -> None:
    world.start(world.machine(), "commission")
    token = world.token()
    world.hello(token)
    stored = (world.settings.data_dir / "metalwright.db").read_bytes() + (
        world.settings.data_dir / "metalwright.db-wal"
    ).read_bytes()
    assert token.encode() not in stored


def test_foreign_address_gets_no_token(world: World) -> None:
    operation = world.start(world.machine(), "deploy")
    script = world.boot(address="10.77.0.120")
    assert "metalwright.url" not in script and "sanboot" in script
    assert world.operation(operation).phase == "netboot"
    world.boot(address="10.77.0.120")
    (refused,) = world.events("boot.refused")
    assert refused.data == {"address": "10.77.0.120", "mac": MAC, "expected": ADDRESS}


def test_address_of_a_machine_never_commissioned_is_not_held_against_it(world: World) -> None:
    world.start(world.machine(state="new", hardware=None), "commission")
    assert "metalwright.url" in world.boot(address="10.77.0.120")


def test_uuid_finds_a_machine_with_a_new_nic_but_not_two_with_the_same(world: World) -> None:
    world.start(world.machine(address=None), "commission")
    address = world.reload(world.machine("other", "52:54:00:77:00:09", None, system_uuid=None)).interfaces[0].address
    assert address is None
    world.change(lambda session: setattr(session.query(Machine).filter_by(name="node-1").one().interfaces[0], "address", None))
    assert "metalwright.url" in world.boot("52:54:00:77:00:99", uuid=UUID)
    world.change(lambda session: setattr(session.query(Machine).filter_by(name="other").one(), "system_uuid", UUID))
    assert "metalwright.url" not in world.boot("52:54:00:77:00:99", uuid=UUID)


@pytest.mark.parametrize("mac", ["", "nonsense", "52:54:00:77:00", "' OR 1=1 --", "ff:ff:ff:ff:ff:ff", "x" * 5000])
def test_nonsense_boots_its_disk_and_leaves_no_trace(world: World, mac: str) -> None:
    world.machine()
    assert "sanboot" in world.boot(mac, uuid="../../etc/passwd", serial="${netX/mac}\nboot")
    assert world.events() == []


def test_unknown_machine_on_a_subnet_that_does_not_enlist_is_told_of_once_an_hour(world: World) -> None:
    world.machine()
    for _ in range(5):
        assert "metalwright.url" not in world.boot("52:54:00:aa:00:01", "10.77.0.101")
    (event,) = world.events()
    assert event.kind == "boot.unknown" and event.data["mac"] == "52:54:00:aa:00:01" and "does not enlist" in event.message
    world.clock.forward(3600)
    world.boot("52:54:00:aa:00:01", "10.77.0.101")
    assert len(world.events("boot.unknown")) == 2


def test_unknown_machine_on_a_subnet_that_enlists_gets_the_agent_without_a_token(world: World) -> None:
    world.add(Subnet(name="enlisting", cidr="10.78.0.0/24", enlist=True))
    script = world.boot("52:54:00:aa:00:01", "10.78.0.7")
    assert f"metalwright.url={URL}/agent/enlist BOOTIF=01-52-54-00-aa-00-01 " in script
    assert "?o=" not in script


def test_agent_that_restarts_begins_again_and_after_three_times_the_machine_is_left_alone(world: World) -> None:
    operation = world.start(world.machine(), "release")
    for _ in range(3):
        assert world.hello(world.token()).status_code == 200
        assert world.operation(operation).phase == "wipe"
    assert "sanboot" in world.boot()
    assert world.operation(operation).state == "failed"


def test_agent_that_was_not_built_fails_the_operation_and_the_machine_boots_its_disk(world: World) -> None:
    (world.settings.boot_dir / "agent" / "current").unlink()
    machine = world.machine()
    operation = world.operation(world.start(machine, "commission"))
    assert "sanboot" in world.boot()
    failure = world.operation(operation.id).failure
    assert failure is not None and failure["code"] == "agent_missing" and "metalwright agent build" in failure["hint"]
    assert world.reload(machine).state == "ready"
    assert [event.kind for event in world.events("boot.agent_missing")] == ["boot.agent_missing"]


def test_unknown_machine_is_told_that_the_agent_was_not_built(world: World) -> None:
    (world.settings.boot_dir / "agent" / "current").unlink()
    world.add(Subnet(name="enlisting", cidr="10.78.0.0/24", enlist=True))
    answer = world.get("/boot/ipxe?mac=52:54:00:aa:00:01", "10.78.0.7")
    assert answer.status_code == 503
    assert answer.json is not None and answer.json["code"] == "agent_missing"


def test_deployed_machine_in_its_first_boot_boots_its_disk(world: World) -> None:
    world.image()
    world.first_boot(world.machine())
    assert "sanboot" in world.boot()
    assert len(world.events("boot.local")) == 1


def test_kernel_is_noted_once_for_each_script(world: World) -> None:
    operation = world.start(world.machine(), "commission")
    kernel = f"/boot/agent/{BUILD}/vmlinuz?o={operation}"
    world.get(kernel)
    world.boot()
    for _ in range(3):
        assert world.get(kernel).data == b"kernel"
    assert [event.kind for event in world.events() if event.kind.startswith("boot.")] == [
        "boot.kernel",
        "boot.script",
        "boot.kernel",
    ]
    assert world.get(f"/boot/agent/{BUILD}/vmlinuz?o=nobodys").status_code == 200


def test_loader_over_http_is_noted(world: World) -> None:
    world.start(world.machine(), "commission")
    answer = world.get("/boot/loaders/snponly.efi")
    assert answer.mimetype == "application/efi"
    assert [event.kind for event in world.events("boot.loader")] == ["boot.loader"]


@pytest.mark.parametrize(
    "path",
    [
        "/boot/loaders/../../metalwright.db",
        "/boot/loaders/..%2f..%2fmetalwright.db",
        "/boot/loaders/.hidden",
        "/boot/loaders/none.efi",
        f"/boot/agent/{BUILD}/recipe",
        "/boot/agent/current/vmlinuz",
        "/boot/agent/../agent/vmlinuz",
        "/boot//start.ipxe",
        "/api/v1/machines",
        "/",
    ],
)
def test_nothing_else_exists(world: World, path: str) -> None:
    answer = world.get(path)
    assert answer.status_code == 404
    assert answer.json == {"code": "not_found", "message": "There is nothing here.", "details": {}, "hint": ""}


def test_agent_code_is_an_archive_with_a_digest(world: World) -> None:
    answer = world.get("/boot/agent/code.cpio")
    assert answer.data.startswith(b"070701")
    assert world.get("/boot/agent/code.cpio", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_power_task_that_is_late_does_not_stop_a_boot(world: World) -> None:
    operation = world.start(world.machine(), "commission")
    token = world.token()
    world.signal(operation, Signal.BOOT_SCRIPT)
    assert world.hello(token).status_code == 200


def test_machines_ask_again_where_the_database_is_away_and_are_not_told_where_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_arguments: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("connection to server at 10.0.0.9 failed"))

    monkeypatch.setattr(who, "find", lost)
    answer = world.get(f"/boot/ipxe?mac={MAC}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.get_json()["code"] == "database_unavailable"
    assert "10.0.0.9" not in answer.text
