# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's protocol, from hello to done, and everything that may be wrong with it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from node_world import MAC, SHA, URL, World, inventory

from metalwright.store.models import Interface


def test_commission_from_hello_to_done(world: World) -> None:
    machine = world.machine(state="new", hardware=None, firmware=None, system_uuid=None, serial=None)
    operation = world.start(machine, "commission")
    token = world.token()
    job = world.hello(token).json
    assert job == {
        "operation": operation,
        "kind": "commission",
        "machine": {"id": machine.id, "name": "node-1"},
        "heartbeat": 10,
        "steps": [{"name": "inspect"}, {"name": "scripts", "kinds": ["commissioning", "test"]}],
        "action": "poweroff",
    }
    assert world.post(f"/agent/{token}/step", {"step": "inspect", "status": "started"}).json == {"continue": True}
    facts = inventory(memory={"bytes": 3 << 30})
    facts["nics"].append(facts["nics"][0] | {"name": "ens4", "mac": "52:54:00:77:00:02"})
    assert world.post(f"/agent/{token}/inventory", {"inventory": facts}).json == {"continue": True}
    assert world.post(f"/agent/{token}/step", {"step": "inspect", "status": "finished"}).json == {"continue": True}
    assert world.post(f"/agent/{token}/step", {"step": "scripts", "status": "finished"}).json == {"continue": True}
    assert world.post(f"/agent/{token}/done").json == {"action": "poweroff"}
    assert world.operation(operation).phase == "power-off"
    stored = world.reload(machine)
    assert (stored.cpu_count, stored.memory_mib, stored.disk_gib, stored.arch, stored.firmware) == (2, 3072, 20, "amd64", "bios")
    assert (stored.system_uuid, stored.serial) == (inventory()["system"]["uuid"], "S1")
    assert [(i.mac, i.name, i.boot) for i in stored.interfaces] == [(MAC, "ens3", True), ("52:54:00:77:00:02", "ens4", False)]
    assert stored.hardware is not None and stored.hardware["schema"] == 1
    kinds = [event.kind for event in world.events() if event.kind.startswith("agent.")]
    assert kinds == ["agent.hello", "agent.step", "agent.step", "agent.step", "agent.handover"]


def test_deploy_job_says_what_to_write_and_where_the_seed_is(world: World) -> None:
    world.image()
    world.start(world.machine(), "deploy", disk={"serial": "1"})
    token = world.token()
    job = world.hello(token).json
    assert job is not None
    write, configure = job["steps"]
    assert write == {
        "name": "write",
        "url": f"{URL}/files/{token}/image",
        "format": "raw.zst",
        "sha256": SHA,
        "download_bytes": 9,
        "image_bytes": 1 << 30,
        "disk": {"serial": "1"},
    }
    assert configure["seed_url"] == f"{URL}/seed/{token}/"
    assert configure["efi_label"] == "debian"
    assert all(file["path"].startswith("/") and isinstance(file["mode"], int) for file in configure["files"])
    assert job["action"] == "kexec"


def test_release_wipes_all_disks(world: World) -> None:
    world.start(world.machine(), "release")
    job = world.hello(world.token()).json
    assert job is not None
    scripts, wipe = job["steps"]
    assert scripts == {"name": "scripts", "kinds": ["release"]}
    assert wipe == {"name": "wipe", "mode": "quick", "disks": "all", "stall_seconds": 600}
    assert job["action"] == "poweroff"


def test_restarted_agent_gets_the_same_job(world: World) -> None:
    world.image()
    world.start(world.machine(), "deploy")
    token = world.token()
    first = world.hello(token).json
    world.post(f"/agent/{token}/step", {"step": "write", "status": "started"})
    assert world.hello(token).json == first
    world.post(f"/agent/{token}/step", {"step": "write", "status": "started"})
    assert len(world.events("agent.step")) == 2


