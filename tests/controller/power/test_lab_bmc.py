# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's BMC, asked by ipmitool, which shares no code with it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest
from paper_bmc import Bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


@pytest.fixture(autouse=True)
def _fresh(bench: Bench) -> None:
    bench.reset()


def ipmitool(bench: Bench, *words: str, user: str = "admin", password: str = "calvin") -> subprocess.CompletedProcess[str]:
    command = [
        "ipmitool",
        "-I",
        "lanplus",
        "-H",
        "127.0.0.1",
        "-p",
        str(bench.port),
        "-U",
        user,
        "-P",
        password,
        "-R",
        "1",
        *words,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_power_follows_the_commands(bench: Bench) -> None:
    assert ipmitool(bench, "power", "status").stdout.strip() == "Chassis Power is off"
    assert ipmitool(bench, "power", "on").returncode == 0
    assert ipmitool(bench, "power", "status").stdout.strip() == "Chassis Power is on"
    assert ipmitool(bench, "power", "cycle").returncode == 0
    assert ipmitool(bench, "power", "reset").returncode == 0
    assert ipmitool(bench, "power", "soft").returncode == 0
    assert ipmitool(bench, "power", "off").returncode == 0
    assert bench.actions == ["on", "cycle", "reset", "soft", "off"]


def test_a_machine_that_is_off_can_not_be_reset(bench: Bench) -> None:
    answer = ipmitool(bench, "power", "reset")
    assert answer.returncode != 0
    assert "not supported in present state" in answer.stderr
    assert bench.actions == []


@pytest.mark.parametrize(
    ("words", "device", "persistent", "uefi"),
    [
        (("pxe",), "network", False, False),
        (("pxe", "options=efiboot"), "network", False, True),
        (("pxe", "options=persistent"), "network", True, False),
        (("disk",), "disk", False, False),
        (("disk", "options=persistent,efiboot"), "disk", True, True),
        (("none",), "none", False, False),
    ],
)
def test_boot_device(bench: Bench, words: tuple[str, ...], device: str, persistent: bool, uefi: bool) -> None:
    answer = ipmitool(bench, "chassis", "bootdev", *words)
    assert answer.returncode == 0, answer.stderr
    flags = bench.boot_flags()
    assert (flags.device, flags.persistent, flags.uefi) == (device, persistent, uefi)
    shown = ipmitool(bench, "chassis", "bootparam", "get", "5").stdout
    named = {"network": "Force PXE", "disk": "Force Boot from default Hard-Drive", "none": "No override"}[device]
    assert named in shown


def test_an_unknown_boot_device_is_refused_and_changes_nothing(bench: Bench) -> None:
    ipmitool(bench, "chassis", "bootdev", "pxe")
    assert "Invalid data field" in ipmitool(bench, "chassis", "bootdev", "floppy").stderr
    assert bench.boot_flags().device == "network"


@pytest.mark.parametrize(("user", "password"), [("admin", "wrong"), ("nobody", "calvin")])
def test_wrong_credentials_are_refused(bench: Bench, user: str, password: str) -> None:
    answer = ipmitool(bench, "power", "on", user=user, password=password)
    assert answer.returncode != 0
    assert bench.actions == []


def test_noise_is_survived_and_sessions_are_forgotten(bench: Bench) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for length in (0, 1, 4, 5, 13, 20, 22, 40, 200):
            client.sendto(os.urandom(length), ("127.0.0.1", bench.port))
            client.sendto((b"\x06\x00\xff\x07" + os.urandom(length)), ("127.0.0.1", bench.port))
            for kind in (0x06, 0x10, 0x12, 0x14, 0xC0):
                client.sendto((b"\x06\x00\xff\x07\x06" + bytes([kind]) + bytes(length)), ("127.0.0.1", bench.port))
    ipmitool(bench, "power", "status")
    before = bench.sessions()
    for _ in range(3):
        assert ipmitool(bench, "power", "status").stdout.strip() == "Chassis Power is off"
    assert bench.sessions() <= before
