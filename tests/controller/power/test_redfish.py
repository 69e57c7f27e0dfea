# SPDX-License-Identifier: GPL-3.0-or-later
"""The Redfish driver against sushy-tools' emulator."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redfish_service import RedfishService, authority

from metalwright.errors import Invalid
from metalwright.power import PowerError, PowerState, create, probe


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def blades(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedfishService]:
    """Two systems, HTTP Basic only."""
    with RedfishService(tmp_path_factory.mktemp("redfish") / "blades", "blade-1", "blade-2") as service:
        yield service


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tls: Path) -> Iterator[RedfishService]:
    """One system, sessions only, TLS."""
    with RedfishService(tmp_path_factory.mktemp("redfish") / "server", "server", sessions=True, tls=tls) as service:
        yield service


def test_on_off_and_cycle_over_tls_with_a_session(server: RedfishService, tls: Path) -> None:
    bmc = create("redfish", server.parameters(verify=str(tls / "ca.crt"), auth="session"), 20)
    assert bmc.query() is PowerState.OFF
    bmc.on()
    assert bmc.query() is PowerState.ON
    bmc.on()
    bmc.cycle()
    deadline = time.monotonic() + 10
    while bmc.query() is not PowerState.ON:
        assert time.monotonic() < deadline
    bmc.off(soft=True)
    while bmc.query() is not PowerState.OFF:
        assert time.monotonic() < deadline
    bmc.cycle()
    assert bmc.query() is PowerState.ON
    bmc.off()
    assert bmc.query() is PowerState.OFF
    asked = server.requests()
    resets = [json.loads(body)["ResetType"] for method, path, _, body in asked if path.endswith("ComputerSystem.Reset")]
    assert resets == ["On", "ForceRestart", "GracefulShutdown", "On", "ForceOff"]
    logins = [method for method, path, _, _ in asked if "/SessionService/Sessions" in path]
    assert logins.count("POST") == logins.count("DELETE"), "a session was left behind"
    assert "basic" not in {how for _, _, how, _ in asked}


@pytest.mark.parametrize(
    ("device", "firmware", "sent"),
    [
        ("network", "uefi", {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}),
        (
            "disk",
            "bios",
            {"BootSourceOverrideTarget": "Hdd", "BootSourceOverrideEnabled": "Once", "BootSourceOverrideMode": "Legacy"},
        ),
    ],
)
def test_boot_once_of_one_system_of_several(blades: RedfishService, device: Any, firmware: Any, sent: dict[str, str]) -> None:
    create("redfish", blades.parameters(system=blades.ids["blade-2"]), 20).boot_once(device, firmware)
    _, path, how, body = next(each for each in reversed(blades.requests()) if each[0] == "PATCH")
    assert path.endswith(blades.ids["blade-2"])
    assert json.loads(body)["Boot"].items() >= sent.items()
    assert how == "basic"
    create("redfish", blades.parameters(system=blades.ids["blade-2"]), 20).boot_once("network", "uefi")


def refusal(parameters: dict[str, Any], timeout: float = 20) -> PowerError:
    with pytest.raises(PowerError) as caught:
        create("redfish", parameters, timeout).on()
    assert caught.value.hint
    assert "calvin" not in str(caught.value.as_dict())
    return caught.value


def test_of_several_systems_one_must_be_named(blades: RedfishService) -> None:
    nothing, wrong = refusal(blades.parameters()), refusal(blades.parameters(system="blade-9"))
    assert nothing.code == wrong.code == "power_misconfigured"
    assert blades.ids["blade-1"] in nothing.message
    assert "no system 'blade-9'" in wrong.message


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"username": "nobody"}, {"password": "wrong", "auth": "basic"}])
def test_wrong_credentials(blades: RedfishService, wrong: dict[str, str]) -> None:
    error = refusal(blades.parameters(system=blades.ids["blade-1"], **wrong))
    assert error.code == "bmc_auth_failed"
    assert blades.url in error.message


def test_a_wrong_password_of_a_session(server: RedfishService, tls: Path) -> None:
    assert refusal(server.parameters(verify=str(tls / "ca.crt"), password="wrong")).code == "bmc_auth_failed"


def test_certificates_are_verified_unless_said_otherwise(server: RedfishService, tls: Path) -> None:
    error = refusal(server.parameters())
    assert error.code == "power_misconfigured"
    assert "certificate is not trusted" in error.message
    assert "verify" in error.hint
    assert create("redfish", server.parameters(verify="false"), 20).query() in (PowerState.ON, PowerState.OFF)
    assert "can not be read" in refusal(server.parameters(verify="/nowhere/ca.crt")).message


def test_a_machine_that_does_not_obey(tmp_path: Path) -> None:
    with RedfishService(tmp_path / "stuck", "stuck", delay=10_000) as service:
        started = time.monotonic()
        error = refusal(service.parameters(), timeout=6)
    assert error.code == "power_refused"
    assert "still off" in error.message
    assert time.monotonic() - started < 6.5


def test_nobody_there_and_a_name_that_does_not_resolve() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = {"username": "a", "password": "calvin"}
    closed = refusal({"address": f"http://127.0.0.1:{port}", **given})
    unknown = refusal({"address": "bmc.invalid", **given})
    assert closed.code == unknown.code == "bmc_unreachable"
    assert "nothing listens" in closed.message
    assert "does not resolve" in unknown.message
    assert "https://bmc.invalid" in unknown.message


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "bmc_unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "power_misconfigured"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "power_misconfigured"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "power_misconfigured"),
    ],
)
def test_what_is_no_redfish_service_ends_in_time(answer: bytes, code: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2 if answer else 1):
                connection, _ = listener.accept()
                connection.recv(65536)
                connection.sendall(answer)
                if not answer:
                    time.sleep(4)  # says nothing and holds the line
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        started = time.monotonic()
        given = {"address": f"http://127.0.0.1:{listener.getsockname()[1]}", "username": "a", "password": "calvin"}
        assert refusal(given, timeout=3).code == code
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    "address", ["ftp://10.0.0.5", "https://user:calvin@10.0.0.5", "https://10.0.0.5/admin", "https://", "http://10.0.0.5:99999"]
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(Invalid) as caught:
        create("redfish", {"address": address, "username": "a", "password": "b"})
    assert caught.value.details["parameters"] == ["address"]
    assert "calvin" not in str(caught.value.as_dict())


def test_all_systems_of_a_service_are_found(blades: RedfishService) -> None:
    found = {each.name: each for each in probe("redfish", blades.parameters(), 30)}
    assert set(found) == {"blade-1", "blade-2"}
    second = found["blade-2"]
    assert [mac.lower() for mac in second.macs] == ["52:54:00:0b:02:01", "52:54:00:0b:02:02"]
    assert create("redfish", second.parameters, 20).query() is PowerState.OFF
    assert second.parameters["system"] == blades.ids["blade-2"]
