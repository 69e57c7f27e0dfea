# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab may be made of, and what stays the same about its machines."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from metalwright.lab.spec import LabSpec, MachineSpec


def test_the_usual_lab_is_two_bios_machines_and_a_uefi_machine() -> None:
    spec = LabSpec()
    assert [(machine.name, machine.firmware) for machine in spec.machines] == [
        ("node-1", "bios"),
        ("node-2", "bios"),
        ("node-3", "uefi"),
    ]
    assert spec.gateway == "10.77.0.1"
    assert [spec.bmc_address(machine.name) for machine in spec.machines] == ["10.77.1.11", "10.77.1.12", "10.77.1.13"]


def test_addresses_of_machines_stay_when_others_come_and_differ_between_labs() -> None:
    first = LabSpec(machines=(MachineSpec(name="a"), MachineSpec(name="b")))
    more = LabSpec(machines=(MachineSpec(name="c"), MachineSpec(name="b")))
    other = LabSpec(name="other", machines=(MachineSpec(name="b"),))
    assert first.mac("b") == more.mac("b") != other.mac("b")
    assert first.uuid("b") == more.uuid("b") != other.uuid("b")
    assert int(first.mac("b").split(":")[0], 16) & 1 == 0
    many = LabSpec(machines=(MachineSpec(name="b", nics=3),))
    assert many.macs("b")[0] == first.mac("b")
    assert len(set(many.macs("b"))) == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"machines": [{"name": "a"}, {"name": "a"}]}, "same name"),
        ({"machines": []}, "at least 1"),
        ({"machines": [{"name": "../etc"}]}, "pattern"),
        ({"name": "Lab/1"}, "pattern"),
        ({"subnet": "10.0.0.0/28"}, "/24 or larger"),
        ({"subnet": "10.77.1.0/24"}, "overlap"),
        ({"vlans": [{"vid": 4, "subnet": "10.77.0.0/25"}]}, "subnet and that of VLAN 4 overlap"),
        ({"vlans": [{"vid": 4, "subnet": "10.1.0.0/24"}, {"vid": 4, "subnet": "10.2.0.0/24"}]}, "same vid"),
        ({"machines": [{"name": "a", "memory": 4096}]}, "Extra inputs"),
        ({"machines": [{"name": "a", "firmware": "coreboot"}]}, "bios"),
    ],
)
def test_what_can_not_be_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LabSpec.model_validate(wrong)
