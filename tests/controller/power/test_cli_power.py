# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright chassis`` and ``metalwright machine validate`` against a running controller and a running Redfish service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redfish_service import PASSWORD, USER, RedfishService

sys.path.append(str(Path(__file__).parent.parent / "serve"))
from processes import until
from running_controller import RunningController


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningController]:
    made = RunningController(tmp_path_factory.mktemp("controller"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def blades(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedfishService]:
    with RedfishService(tmp_path_factory.mktemp("redfish") / "blades", "blade-1", "blade-2", "spare") as service:
        yield service


def test_a_chassis_is_added_validated_and_watched(controller: RunningController, blades: RedfishService, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    options = ("--power", f"address={blades.url}", "--power", f"username={USER}", "--power", f"password=@{secret}")
    tried = controller.cli("chassis", "add", "redfish", *options, "--name", "blade-*", "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.count("would be added") == 2
    assert controller.json("machine", "list") == []
    added = controller.cli("chassis", "add", "redfish", *options, "--name", "blade-*", "--pool", "blades")
    assert added.returncode == 0, added.stderr
    lines = {line.split()[0]: line for line in added.stdout.splitlines()}
    assert "added" in lines["blade-1"]
    assert "52:54:00:0b:02:01" in lines["blade-2"]
    assert "does not fit blade-*" in lines["spare"]

    valid = controller.cli("machine", "validate", "blade-1", "blade-2")
    assert valid.returncode == 0, valid.stderr
    assert valid.stdout == "blade-1: redfish: ok, power is off\nblade-2: redfish: ok, power is off\n"

    until(lambda: controller.json("machine", "show", "blade-2")["power"]["state"] == "off", "the first poll")


def test_what_is_wrong_is_said_with_a_hint_and_the_exit_code(controller: RunningController, blades: RedfishService) -> None:
    wrong = (
        "--power",
        f"address={blades.url}",
        "--power",
        "username=nobody",
        "--power",
        "password=guess",
        "--power",
        "system=spare",
    )
    controller.json("machine", "add", "node-1", "--mac", "52:54:00:00:00:31", "--power-driver", "redfish", *wrong)
    said = controller.cli("machine", "validate", "node-1")
    assert said.returncode == 1
    assert "node-1: redfish: not ok" in said.stdout
    assert "bmc_auth_failed: " in said.stdout
    assert "hint: Check user name and password" in said.stdout
    assert "guess" not in said.stdout + said.stderr + controller.log
