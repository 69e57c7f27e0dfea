# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine of the API in words for people."""

from __future__ import annotations

from typing import Any

from metalwright.cli.output import age, size

Shown = dict[str, Any]
"""A machine, as the API shows it."""


def described(found: Shown) -> dict[str, Any]:
    """Everything about a machine: what a person looks for by its name."""
    failure, deployed, rescue = found["failure"] or {}, found["deployed"] or {}, found["rescue"] or {}
    unasked = found["power"]["failure"] or {}
    return {
        "name": found["name"],
        "id": found["id"],
        "state": found["state"],
        "doing": doing(found),
        "former state": found["former_state"],
        "failed at": found["failed_from"],
        "failure": failure.get("message"),
        "code": failure.get("code"),
        "last seen": failure.get("last_seen"),
        "hint": failure.get("hint"),
        "more": f"metalwright explain {found['name']}" if failure else None,
        "note": found["note"],
        "tests": found["test_status"],
        "locked": "yes" if found["locked"] else None,
        "description": found["description"],
        "allocation": found["allocation"],
        "log in": how_to_log_in(found) if rescue else None,
        "rescue host keys": "\n".join(rescue.get("host_keys", [])),
        "in rescue since": f"{age(rescue['since'])} ago" if rescue.get("since") else None,
        "image": deployed.get("image"),
        "hostname": deployed.get("hostname"),
        "adopted": "yes" if deployed.get("adopted") else None,
        "deployed": f"{age(deployed['at'])} ago" if deployed.get("at") else None,
        "power": f"{found['power']['state']} ({found['power']['driver']})",
        "power failure": unasked.get("message"),
        "power hint": unasked.get("hint"),
        "power options": "\n".join(f"{key}={value}" for key, value in found["power"]["parameters"].items()),
        "interfaces": "\n".join(_interface(each) for each in found["interfaces"]),
        "cpus": found["cpu_count"],
        "memory": memory(found),
        "disks": "\n".join(_disk(each) for each in (found["hardware"] or {}).get("disks", [])),
        "system": _system(found),
        "arch": found["arch"],
        "firmware": found["firmware"],
        "pool": found["pool"],
        "zone": found["zone"],
        "tags": found["tags"],
        "host keys": "\n".join(found["host_keys"]),
    }


def how_to_log_in(found: Shown) -> str | None:
    """The command that leads into a machine in rescue; None if its address is not known."""
    where = (found["rescue"] or {}).get("address")
    return f"ssh root@{where}" if where else None


def reason(found: Shown) -> str:
    """Why a machine can not be used, in a few words: the code of its failure, or what was noted when it was marked broken."""
    return str((found["failure"] or {}).get("code") or found["note"])


def doing(found: Shown) -> str | None:
    """The operation under way and how far it is."""
    operation = found.get("operation")
    if not operation or operation["state"] not in ("queued", "running"):
        return None
    percent = f" {operation['progress']}%" if operation.get("progress") is not None else ""
    return f"{operation['kind']}: {operation.get('phase') or operation['state']}{percent}"


def address(found: Shown) -> str | None:
    """The address it was deployed with, else its first one."""
    main = (found.get("deployed") or {}).get("address")
    known = (main if main != "dhcp" else None, *(each.get("address") for each in found["interfaces"]))
    return next((each for each in known if each), None)


def memory(found: Shown) -> str | None:
    """Its memory, with a unit."""
    return size(found["memory_mib"] * 2**20) if found["memory_mib"] else None


def _interface(each: dict[str, Any]) -> str:
    words = (each["mac"], each.get("name"), each.get("address"), each.get("subnet"), "boots" if each.get("boot") else None)
    return "  ".join(str(word) for word in words if word)


def _disk(each: dict[str, Any]) -> str:
    words = (each["name"], size(each["size_bytes"]), each.get("model"), each.get("serial"))
    return "  ".join(str(word) for word in words if word)


def _system(found: Shown) -> str | None:
    system = (found.get("hardware") or {}).get("system", {})
    return " ".join(str(system[key]) for key in ("vendor", "product", "serial") if system.get(key)) or None
