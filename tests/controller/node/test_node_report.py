# SPDX-License-Identifier: GPL-3.0-or-later
"""What the first boot reports, and what comes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from node_world import World
from werkzeug.test import TestResponse

from metalwright.store.models import ConsoleLog

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
RSA = "ssh-rsa " + "A" * 372


def finished(**more: Any) -> dict[str, Any]:
    message = {"origin": "metalwright", "event_type": "finished", "status": "done", "errors": [], "warnings": []}
    return message | {"datasource": "DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud]", "host_keys": [ED25519, RSA]} | more


def stage(world: World, token: str, name: str, event_type: str = "finish", result: str | None = "SUCCESS") -> TestResponse:
    """As cloud-init's WebHookHandler posts it: JSON without a content type."""
    event = {
        "name": name,
        "description": f"running {name}",
        "event_type": event_type,
        "origin": "cloudinit",
        "timestamp": 1760000000.1,
    }
    if event_type == "finish":
        event |= {"result": result, "duration": 1.25}
    answer = world.client.post(f"/report/{token}", data=json.dumps(event))
    assert "Content-Type" not in answer.request.headers
    return answer


STAGES = ("init-local", "init-network", "modules-config", "modules-final")


def stages(now: float, *ages: tuple[float, float | None]) -> dict[str, Any]:
    """What the finisher says of stages that began and ended so many seconds ago by its clock."""
    times = [
        {"name": name, "started": now - began, "finished": None if ended is None else now - ended, "failed": False}
        for name, (began, ended) in zip(STAGES, ages, strict=False)
    ]
    return {"now": now, "stages": times}


def noted(world: World) -> list[tuple[str, str, float]]:
    """Name, event type and seconds before now of the stages in the log."""
    now = world.clock.now
    return [
        (event.data["name"], event.data["event_type"], (now - event.at).total_seconds())
        for event in world.events("cloudinit.stage")
    ]


def test_stages_are_noted_at_their_time_and_the_finisher_ends_the_deployment(world: World) -> None:
    world.image()
    machine = world.machine()
    token = world.first_boot(machine)
    operation = world.reload(machine).operation_id
    assert operation
    world.clock.forward(60)
    progress = {"origin": "metalwright", "event_type": "progress"}
    early = stages(1e9, (30, 25), (20, 10), (5, None))
    for _ in range(2):
        assert world.post(f"/report/{token}", progress | early).json == {"acknowledged": True}
    assert noted(world) == [
        ("init-local", "start", 30),
        ("init-local", "finish", 25),
        ("init-network", "start", 20),
        ("init-network", "finish", 10),
        ("modules-config", "start", 5),
    ]
    assert world.operation(operation).message == "cloud-init: modules-config"
    world.clock.forward(10)
    late = stages(1e9 + 10, (40, 35), (30, 20), (15, 8), (7, 1))
    assert world.post(f"/report/{token}", finished(**late)).json == {"acknowledged": True}
    assert noted(world)[5:] == [("modules-config", "finish", 8), ("modules-final", "start", 7), ("modules-final", "finish", 1)]
    assert world.events("cloudinit.stage")[-1].data == {
        "name": "modules-final",
        "event_type": "finish",
        "result": "SUCCESS",
        "duration": 6.0,
    }
    stored = world.reload(machine)
    assert (stored.state, stored.host_keys) == ("deployed", [ED25519, RSA])
    assert world.operation(operation).state == "succeeded"


def test_clock_that_is_wrong_does_not_turn_the_log_around(world: World) -> None:
    world.image()
    token = world.first_boot(world.machine())
    world.clock.forward(60)
    odd = stages(2e9, (1e9, 1e9), (-500, -600), (5, 3))
    assert world.post(f"/report/{token}", finished(**odd)).json == {"acknowledged": True}
    times = [event.at for event in world.events()]
    assert times == sorted(times)
    assert world.events("cloudinit.stage")[-1].at <= world.clock.now


def test_webhook_of_cloud_init_is_noted_and_decides_nothing(world: World) -> None:
    world.image()
    machine = world.machine()
    token = world.first_boot(machine)
    for name in ("init-network", "modules-final"):
        for kind in ("start", "finish"):
            assert stage(world, token, name, kind).json == {"acknowledged": True}
        stage(world, token, f"{name}/config-ssh")
    assert world.reload(machine).state == "deploying"
    assert [(name, kind) for name, kind, _ in noted(world)] == [
        (name, kind) for name in ("init-network", "modules-final") for kind in ("start", "finish")
    ]
    world.post(f"/report/{token}", finished(**stages(1e9, (9, 8), (7, 6), (5, 4), (3, 2))))
    assert len(noted(world)) == 8
    assert world.reload(machine).state == "deployed"


def test_finisher_that_reports_again_is_told_that_nobody_waits(world: World) -> None:
    world.image()
    token = world.first_boot(world.machine())
    world.post(f"/report/{token}", finished())
    again = world.post(f"/report/{token}", finished())
    assert again.json is not None and (again.status_code, again.json["code"]) == (404, "not_found")


