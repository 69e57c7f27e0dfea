# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine is: the schema holds for the very machine that runs this, and firmware's nonsense is seen through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import metalwright.agent
from metalwright.agent.abort import Abort
from metalwright.agent.identity import firmware_type, identity
from metalwright.agent.inventory import collect
from metalwright.agent.lldp import parse
from metalwright.agent.smbios import Smbios

SCHEMA: dict[str, Any] = json.loads((Path(metalwright.agent.__file__).parent / "inventory.schema.json").read_text())


def structure(kind: int, body: bytes, *strings: bytes) -> bytes:
    """An SMBIOS structure (DSP0134, 6.1.2): type, length, handle, body; then its strings."""
    return bytes([kind, len(body) + 4, 0, 0]) + body + (b"\0".join(strings) + b"\0\0" if strings else b"\0\0")


def memory_device(size: int, extended: int = 0) -> bytes:
    body = bytearray(0x28 - 4)
    body[0x0C - 4 : 0x0E - 4] = size.to_bytes(2, "little")
    body[0x1C - 4 : 0x20 - 4] = extended.to_bytes(4, "little")
    return structure(17, bytes(body), b"DIMM 0", b"Bank 0")


def firmware(root: Path, table: bytes = b"", **fields: str) -> Path:
    (root / "class/dmi/id").mkdir(parents=True)
    for name, text in fields.items():
        (root / "class/dmi/id" / name).write_text(text + "\n")
    (root / "firmware/dmi/tables").mkdir(parents=True)
    (root / "firmware/dmi/tables/DMI").write_bytes(table)
    return root


def test_this_machine_fits_the_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    found = collect(Abort())
    jsonschema.validate(found, SCHEMA)
    assert found["memory"]["bytes"] > 1 << 28
    assert found["cpu"]["threads"] >= found["cpu"]["cores"] >= found["cpu"]["sockets"] >= 1


def test_a_described_machine_fits_the_schema(tmp_path: Path) -> None:
    sys = firmware(
        tmp_path,
        memory_device(0x7FFF, 65536) + memory_device(16384),
        sys_vendor="Dell Inc.",
        product_name="PowerEdge R640",
        product_serial="ABC1234",
        product_uuid="4C4C4544-0042-3310-8031-B9C04F4B4C32",
        product_sku="To Be Filled By O.E.M.",
        chassis_vendor="Dell Inc.",
        chassis_type="23",
        chassis_serial="ENC-4",
    )
    nic = sys / "devices/pci0000:00/0000:00:1c.0/0000:01:00.0/net/eno1"
    driver = sys / "bus/pci/drivers/tg3"
    for path in (nic, driver, sys / "class/net", sys / "block", sys / "firmware/efi/efivars"):
        path.mkdir(parents=True)
    for name, text in {"type": "1", "address": "D0:94:66:00:00:01", "carrier": "1", "speed": "10000"}.items():
        (nic / name).write_text(text + "\n")
    (nic / "device").symlink_to(nic.parent.parent)
    (nic.parent.parent / "driver").symlink_to(driver)
    (nic.parent.parent / "vendor").write_text("0x14e4\n")
    (nic.parent.parent / "device").write_text("0x165f\n")
    (sys / "class/net/eno1").symlink_to(nic)
    (sys / "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\6\0\0\0\1")
    found = collect(Abort(), sys)
    jsonschema.validate(found, SCHEMA)
    assert found["system"] == {
        "vendor": "Dell Inc.",
        "product": "PowerEdge R640",
        "serial": "ABC1234",
        "uuid": "4c4c4544-0042-3310-8031-b9c04f4b4c32",
        "sku": "",
    }
    assert found["firmware"]["type"] == "uefi"
    assert found["firmware"]["secure_boot"] is True
    assert found["memory"]["bytes"] == 80 << 30
    expected = {
        "name": "eno1",
        "mac": "d0:94:66:00:00:01",
        "driver": "tg3",
        "speed_mbps": 10000,
        "link": True,
        "pci": "0000:01:00.0",
        "pci_id": "14e4:165f",
    }
    assert found["chassis"] == {"vendor": "Dell Inc.", "type": "rack mount", "serial": "ENC-4", "asset_tag": ""}
    assert found["nics"] == [expected | {"lldp": None}]
    assert identity(sys) == {
        "system_uuid": "4c4c4544-0042-3310-8031-b9c04f4b4c32",
        "serial": "ABC1234",
        "macs": ["d0:94:66:00:00:01"],
    }


