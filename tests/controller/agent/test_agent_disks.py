# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks a machine has, and which one is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalwright.agent.disks import Disk, choose, human_size, list_disks, matches, partitions
from metalwright.agent.errors import StepFailed

GIB = 1 << 30


def disk(name: str, gib: float, **fields: Any) -> Disk:
    plain = Disk(name, f"/dev/{name}", f"serial-{name}", "", "", "", int(gib * GIB), False, "sata", False)
    return plain._replace(**fields)


SMALL = disk("sdb", 100, serial="S3Z8NX0K", wwn="0x5002538e40a1b2c3", model="Samsung SSD 860", id="wwn-0x5002538e40a1b2c3")
LARGE = disk(
    "sda", 4000, serial="ZA1ABCDE", model="ST4000NM000A", rotational=True, links=("/dev/disk/by-path/pci-0000:00:17.0-ata-1",)
)
FAST = disk("nvme0n1", 960, serial="PHLN1", wwn="eui.01000000010000005cd2e4", model="INTEL SSDPE2KX010T8", transport="nvme")
STICK = disk("sdc", 16, removable=True, transport="usb")
SMALL_IN_WORDS = "/dev/sdb (100 GiB, Samsung SSD 860 serial S3Z8NX0K)"
ALL = [LARGE, SMALL, STICK, FAST]


@pytest.mark.parametrize(
    ("hints", "chosen"),
    [
        ({}, SMALL),
        ({"name": "sda"}, LARGE),
        ({"name": "/dev/sda"}, LARGE),
        ({"name": "/dev/disk/by-path/pci-0000:00:17.0-ata-1"}, LARGE),
        ({"serial": "za1abcde"}, LARGE),
        ({"wwn": "5002538E40A1B2C3"}, SMALL),
        ({"wwn": "0x5002538e40a1b2c3"}, SMALL),
        ({"wwn": "01000000010000005cd2e4"}, FAST),
        ({"model": "intel"}, FAST),
        ({"min_size_gib": 101}, FAST),
        ({"min_size_gib": 100}, SMALL),
        ({"rotational": True}, LARGE),
        ({"rotational": False, "min_size_gib": 500}, FAST),
        ({"name": None, "serial": None}, SMALL),
    ],
)
def test_hints_choose_a_disk(hints: dict[str, Any], chosen: Disk) -> None:
    assert choose(ALL, hints, GIB) == chosen
    assert choose(list(reversed(ALL)), hints, GIB) == chosen


def test_of_equal_disks_it_is_always_the_same_one() -> None:
    twins = [disk("sdb", 10, id="serial-A"), disk("sda", 10, id="serial-B")]
    assert choose(twins, {}, GIB).name == "sdb"
    assert choose(list(reversed(twins)), {}, GIB).name == "sdb"


def test_a_disk_that_fits_the_image_is_preferred_to_a_smaller_one() -> None:
    assert choose(ALL, {}, 200 * GIB) == FAST


@pytest.mark.parametrize(
    ("disks", "hints", "size", "code", "says"),
    [
        ([], {}, 1, "no_disk", "no disk that is not removable"),
        ([STICK], {}, 1, "no_disk", "no disk that is not removable"),
        ([STICK, SMALL], {"name": "sdc"}, 1, "no_disk", f"no disk fits name=sdc; there are: {SMALL_IN_WORDS}"),
        (ALL, {"serial": "x", "rotational": True}, 1, "no_disk", "no disk fits rotational=True, serial=x"),
        ([SMALL], {}, 101 * GIB, "disk_too_small", f"{SMALL_IN_WORDS} is too small: the image has 101 GiB"),
        (ALL, {"colour": "red"}, 1, "agent_error", "unknown disk hint: colour"),
    ],
)
def test_no_disk_is_explained(disks: list[Disk], hints: dict[str, Any], size: int, code: str, says: str) -> None:
    with pytest.raises(StepFailed) as caught:
        choose(disks, hints, size)
    assert caught.value.code == code
    assert says in caught.value.message


def test_a_serial_number_hint_does_not_fit_a_disk_without_one() -> None:
    assert not matches(disk("vda", 1), {"serial": "x"})
    assert not matches(disk("vda", 1), {"wwn": "0x1"})