def test_repeated_calls_are_noted_once(world: World) -> None:
    operation = world.start(world.machine(), "commission")
    token = world.token()
    world.hello(token)
    for _ in range(3):
        world.post(f"/agent/{token}/step", {"step": "inspect", "status": "finished"})
        world.post(f"/agent/{token}/inventory", {"inventory": inventory()})
    for _ in range(3):
        world.post(f"/agent/{token}/step", {"step": "scripts", "status": "finished"})
    answers = [world.post(f"/agent/{token}/done").json for _ in range(3)]
    assert answers == [{"action": "poweroff"}] * 3
    assert (len(world.events("agent.step")), len(world.events("agent.handover"))) == (2, 1)
    assert world.operation(operation).phase == "power-off"


@pytest.mark.parametrize(("kind", "missing"), [("commission", "inspect, scripts"), ("release", "wipe"), ("rescue", "rescue")])
def test_an_agent_that_says_done_without_having_done_its_job_fails(world: World, kind: str, missing: str) -> None:
    """Nobody's word is enough for ready: a stranger with the token could skip the wipe."""
    machine = world.machine()
    operation = world.start(machine, kind)
    token = world.token()
    world.hello(token)
    if kind == "release":
        world.post(f"/agent/{token}/step", {"step": "scripts", "status": "finished"})
    assert world.post(f"/agent/{token}/done").json == {"action": "poweroff"}
    failure = world.operation(operation).failure
    assert failure is not None
    assert failure["code"] == "agent_error"
    assert failure["message"].endswith(f"never finished: {missing}")
    assert world.reload(machine).state in ("failed", "ready" if kind == "rescue" else "failed")


def test_done_flips_to_the_disk_before_it_answers(world: World) -> None:
    world.image()
    token = world.first_boot(world.machine())
    assert "sanboot" in world.boot()
    assert world.hello(token).status_code == 404


@pytest.mark.parametrize(
    ("identity", "status"),
    [
        ({"macs": [MAC]}, 200),
        ({"system_uuid": "4C4C4544-0042-3510-8052-B4C04F4E5332", "serial": "S1", "macs": ["52:54:00:00:00:99"]}, 200),
        ({"system_uuid": "4C4C4544-0042-3510-8052-B4C04F4E5332", "serial": "S2", "macs": []}, 409),
        ({"serial": "S1", "macs": []}, 409),
        ({"macs": ["52:54:00:00:00:99"]}, 409),
        ({}, 409),
    ],
)
def test_identity_by_score(world: World, identity: dict[str, Any], status: int) -> None:
    operation = world.start(world.machine(), "release")
    answer = world.hello(world.token(), identity=identity)
    assert answer.status_code == status
    if status == 409:
        assert answer.json is not None and answer.json["code"] == "identity_mismatch"
        assert len(world.events("agent.refused")) == 1
        assert world.operation(operation).phase == "netboot", "the machine itself is awaited as before"


def test_failed_step_fails_the_operation_with_what_the_agent_said(world: World) -> None:
    world.image()
    machine = world.machine()
    operation = world.start(machine, "deploy")
    token = world.token()
    world.hello(token)
    error = {"code": "disk_too_small", "message": "vda has 20 GiB, 30 are needed"}
    failed = {"step": "write", "status": "failed", "error": error, "log_tail": "one\ntwo\x1b[31m"}
    assert world.post(f"/agent/{token}/step", failed).json == {"continue": False}
    failure = world.operation(operation).failure
    assert failure is not None
    assert failure["code"] == "disk_too_small" and failure["phase"] == "install"
    assert "write: vda has 20 GiB" in failure["message"] and "smaller image" in failure["hint"]
    assert failure["log_tail"] == "one\ntwo[31m"
    assert world.reload(machine).state == "failed"
    assert world.post(f"/agent/{token}/step", failed).status_code == 404


def test_image_for_other_firmware_is_refused_before_anything_is_written(world: World) -> None:
    world.image(firmware=["uefi"])
    machine = world.machine()
    operation = world.start(machine, "deploy")
    answer = world.hello(world.token())
    assert answer.json is not None and (answer.status_code, answer.json["code"]) == (409, "no_bootloader")
    assert world.operation(operation).state == "failed"
    assert world.reload(machine).state == "ready"