def test_before_the_agent_is_done_it_is_not_told_to_go_away(world: World) -> None:
    world.image()
    world.start(world.machine(), "deploy")
    token = world.token()
    world.hello(token)
    assert world.post(f"/report/{token}", finished()).status_code == 409


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (
            {"status": "error", "errors": ["('scripts-user', RuntimeError('Runparts: 1 failures'))", "another"]},
            "cloud_init_failed",
            "node-1: cloud-init: module scripts-user failed: RuntimeError('Runparts: 1 failures') (1 more)",
        ),
        (
            {
                "status": "error",
                "errors": [
                    "('package-update-upgrade-install', ProcessExecutionError('Unexpected error while running command.'))",
                    "('scripts-user', RuntimeError('x'))",
                ],
                "complaints": ["E: Unable to locate package foo", "E: Package 'bar' has no installation candidate"],
            },
            "package_install_failed",
            "node-1: cloud-init: packages foo, bar could not be installed: E: Unable to locate package foo (1 more)",
        ),
        (
            {
                "status": "error",
                "errors": ["('package_update_upgrade_install', ProcessExecutionError('Command: apt-get\\\\nExit code: 100'))"],
                "complaints": ["E: Failed to fetch http://deb.example/x.deb  Could not connect"],
            },
            "package_install_failed",
            "node-1: cloud-init: packages could not be installed: E: Failed to fetch http://deb.example/x.deb  Could not connect",
        ),
        (
            {
                "status": "error",
                "errors": [
                    (
                        "('package_update_upgrade_install', PackageInstallerError(\"Failed to install the following packages: "
                        "{'foo'}. See associated package manager logs for more details.\"))"
                    )
                ],
                "complaints": ["Error: Unable to find a match: foo"],
            },
            "package_install_failed",
            "node-1: cloud-init: package foo could not be installed: Error: Unable to find a match: foo",
        ),
        ({"status": "error", "errors": ["disk on fire"]}, "cloud_init_failed", "node-1: cloud-init: disk on fire"),
        ({"status": "error"}, "cloud_init_failed", "node-1: cloud-init: an error that it does not name"),
        ({"datasource": "DataSourceNone"}, "seed_ignored", "node-1: cloud-init did not read its seed but used DataSourceNone"),
    ],
)
def test_failure_names_the_module(world: World, message: dict[str, Any], code: str, text: str) -> None:
    world.image()
    machine = world.machine()
    token = world.first_boot(machine)
    assert world.post(f"/report/{token}", finished(**message)).json == {"acknowledged": True}
    stored = world.reload(machine)
    assert stored.state == "failed" and stored.failure is not None
    assert (stored.failure["code"], stored.failure["message"], stored.failure["phase"]) == (code, text, "first-boot")


def test_what_was_printed_is_kept_with_the_operation_and_goes_into_the_failure(world: World) -> None:
    world.image()
    machine = world.machine()
    token = world.first_boot(machine)
    operation = world.reload(machine).operation_id
    assert operation
    progress = {"origin": "metalwright", "event_type": "progress", "now": 10, "console": "Cloud-init v. 22.4.2 running"}
    assert world.post(f"/report/{token}", progress).status_code == 200
    assert printed(world, operation) == "Cloud-init v. 22.4.2 running"
    said = "x" * (70 << 10) + "\nReading package lists...\x1b[31m\nE: Unable to locate package foo\n"
    failed = finished(status="error", errors=["('scripts-user', RuntimeError('x'))"], console=said)
    assert world.post(f"/report/{token}", failed).status_code == 200
    kept = printed(world, operation)
    assert len(kept) == 64 << 10 and kept.endswith("lists...[31m\nE: Unable to locate package foo\n")
    failure = world.operation(operation).failure
    assert failure is not None
    assert failure["log_tail"].endswith("E: Unable to locate package foo\n('scripts-user', RuntimeError('x'))")


def printed(world: World, operation: str) -> str:
    with world.store.session() as session:
        return session.get_one(ConsoleLog, (operation, "first-boot")).text


def test_failed_part_of_a_stage_is_noted(world: World) -> None:
    world.image()
    token = world.first_boot(world.machine())
    stage(world, token, "modules-final/config-scripts-user", result="FAIL")
    stage(world, token, "modules-final/config-ssh")
    (event,) = world.events("cloudinit.stage")
    assert event.data == {"name": "modules-final/config-scripts-user", "event_type": "finish", "result": "FAIL", "duration": 1.25}


def test_warnings_are_no_failure(world: World) -> None:
    world.image()
    machine = world.machine()
    world.post(f"/report/{world.first_boot(machine)}", finished(warnings=["old key\nused"]))
    assert world.reload(machine).state == "deployed"
    assert len(world.events("cloudinit.warning")) == 1


def test_what_is_no_host_key_is_not_kept(world: World) -> None:
    world.image()
    machine = world.machine()
    keys = [ED25519, "ssh-rsa AAAA\n* ssh-rsa BBBB", "@cert-authority * ssh-rsa AAAAB3NzaC1yc2EAAAADAQ", "../etc", ""]
    world.post(f"/report/{world.first_boot(machine)}", finished(host_keys=keys))
    assert world.reload(machine).host_keys == [ED25519]


@pytest.mark.parametrize(
    "body", [b"", b"pub_key_rsa=x&hostname=y", b"[]", b'{"origin": "curtin"}', b'{"origin": "cloudinit", "name": 3}']
)
def test_nonsense_changes_nothing(world: World, body: bytes) -> None:
    world.image()
    machine = world.machine()
    token = world.first_boot(machine)
    assert world.client.post(f"/report/{token}", data=body).status_code in (400, 422)
    assert world.reload(machine).state == "deploying"


def test_token_of_another_kind_of_operation(world: World) -> None:
    world.start(world.machine(), "release")
    assert world.post(f"/report/{world.token()}", finished()).status_code == 404
