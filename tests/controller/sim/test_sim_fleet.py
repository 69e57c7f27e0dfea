# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs of ``metalwright sim``: every protocol, and machines that fall silent on their way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

METALWRIGHT = str(Path(sys.executable).with_name("metalwright"))


def run(*arguments: str, **environ: str) -> dict[str, Any]:
    command = [METALWRIGHT, "sim", "--self-contained", "--json", "--patience", "300", "--seed", "5", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environ})
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["under_way"] == {"operations": {}, "tasks": {}}
    return found


def test_machines_come_by_dhcp_and_tftp_and_are_turned_on_by_ipmi() -> None:
    found = run("--count", "3", "--network", "--bmc", "ipmi")
    assert found["states"] == {"deployed": 3}
    counts = {name: phase["count"] for name, phase in found["phases"].items()}
    assert counts["DHCP"] == 12  # firmware and iPXE, commissioned and deployed
    assert counts["TFTP loader"] == counts["boot script"] == 6
    assert counts["first boot"] == counts["image"] == 3


def test_a_machine_that_falls_silent_is_turned_on_again() -> None:
    deadlines = {f"METALWRIGHT_DEADLINES__{name}": "8" for name in ("NETBOOT", "BOOT")}
    found = run("--count", "4", "--no-network", "--dies-at", "loader=40", "--dies-at", "agent=40", **deadlines)
    assert found["states"] == {"deployed": 4}
    deaths = sum(number for what, number in found["events"].items() if what.startswith("died at"))
    assert deaths > 0
    assert found["events"]["boots"] >= 8 + deaths