class Machine:
    """/sys, /dev and /run of a machine with some disks, as Linux 6.1 and udev 252 show them."""

    def __init__(self, root: Path) -> None:
        self.sys, self.dev, self.run = root / "sys", root / "dev", root / "run"
        for path in (self.sys / "block", self.dev / "disk/by-id", self.dev / "disk/by-path", self.run / "udev/data"):
            path.mkdir(parents=True)

    def add(self, name: str, at: str, gib: int, files: dict[str, str] | None = None, udev: dict[str, str] | None = None) -> Path:
        block = self.sys / "devices" / at / "block" / name
        number = f"8:{len(list((self.sys / 'block').iterdir()))}"
        plain = {
            "size": str(gib * GIB // 512),
            "ro": "0",
            "removable": "0",
            "hidden": "0",
            "queue/rotational": "0",
            "dev": number,
        }
        for path, text in (plain | (files or {})).items():
            (block / path).parent.mkdir(parents=True, exist_ok=True)
            (block / path).write_text(text + "\n")
        (self.sys / "block" / name).symlink_to(block)
        if udev:
            lines = [f"E:{key}={value}\n" for key, value in udev.items()]
            (self.run / "udev/data" / f"b{number}").write_text("I:1\n" + "".join(lines))
        return block

    def disks(self) -> list[Disk]:
        return list_disks(self.sys, self.dev, self.run)


def test_disks_are_read_from_sys_and_udev(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add("vda", "pci0000:00/0000:00:03.0/virtio1", 10, {"serial": "lab-disk", "queue/rotational": "1"})
    udev = {"ID_BUS": "ata", "ID_MODEL": "Samsung_SSD_860", "ID_SERIAL_SHORT": "S3Z8", "ID_WWN": "0x5002538e40a1b2c3"}
    machine.add("sda", "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0", 500, udev=udev)
    machine.add(
        "nvme0n1",
        "pci0000:00/0000:01:00.0/nvme/nvme0",
        960,
        {"wwid": "eui.0100", "device/serial": "PHLN1", "device/model": "INTEL P4510"},
    )
    machine.add(
        "sdb", "pci0000:00/0000:00:14.0/usb1/1-1/host9", 16, udev={"ID_BUS": "usb", "ID_PATH": "pci-0000:00:14.0-usb-0:1"}
    )
    machine.add(
        "sdc",
        "pci0000:00/0000:02:00.0/host1/port-1:0/end_device",
        4000,
        {"device/sas_address": "0x5", "device/wwid": "naa.5000c5"},
    )
    machine.add("vdb", "pci0000:00/0000:00:04.0/virtio2", 5)
    (machine.dev / "disk/by-id/ata-Samsung_SSD_860_S3Z8").symlink_to("../../sda")
    found = {disk.name: disk for disk in machine.disks()}
    assert list(found) == sorted(found)
    assert {name: (one.transport, one.id) for name, one in found.items()} == {
        "nvme0n1": ("nvme", "wwn-eui.0100"),
        "sda": ("sata", "wwn-0x5002538e40a1b2c3"),
        "sdb": ("usb", "path-pci-0000:00:14.0-usb-0:1"),
        "sdc": ("sas", "wwn-naa.5000c5"),
        "vda": ("virtio", "serial-lab-disk"),
        "vdb": ("virtio", "name-vdb"),
    }
    assert found["sda"].model == "Samsung SSD 860"
    assert found["sda"].links == (str(machine.dev / "disk/by-id/ata-Samsung_SSD_860_S3Z8"),)
    assert found["nvme0n1"].model == "INTEL P4510"
    assert found["nvme0n1"].size_bytes == 960 * GIB
    assert found["vda"].rotational
    assert [name for name, one in found.items() if one.removable] == ["sdb"]


def test_what_is_no_disk_to_write_to_is_left_out(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for name in ("loop0", "ram0", "zram0", "sr0", "fd0", "dm-0", "md127", "mmcblk0boot0"):
        machine.add(name, f"virtual/{name}", 1)
    machine.add("sda", "a", 0)
    machine.add("sdb", "b", 1, {"ro": "1"})
    machine.add("nvme0c0n1", "c", 1, {"hidden": "1"})
    machine.add("mmcblk0", "d", 8)
    assert [disk.name for disk in machine.disks()] == ["mmcblk0"]


def test_partitions_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    block = machine.add("vda", "pci0", 1)
    for number in (2, 10, 1):
        (block / f"vda{number}").mkdir()
        (block / f"vda{number}/partition").write_text(f"{number}\n")
    found = partitions(machine.disks()[0], machine.sys, machine.dev)
    assert [path.name for path in found] == ["vda1", "vda2", "vda10"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1 << 20, "1 MiB"),
        (512 << 20, "512 MiB"),
        (int(2.5 * GIB), "2.5 GiB"),
        (960197124096, "894 GiB"),
        (4 << 40, "4.0 TiB"),
    ],
)
def test_sizes_are_for_people(size: int, text: str) -> None:
    assert human_size(size) == text
