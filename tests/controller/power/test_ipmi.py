# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPMI driver against a BMC that speaks the real protocol."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from paper_bmc import Bench

from metalwright.lab.bmc import BootFlags
from metalwright.power import PowerDriver, PowerError, PowerState, create
from metalwright.power.nursery import NURSERY


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


@pytest.fixture(autouse=True)
def _fresh(bench: Bench) -> None:
    bench.reset()


def driver(bench: Bench, timeout: float = 10.0, **other: object) -> PowerDriver:
    given = {"address": "127.0.0.1", "port": bench.port, "username": "admin", "password": "calvin", **other}
    return create("ipmi", given, timeout)


def test_on_and_off_change_the_state_and_are_idempotent(bench: Bench) -> None:
    bmc = driver(bench)
    assert bmc.query() is PowerState.OFF
    bmc.on()
    bmc.on()
    assert bmc.query() is PowerState.ON
    bmc.off()
    bmc.off()
    assert bmc.query() is PowerState.OFF
    assert bench.actions == ["on", "off"]


def test_cycle_turns_on_what_is_off_and_resets_what_is_on(bench: Bench) -> None:
    bmc = driver(bench)
    bmc.cycle()
    bmc.cycle()
    assert bench.actions == ["on", "reset"]


def test_soft_off_presses_the_button_and_does_not_wait(bench: Bench) -> None:
    bmc = driver(bench)
    bmc.off(soft=True)
    bench.set("on", True)
    bmc.off(soft=True)
    assert bench.actions == ["soft"]


@pytest.mark.parametrize(
    ("device", "firmware", "flags"),
    [
        ("network", "bios", BootFlags("network", persistent=False, uefi=False)),
        ("network", "uefi", BootFlags("network", persistent=False, uefi=True)),
        ("disk", "uefi", BootFlags("disk", persistent=False, uefi=True)),
    ],
)
def test_boot_once(bench: Bench, device: str, firmware: str, flags: BootFlags) -> None:
    driver(bench).boot_once(device, firmware)  # type: ignore[arg-type]
    assert bench.boot_flags() == flags


def test_a_machine_that_does_not_obey_is_a_named_failure(bench: Bench) -> None:
    bench.set("stuck", True)
    with pytest.raises(PowerError) as caught:
        driver(bench, timeout=8).on()
    assert caught.value.code == "power_refused"
    assert "still off" in caught.value.message


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"username": "nobody"}])
def test_wrong_credentials_are_told_from_an_absent_bmc(bench: Bench, wrong: dict[str, str]) -> None:
    with pytest.raises(PowerError) as caught:
        driver(bench, **wrong).on()
    assert caught.value.code == "bmc_auth_failed"
    assert "127.0.0.1" in caught.value.message
    assert caught.value.hint
    assert "wrong" not in caught.value.message
    assert bench.actions == []


def test_nobody_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(PowerError) as caught:
        create("ipmi", {"address": "127.0.0.1", "port": port, "username": "a", "password": "b"}).query()
    assert caught.value.code == "bmc_unreachable"
    assert f"nothing listens on UDP port {port}" in caught.value.message


@pytest.mark.parametrize("answer", [b"", b"not IPMI at all"])
def test_silence_and_nonsense_end_in_time(answer: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole, ThreadPoolExecutor(1) as pool:
        hole.bind(("127.0.0.1", 0))
        hole.settimeout(0.1)
        silent = create("ipmi", {"address": "127.0.0.1", "port": hole.getsockname()[1], "username": "a", "password": "b"}, 3)
        started = time.monotonic()
        asked = pool.submit(silent.query)
        while not asked.done():
            try:
                client = hole.recvfrom(512)[1]
            except TimeoutError:
                continue
            if answer:
                hole.sendto(answer, client)
        with pytest.raises(PowerError) as caught:
            asked.result()
    assert caught.value.code == "bmc_unreachable"
    assert "no answer" in caught.value.message
    assert time.monotonic() - started < 10


def test_a_bmc_that_goes_silent_during_login_is_not_called_absent() -> None:
    presence = bytes.fromhex("0600ff0700000000000000000010811c63200038000180040200000000")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf, ThreadPoolExecutor(1) as pool:
        deaf.bind(("127.0.0.1", 0))
        deaf.settimeout(0.1)
        given = {"address": "127.0.0.1", "port": deaf.getsockname()[1], "username": "a", "password": "b"}
        asked = pool.submit(create("ipmi", given, 5).query)
        while not asked.done():
            try:
                message, client = deaf.recvfrom(512)
            except TimeoutError:
                continue
            if message[4] == 0:
                deaf.sendto(presence, client)
        with pytest.raises(PowerError) as caught:
            asked.result()
    assert caught.value.code == "bmc_auth_failed"


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(PowerError) as caught:
        create("ipmi", {"address": "bmc.invalid", "username": "a", "password": "b"}).query()
    assert caught.value.code == "bmc_unreachable"
    assert "bmc.invalid" in caught.value.message


def test_many_threads_at_once_leave_nothing_behind(bench: Bench) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ThreadPoolExecutor(6) as pool:
        states = list(pool.map(lambda _: driver(bench).query(), range(12)))
    assert states == [PowerState.OFF] * 12
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert NURSERY.pid is not None
    assert Path(f"/proc/{NURSERY.pid}/task/{NURSERY.pid}/children").read_text() == ""