@pytest.mark.parametrize("nonsense", ["To be filled by O.E.M.", "Default string", "None", "0", "  ", "System Serial Number"])
def test_a_placeholder_is_no_serial_number(nonsense: str, tmp_path: Path) -> None:
    assert Smbios(firmware(tmp_path, product_serial=nonsense)).text("product_serial") == ""


@pytest.mark.parametrize(("number", "kind"), [("28", "blade"), ("23", "rack mount"), ("2", ""), ("99", ""), ("", "")])
def test_the_kind_of_case_is_told_in_words(number: str, kind: str, tmp_path: Path) -> None:
    assert Smbios(firmware(tmp_path, chassis_type=number)).chassis_type() == kind


@pytest.mark.parametrize(
    "shared",
    ["00000000-0000-0000-0000-000000000000", "03000200-0400-0500-0006-000700080009", "F" * 8 + "-FFFF" * 3 + "-" + "F" * 12],
)
def test_a_uuid_that_many_boards_share_is_none(shared: str, tmp_path: Path) -> None:
    assert Smbios(firmware(tmp_path, product_uuid=shared)).uuid() == ""


def test_memory_is_what_is_in_the_slots(tmp_path: Path) -> None:
    empty, unknown, in_kib = memory_device(0), memory_device(0xFFFF), memory_device(0x8000 | 512)
    table = (
        structure(0, b"\1\2", b"Vendor")
        + memory_device(8192)
        + empty
        + unknown
        + in_kib
        + structure(127, b"")
        + memory_device(4096)
    )
    assert Smbios(firmware(tmp_path, table)).memory_bytes() == (8192 << 20) + (512 << 10)


@pytest.mark.parametrize("table", [b"", b"\x11", b"\x11\xff\0\0", b"\x11\0\0\0\0\0", memory_device(4096)[:-2], bytes(64)])
def test_a_broken_table_is_no_fault_of_ours(table: bytes, tmp_path: Path) -> None:
    smbios = Smbios(firmware(tmp_path, table))
    assert smbios.memory_bytes() in (0, 4 << 30)
    assert not smbios.has_bmc()


def test_a_bmc_is_announced_by_the_firmware(tmp_path: Path) -> None:
    assert Smbios(firmware(tmp_path, structure(38, bytes(14)))).has_bmc()


def test_a_machine_without_smbios_still_has_an_identity(tmp_path: Path) -> None:
    (tmp_path / "class/net").mkdir(parents=True)
    assert identity(tmp_path) == {"system_uuid": "", "serial": "", "macs": []}
    assert firmware_type(tmp_path) == "bios"


def test_neighbours_are_read_from_lldpd() -> None:
    interface = {
        "name": "eno1",
        "via": "LLDP",
        "chassis": [{"id": [{"type": "mac", "value": "00:1c:73:00:00:01"}], "name": [{"value": "leaf-1"}]}],
        "port": [{"id": [{"type": "ifname", "value": "Ethernet7"}], "descr": [{"value": "server 7"}]}],
    }
    second = {"name": "eno1", "chassis": [{"id": [{"value": "other"}]}]}
    answer = {"lldp": [{"interface": [interface, second, {"name": "eno2"}]}]}
    assert parse(answer) == {
        "eno1": {"chassis": "00:1c:73:00:00:01", "port": "Ethernet7", "system": "leaf-1"},
        "eno2": {"chassis": "", "port": "", "system": ""},
    }
    assert parse({"lldp": [{}]}) == parse({}) == {}
