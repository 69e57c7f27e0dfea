# SPDX-License-Identifier: GPL-3.0-or-later
"""A release is only done when every disk that the controller knows was wiped."""

from __future__ import annotations

from typing import Any

import pytest
from node_world import World, inventory

from metalwright.lifecycle.failures import CAUSES

DISK: dict[str, Any] = inventory()["disks"][0]
WIPED = {"method": "quick", "seconds": 0.4}


def released(world: World, known: list[dict[str, Any]], result: Any) -> tuple[Any, str]:
    """What a release's agent is answered when it says how it wiped; and the operation."""
    operation = world.start(world.machine(hardware=inventory(disks=known)), "release")
    token = world.token()
    assert world.hello(token).status_code == 200
    world.post(f"/agent/{token}/step", {"step": "scripts", "status": "finished"})
    return world.post(f"/agent/{token}/step", {"step": "wipe", "status": "finished", "result": result}).json, operation


@pytest.mark.parametrize(
    "result", [{}, {"disks": []}, {"disks": "all"}, {"disks": [7, {"id": None}]}, {"disks": [{"id": "virtio-1", **WIPED}]}]
)
def test_a_disk_that_was_not_seen_fails_the_release_and_is_named(world: World, result: Any) -> None:
    known = [DISK, DISK | {"name": "vdb", "id": "virtio-2"}]
    answer, operation = released(world, known, result)
    assert answer == {"continue": False}
    ended = world.operation(operation)
    assert ended.state == "failed" and ended.failure is not None
    assert (ended.failure["code"], ended.failure["hint"]) == ("disk_missing", CAUSES["disk_missing"].hint)
    assert "vdb (virtio-2)" in ended.failure["message"]
    assert ("virtio-1" in ended.failure["message"]) == ("virtio-1" not in str(result))
    assert ended.machine.state == "failed"


def test_all_known_disks_wiped_and_more_is_a_release(world: World) -> None:
    known = [DISK, DISK | {"name": "sdz", "id": "usb-stick", "removable": True}]
    answer, operation = released(world, known, {"disks": [{"id": "new", **WIPED}, {"id": " virtio-1\x07", **WIPED}]})
    assert answer == {"continue": True}
    assert world.operation(operation).state == "running"