def test_progress_is_a_sign_of_life_written_once_a_second(world: World) -> None:
    world.image()
    operation = world.start(world.machine(), "deploy")
    token = world.token()
    world.hello(token)
    for percent in (1, 2, 3):
        body = {"step": "write", "percent": percent, "message": f"{percent} of 100"}
        assert world.post(f"/agent/{token}/progress", body).json == {"continue": True, "pause": 0.1}
        world.clock.forward(0.4)
    assert world.operation(operation).progress == 1
    world.clock.forward(1)
    deadline = world.operation(operation).deadline
    world.post(f"/agent/{token}/progress", {"step": "write", "percent": 50.5})
    after = world.operation(operation)
    assert after.progress == 50
    assert after.deadline is not None and deadline is not None and after.deadline > deadline


def test_aborted_operation_stops_the_agent(world: World) -> None:
    operation = world.start(world.machine(), "release")
    token = world.token()
    world.hello(token)
    world.change(
        lambda session: world.engine.abort(session, session.get_one(type(world.operation(operation)), operation), by="test")
    )
    for call in ("progress", "step", "done", "hello", "inventory"):
        assert world.post(f"/agent/{token}/{call}", {"step": "wipe", "status": "started"}).status_code == 404


def test_token_expires(world: World) -> None:
    world.start(world.machine(), "release")
    token = world.token()
    world.clock.forward(world.settings.deadlines.token + 1)
    assert world.hello(token).status_code == 404


def test_token_of_another_machine_opens_nothing_of_this_one(world: World) -> None:
    world.machine("other", "52:54:00:77:00:09", "10.77.0.11", serial="S9", system_uuid=None)
    machine = world.machine()
    world.start(machine, "release")
    token = world.token()
    answer = world.hello(token, mac="52:54:00:77:00:09", identity={"macs": ["52:54:00:77:00:09"], "serial": "S9"})
    assert answer.status_code == 409
    assert world.get(f"/seed/{token}/user-data").status_code == 404
    assert world.get(f"/files/{token}/image").status_code == 404
    assert (
        world.post(f"/report/{token}", {"origin": "metalwright", "event_type": "finished", "status": "done"}).status_code == 404
    )


def test_void_and_invented_tokens_get_the_same_answer(world: World) -> None:
    world.start(world.machine(), "commission")
    void = world.token()
    world.token()
    answers = {
        world.post(f"/agent/{token}/{call}", body).get_data()
        for token in (void, "x" * 43, "x", "%00", "\N{SNOWMAN}", "a" * 4000)
        for call, body in (("hello", hello_body()), ("progress", {}), ("done", {}), ("inventory", {"inventory": inventory()}))
    }
    assert [json.loads(answer)["code"] for answer in answers] == ["not_found"]


def hello_body() -> dict[str, Any]:
    return {"protocol": 1, "identity": {"macs": [MAC]}, "firmware": "bios", "boot_mac": MAC}


def test_unknown_protocol_fails_the_operation_at_once(world: World) -> None:
    operation = world.start(world.machine(), "commission")
    answer = world.hello(world.token(), protocol=2)
    assert answer.json is not None and (answer.status_code, answer.json["code"]) == (409, "agent_outdated")
    failure = world.operation(operation).failure
    assert failure is not None and failure["code"] == "agent_outdated" and "metalwright agent build" in failure["hint"]


def test_nic_of_another_machine_is_left_out_and_told(world: World) -> None:
    world.machine("other", "52:54:00:77:00:09", "10.77.0.11", system_uuid=None)
    machine = world.machine(state="new", hardware=None)
    world.start(machine, "commission")
    token = world.token()
    world.hello(token)
    facts = inventory()
    facts["nics"].append(facts["nics"][0] | {"name": "ens4", "mac": "52:54:00:77:00:09"})
    assert world.post(f"/agent/{token}/inventory", {"inventory": facts}).status_code == 200
    assert [i.mac for i in world.reload(machine).interfaces] == [MAC]
    assert len(world.events("machine.nic_taken")) == 1


