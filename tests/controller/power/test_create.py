# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing a driver and checking its parameters."""

from __future__ import annotations

import pytest

from metalwright.errors import Invalid
from metalwright.power import PowerState, create, drivers, redact

EVERY = ("ipmi", "libvirt", "manual", "redfish", "webhook", "wol")
GOOD = {"address": "10.0.0.5", "username": "admin", "password": "hidden"}


def test_every_driver_can_be_looked_up() -> None:
    assert {name: driver.name for name, driver in drivers().items()} == {name: name for name in EVERY}


@pytest.mark.parametrize(
    ("wrong", "parameter"),
    [
        ({**GOOD, "port": 99999}, "port"),
        ({**GOOD, "pasword": "x"}, "pasword"),
        ({"address": "10.0.0.5"}, "username"),
        ({**GOOD, "password": "hidden" * 4}, "password"),
        ({**GOOD, "address": "10.0.0.5; reboot"}, "address"),
    ],
)
def test_the_wrong_parameter_is_named_and_its_value_is_not(wrong: dict[str, object], parameter: str) -> None:
    with pytest.raises(Invalid) as caught:
        create("ipmi", wrong)
    assert caught.value.code == "power_misconfigured"
    assert parameter in caught.value.message
    assert parameter in caught.value.details["parameters"]
    assert "hidden" not in str(caught.value.as_dict())


def test_an_unknown_driver_is_named_with_the_known_ones() -> None:
    with pytest.raises(Invalid) as caught:
        create("telepathy", {})
    assert "telepathy" in caught.value.message
    assert ", ".join(EVERY) in caught.value.hint


def test_redact_hides_secrets_and_what_it_does_not_know() -> None:
    shown = redact("ipmi", {**GOOD, "port": 623, "unknown": "perhaps a secret"})
    assert shown == {"address": "10.0.0.5", "username": "admin", "password": "********", "port": 623, "unknown": "********"}


def test_manual_knows_nothing_and_fails_never() -> None:
    person = create("manual", {})
    person.boot_once("network", "uefi")
    person.on()
    person.off()
    person.cycle()
    assert person.query() is PowerState.UNKNOWN
