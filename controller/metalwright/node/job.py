# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's job, made from the operation: which steps, in which order, and what to do at the end."""

from __future__ import annotations

from typing import Any

from metalwright.lifecycle.operations import OPERATIONS
from metalwright.node import finisher
from metalwright.node.plane import Plane
from metalwright.store.models import Operation

STEPS = {
    "commission": ("inspect", "scripts"),
    "test": ("scripts",),
    "deploy": ("write", "configure"),
    "release": ("scripts", "wipe"),
    "rescue": ("rescue",),
}
SCRIPT_KINDS = {"commission": ["commissioning", "test"], "test": ["test"], "release": ["release"]}
"""Kinds of the scripts that the step ``scripts`` runs, in order."""
ACTIONS = {"commission": "poweroff", "test": "poweroff", "deploy": "kexec", "release": "poweroff", "rescue": "stay"}
"""What the agent does when all steps are done. kexec goes into the written system without another run of the firmware; stay
leaves the machine as it is, for people who log in."""


def steps_of(operation: Operation) -> tuple[str, ...]:
    """Names of the steps, in order."""
    if OPERATIONS[operation.kind].is_inquiry(operation.phase or ""):
        return ("inquire",)
    return STEPS[operation.kind]


def action_of(operation: Operation) -> str:
    """What the agent does when all steps are done."""
    return "poweroff" if OPERATIONS[operation.kind].is_inquiry(operation.phase or "") else ACTIONS[operation.kind]


def build(plane: Plane, operation: Operation, token: str) -> dict[str, Any]:
    """The answer to ``hello``."""
    return {
        "operation": operation.id,
        "kind": operation.kind,
        "machine": {"id": operation.machine_id, "name": operation.machine.name},
        "heartbeat": plane.settings.heartbeat,
        "steps": [_step(plane, operation, token, name) for name in steps_of(operation)],
        "action": action_of(operation),
    }


def working(operation: Operation) -> bool:
    """Whether the agent is at work, or was a moment ago: the phases in which its calls mean something."""
    return operation.phase is not None and OPERATIONS[operation.kind].phase(operation.phase).agent


def _step(plane: Plane, operation: Operation, token: str, name: str) -> dict[str, Any]:
    if name in ("inspect", "inquire"):
        return {"name": name}
    if name == "scripts":
        return {"name": name, "kinds": SCRIPT_KINDS[operation.kind]}
    if name == "rescue":
        return {"name": name, "ssh_keys": operation.parameters.get("ssh_keys") or []}
    if name == "wipe":
        mode = operation.parameters.get("erase") or "quick"
        return {"name": name, "mode": mode, "disks": "all", "stall_seconds": plane.settings.deadlines.wipe_stall}
    image = operation.parameters["image_file"]
    if name == "configure":
        return {
            "name": name,
            "seed_url": f"{plane.url}/seed/{token}/",
            "files": finisher.files(f"{plane.url}/report/{token}"),
            "efi_label": operation.parameters["image"].partition("/")[0],
        }
    return {
        "name": name,
        "url": f"{plane.url}/files/{token}/image",
        "format": image["format"],
        "sha256": operation.parameters["content_sha256"],
        "download_bytes": image["stored_bytes"],
        "image_bytes": image["image_bytes"],
        "disk": operation.parameters.get("disk") or {},
    }