def test_inventory_marks_the_interface_that_was_booted_from(world: World) -> None:
    machine = world.machine(address=None, state="new", hardware=None)
    world.change(lambda session: setattr(session.get_one(Interface, machine.interfaces[0].id), "boot", False))
    world.add(Interface(machine_id=machine.id, mac="52:54:00:77:00:02", position=1))
    world.start(machine, "commission", address="dhcp")
    world.change(lambda session: setattr(session.get_one(Interface, machine.interfaces[0].id), "address", None))
    token = world.token("52:54:00:77:00:02")
    world.hello(token, "52:54:00:77:00:02")
    world.post(f"/agent/{token}/inventory", {"inventory": inventory()})
    assert {i.mac: i.boot for i in world.reload(machine).interfaces} == {MAC: False, "52:54:00:77:00:02": True}


@pytest.mark.parametrize(
    "broken",
    [
        {"schema": 2},
        {"disks": "all"},
        {"disks": [{"name": "sda"}]},
        {"memory": {"bytes": -1}},
        {"memory": {"bytes": 10**40}},
        {"cpu": {"arch": "x86_64", "threads": 1e99}},
        {"nics": [{"name": "e", "mac": "52:54:00:77:00:01"}] * 300},
        {"firmware": {"type": "coreboot"}},
    ],
)
def test_inventory_out_of_shape_is_refused_and_changes_nothing(world: World, broken: dict[str, Any]) -> None:
    machine = world.machine(state="new", hardware=None)
    world.start(machine, "commission")
    token = world.token()
    world.hello(token)
    answer = world.post(f"/agent/{token}/inventory", {"inventory": inventory(**broken)})
    assert answer.json is not None and (answer.status_code, answer.json["code"]) == (422, "invalid_body")
    assert world.reload(machine).hardware is None


def test_texts_of_firmware_are_cleaned_and_cut(world: World) -> None:
    machine = world.machine(state="new", hardware=None)
    world.start(machine, "commission")
    token = world.token()
    world.hello(token)
    system = {
        "vendor": " Evil\x00\x1b[2J\r\n\ud800Corp ",
        "product": "p" * 5000,
        "serial": "none",
        "uuid": "00000000-0000-0000-0000-000000000000",
    }
    assert world.post(f"/agent/{token}/inventory", {"inventory": inventory(system=system)}).status_code == 200
    stored = world.reload(machine)
    assert stored.hardware is not None
    assert stored.hardware["system"]["vendor"] == "Evil[2JCorp"
    assert len(stored.hardware["system"]["product"]) == 256
    assert stored.system_uuid is None and stored.serial is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe\x00", 400),
        (b"[" * 500_000, 400),
        (b'{"percent": NaN}', 400),
        (b"[]", 422),
        (b'"text"', 422),
        (b'{"percent": 1000}', 422),
        (b" " * ((1 << 20) + 1), 413),
    ],
)
def test_malformed_bodies(world: World, body: bytes, status: int, caplog: pytest.LogCaptureFixture) -> None:
    world.start(world.machine(), "release")
    token = world.token()
    world.hello(token)
    for _ in range(3):
        answer = world.client.post(f"/agent/{token}/progress", data=body)
        assert answer.status_code == status
        assert answer.json is not None and set(answer.json) == {"code", "message", "details", "hint"}
    assert len([record for record in caplog.records if "malformed request" in record.message]) == 1
    assert world.post(f"/agent/{token}/progress", {"percent": 1}).status_code == 200


def test_malformed_http_is_logged_once_per_kind(world: World, caplog: pytest.LogCaptureFixture) -> None:
    gunicorn = logging.getLogger("gunicorn.error")
    for number in range(50):
        gunicorn.warning(f"Invalid request from ip=10.0.0.{number}: Invalid Request Line 'x{number}'")
        gunicorn.warning(f"Invalid request from ip=10.0.0.{number}: Invalid HTTP Version 'HTTP/{number}'")
    gunicorn.warning("something else")
    assert len([record for record in caplog.records if record.name == "gunicorn.error"]) == 3


def test_step_that_is_no_part_of_the_job(world: World) -> None:
    world.start(world.machine(), "release")
    token = world.token()
    world.hello(token)
    assert world.post(f"/agent/{token}/step", {"step": "write", "status": "started"}).status_code == 422
    assert world.post(f"/agent/{token}/inventory", {"inventory": inventory()}).status_code == 409
