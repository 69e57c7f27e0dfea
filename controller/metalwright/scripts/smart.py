#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
# --- metalwright
# name: smart
# kind: test
# title: What the disks say of their own health (SMART)
# timeout: 5m
# parallel: true
# automatic: true
# ---
"""Asks every disk that smartctl finds, those behind RAID controllers included, for its own verdict on its health.

Fails if one of them says that it is failing. Skipped where none has SMART. Result: ``{"disks": [{..}]}``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SKIPPED = 77
_ATTRIBUTES = {5: "reallocated_sectors", 197: "pending_sectors", 198: "uncorrectable_sectors"}
_NVME = ("critical_warning", "percentage_used", "available_spare", "media_errors")


def main() -> int:
    """Return the exit status."""
    found = [describe(device, ask(device)) for device in smartctl("--scan").get("devices", [])]
    for disk in found:
        print(f"{disk['device']} {disk['model'] or ''} {disk['serial'] or ''}: {disk['verdict']}")
    known = [disk for disk in found if disk["passed"] is not None]
    if result := os.environ.get("METALWRIGHT_RESULT"):
        Path(result).write_text(json.dumps({"disks": found}), encoding="utf-8")
    if not known:
        print("No disk of this machine tells its health.")
        return SKIPPED
    return 0 if all(disk["passed"] for disk in known) else 1


def ask(device: dict[str, Any]) -> dict[str, Any]:
    """Everything a device says."""
    return smartctl("--info", "--health", "--attributes", "--device", str(device.get("type", "auto")), str(device["name"]))


def smartctl(*arguments: str) -> dict[str, Any]:
    """What smartctl answers; its exit status is a set of flags of which most are told again in the answer (smartctl(8))."""
    told = subprocess.run(["smartctl", "--json", *arguments], stdout=subprocess.PIPE, check=False, timeout=120)
    try:
        answer = json.loads(told.stdout)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def describe(device: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """The facts of one device; ``passed`` is None where it does not say."""
    passed = said.get("smart_status", {}).get("passed")
    facts: dict[str, Any] = {
        "device": device.get("info_name") or device["name"],
        "model": said.get("model_name") or said.get("scsi_model_name"),
        "serial": said.get("serial_number"),
        "passed": passed if isinstance(passed, bool) else None,
        "temperature_celsius": said.get("temperature", {}).get("current"),
        "power_on_hours": said.get("power_on_time", {}).get("hours"),
    }
    for row in said.get("ata_smart_attributes", {}).get("table", []):
        if row.get("id") in _ATTRIBUTES:
            facts[_ATTRIBUTES[row["id"]]] = row.get("raw", {}).get("value")
    log = said.get("nvme_smart_health_information_log", {})
    facts |= {name: log[name] for name in _NVME if name in log}
    facts["verdict"] = {True: "healthy", False: "FAILING", None: "does not tell"}[facts["passed"]]
    return facts


if __name__ == "__main__":
    sys.exit(main())
