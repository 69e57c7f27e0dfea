# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between the controller and a BMC: real IPMI over UDP, real worker."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paper_bmc import Bench
from played_machine import PlayedMachine
from running_controller import free_port
from site_under_test import Site
from verdicts import now

from metalwright.agent.disks import Disk


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


def ipmi(port: int, **other: Any) -> dict[str, Any]:
    given = {"address": "127.0.0.1", "port": port, "username": "admin", "password": "calvin", **other}
    return {"driver": "ipmi", "parameters": given}


@pytest.fixture
def mended(site: Site, bench: Bench) -> Callable[[PlayedMachine], Callable[[], str]]:
    """Bring a machine back: its power parameters are set right, then it is released with real power calls."""

    def of(machine: PlayedMachine) -> Callable[[], str]:
        def back() -> str:
            bench.reset()
            site.api("PATCH", f"/machines/{machine.name}", {"power": ipmi(bench.port)})
            site.release(machine)()
            assert bench.actions[-1] == "off"
            return "power parameters set right; release"

        return back

    return of


Mended = Callable[[PlayedMachine], Callable[[], str]]


def test_the_bmc_can_not_be_reached(site: Site, image: str, disk: Disk, mended: Mended) -> None:
    port = free_port(socket.SOCK_DGRAM)
    machine = site.machine("unreachable", disk, power=ipmi(port))
    cause = now()
    operation = site.start("unreachable", "deploy", image=image)
    site.failed(
        "BMC unreachable",
        operation,
        "bmc_unreachable",
        cause=cause,
        says=("127.0.0.1", f"nothing listens on UDP port {port}"),
        after="ready",
        back=mended(machine),
    )


def test_the_bmcs_password_is_wrong(site: Site, image: str, bench: Bench, disk: Disk, mended: Mended) -> None:
    bench.reset()
    machine = site.machine("locked-out", disk, power=ipmi(bench.port, password="wrong"))
    cause = now()
    operation = site.start("locked-out", "deploy", image=image)
    ended = site.failed(
        "BMC wrong password",
        operation,
        "bmc_auth_failed",
        cause=cause,
        says=("127.0.0.1",),
        after="ready",
        back=mended(machine),
    )
    assert "wrong" not in ended["failure"]["message"]
    assert "password" in ended["failure"]["hint"]


@pytest.fixture
def refusing() -> Iterator[int]:
    port = free_port(socket.SOCK_DGRAM)
    program = str(Path(__file__).with_name("refusing_bmc.py"))
    with subprocess.Popen([sys.executable, program, str(port), "admin", "calvin"], stdout=subprocess.PIPE) as bmc:
        assert bmc.stdout is not None
        assert bmc.stdout.readline() == b"ready\n"
        yield port
        bmc.kill()


def test_the_bmc_refuses_the_call(site: Site, image: str, refusing: int, disk: Disk, mended: Mended) -> None:
    machine = site.machine("refused", disk, power=ipmi(refusing))
    cause = now()
    operation = site.start("refused", "deploy", image=image)
    site.failed(
        "power call refused",
        operation,
        "power_refused",
        cause=cause,
        says=("127.0.0.1", "rivilege"),
        after="ready",
        back=mended(machine),
    )
