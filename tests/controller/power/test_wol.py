# SPDX-License-Identifier: GPL-3.0-or-later
"""Wake-on-LAN, heard by a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from metalwright.errors import Invalid
from metalwright.power import PowerError, PowerState, create

MAC = "52:54:00:12:34:56"


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("", 0))
        listening.settimeout(5)
        yield listening


@pytest.mark.parametrize("password", ["", "01:02:03:04:05:06"])
def test_the_packet_is_six_times_ones_sixteen_times_the_address_and_the_password(ear: socket.socket, password: str) -> None:
    port = ear.getsockname()[1]
    create("wol", {"mac": MAC, "broadcast": "127.255.255.255", "port": port, "password": password}).on()
    address = bytes.fromhex("525400123456")
    assert ear.recv(2048) == b"\xff" * 6 + address * 16 + bytes.fromhex(password.replace(":", ""))


def test_it_can_only_turn_on() -> None:
    machine = create("wol", {"mac": MAC})
    assert machine.query() is PowerState.UNKNOWN
    for refused in (machine.off, machine.cycle):
        with pytest.raises(PowerError) as caught:
            refused()
        assert caught.value.code == "power_refused"
        assert MAC in caught.value.message
        assert "by hand" in caught.value.hint


def test_no_way_to_the_subnet() -> None:
    with pytest.raises(PowerError) as caught:
        create("wol", {"mac": MAC, "broadcast": "nowhere.invalid"}).check()
    assert caught.value.code == "bmc_unreachable"
    assert "nowhere.invalid" in caught.value.message


@pytest.mark.parametrize("wrong", [{"mac": "52:54:00"}, {"mac": MAC, "password": "calvin"}, {"mac": MAC, "broadcast": "a b"}])
def test_parameters_that_can_not_work(wrong: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        create("wol", wrong)
    assert caught.value.code == "power_misconfigured"
    assert "calvin" not in str(caught.value.as_dict())
