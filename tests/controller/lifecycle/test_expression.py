# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions over the hardware: what they are true of, what they refuse and how they say so."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalwright.errors import Invalid
from metalwright.lifecycle.conditions import And, Comparison, Counted, Each, Expression, Known, Literal, Not, Or
from metalwright.lifecycle.expression import DEPTH, LENGTH, parse
from metalwright.lifecycle.facts import ELEMENTS, NAMES, UNITS, Kind, facts
from metalwright.store.models import Interface, Machine, Subnet

HARDWARE: dict[str, Any] = {
    "schema": 1,
    "system": {"vendor": "Dell Inc.", "product": "PowerEdge R6525", "serial": "7XJ2K93", "uuid": "", "sku": None},
    "firmware": {"type": "uefi", "vendor": "Dell Inc.", "version": "2.19.1", "date": "06/04/2023", "secure_boot": False},
    "bmc": {"address": "10.0.8.17", "mac": "d0:94:66:00:00:07"},
    "chassis": {"vendor": "Dell Inc.", "type": "rack mount", "serial": "ENC-4", "asset_tag": ""},
    "cpu": {"model": "AMD EPYC 7543 32-Core", "arch": "amd64", "sockets": 2, "cores": 64, "threads": 128, "mhz": 3737},
    "memory": {"bytes": 64 << 30},
    "disks": [
        {"name": "nvme0n1", "model": "SAMSUNG MZQL2", "size_bytes": 480 * 10**9, "rotational": False, "transport": "nvme"},
        {"name": "sda", "model": "ST8000NM", "size_bytes": 8 * 10**12, "rotational": True, "transport": "sas"},
        {"name": "sdb", "model": "ST8000NM", "size_bytes": 8 * 10**12, "rotational": True, "transport": "sas"},
    ],
    "nics": [
        {"name": "eno1", "mac": "d0:94:66:00:00:01", "driver": "tg3", "pci_id": "14e4:165f", "speed_mbps": -1, "link": False},
        {
            "name": "ens3f0np0",
            "mac": "b8:ce:f6:00:00:01",
            "driver": "mlx5_core",
            "pci_id": "15b3:1017",
            "speed_mbps": 25000,
            "link": True,
            "lldp": {"chassis": "00:1c:73:00:00:01", "port": "Ethernet7", "system": "leaf-1"},
        },
    ],
}


@pytest.fixture(scope="module")
def machine() -> dict[str, Any]:
    row = Machine(name="rack1-07", arch="amd64", firmware="uefi", pool="lab", zone="west", tags=["gpu", "new"], hardware=HARDWARE)
    row.power_driver = "ipmi"
    row.interfaces = [Interface(mac="d0:94:66:00:00:01", boot=True, subnet=Subnet(name="lab", cidr="10.0.0.0/24", rack="r1"))]
    return facts(row)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("memory >= 64GiB and nic.vendor ~ Mellanox", True),
        ("memory > 64GiB", False),
        ("memory >= 64 gib", True),
        ("memory >= 68GB", True),  # 68.7 of them
        ("memory >= 69GB", False),
        ("memory in [32GiB, 64GiB]", True),
        ("memory not in [32GiB, 64GiB]", False),
        ("chassis = enc-4 and chassis.type = 'rack mount'", True),
        ("bmc", True),
        ("not bmc", False),
        ("bmc = true and firmware.secure_boot = false", True),
        ("arch = amd64 and firmware = uefi", True),
        ("arch == arm64 or firmware == bios", False),
        ('cpu.model ~ "EPYC 7.*32"', True),
        ("cpu.model ~ ^EPYC", False),
        ("cpu.threads >= 128 and cpu.threads < 129", True),
        ("cpu.clock > 3.7GHz and cpu.clock < 3.8 GHz", True),
        ("name ~ ^rack1- and rack = r1", True),
        ("system.vendor = 'dell inc.'", True),
        ("tag = gpu and tag = new", True),
        ("tag != gpu", False),  # means: does not have it
        ("tag != fast and tags !~ ^g.*x$", True),
        ("power.driver = ipmi and pool = lab and zone in [east, west]", True),
        ("disk.size >= 1TB and disk.rotational = false", True),  # one disk is large, another solid
        ("any(disk: size >= 1TB and rotational = false)", False),  # none is both
        ("any(disk: size >= 400GB and not rotational)", True),
        ("all(disk: size >= 400GB)", True),
        ("all(disk: rotational)", False),
        ("count(disk: transport = sas and size > 7.9TB) >= 2 and count(disk) = 3", True),
        ("count(nic) != 2", False),
        ("disk and nic and tag", True),
        ("nic.speed >= 10Gbps", True),
        ("nic.speed < 1Mbps", False),  # -1 says that the driver does not know
        ("any(nic: lldp.system = leaf-1 and lldp.port ~ 7$)", True),
        ("nic.mac = B8:CE:F6:00:00:01", True),
        ("system.sku = ''", False),  # it is not told, which is not the same as empty
        ("system.sku != X", True),
        ("system.uuid or chassis.asset_tag", False),
        ("system.serial", True),
        ("bmc.address = 10.0.8.17 and bmc.address ~ ^10[.]0[.]8[.]", True),
        ("not arch = amd64 and bmc or memory > 1GiB", True),  # not before and before or
        ("not (arch = amd64 and bmc or memory > 1GiB)", False),
        ("BMC AND NOT (arch = arm64)", True),
        ("bmc\n  and arch = amd64\n", True),
    ],
)
def test_what_an_expression_is_true_of(machine: dict[str, Any], text: str, expected: bool) -> None:
    assert parse(text).matches(machine) is expected
    assert parse(str(parse(text))) == parse(text)


def test_nothing_is_true_of_a_machine_without_inventory_but_what_its_row_says() -> None:
    bare = facts(Machine(name="m-1", arch="amd64", pool="default", zone="default", tags=[], power_driver="manual"))
    for text in ("memory >= 0B", "disk", "nic.vendor ~ .", "any(disk: size >= 0B)", "cpu.clock > 0MHz", "bmc", "firmware"):
        assert not parse(text).matches(bare), text
    assert parse("name = m-1 and not bmc and all(disk: rotational) and count(disk) = 0").matches(bare)


@pytest.mark.parametrize(
    ("text", "column", "found", "hint"),
    [
        ("", 1, "the end", "memory"),
        ("memroy >= 1GiB", 1, '"memroy"', "Did you mean memory?"),
        ("bmc and vendor = Dell", 9, '"vendor"', "system.vendor"),
        ("any(disk: disk.size > 1TB)", 11, '"disk.size"', "Did you mean size?"),
        ("memory >= 64", 11, '"64"', "GiB"),
        ("memory >= 64 XiB", 14, '"XiB"', "GiB"),
        ("cpu.threads > 4GiB", 15, '"4GiB"', "no unit"),
        ("memory ~ 64", 8, '"~"', ""),
        ("memory", 7, "the end", ""),
        ("cpu.model > 7", 11, '">"', ""),
        ("bmc = yes", 7, '"yes"', ""),
        ("(bmc", 5, "the end", ""),
        ("bmc)", 4, '")"', ""),
        ("bmc arch = amd64", 5, '"arch"', ""),
        ("arch in amd64", 9, '"amd64"', ""),
        ("arch in [amd64", 15, "the end", ""),
        ("arch not amd64", 6, '"not"', ""),
        ("arch = and", 8, '"and"', ""),
        ("arch = 'amd64", 14, "the end", ""),
        ("any(cpu: cores > 1)", 5, '"cpu"', ""),
        ("any(disk: any(nic: link))", 15, '"nic"', ""),
        ("any(disk)", 9, '")"', ""),
        ("count(disk)", 12, "the end", ""),
        ("name ~ (a|b)", 8, '"("', "quotes"),
        ("name ~ '(a'", 8, '"\'("', "missing )"),
        (r'name ~ "(a)\1"', 8, '""("', "no back-references"),
        ("name ~ 'a(?=b)'", 8, '"\'"', "no look-around"),
        ("bmc\x00", 4, "the character U+0000", ""),
        ("bmc\u00a0and arch = amd64", 4, "the character U+00A0", ""),
        ("not " * (DEPTH + 1) + "bmc", 4 * DEPTH + 1, '"not"', "rules"),
        ("a" * (LENGTH + 1), LENGTH + 1, "more text", ""),
    ],
)
def test_a_refusal_names_the_place_what_is_there_and_what_to_do(text: str, column: int, found: str, hint: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text)
    error = refused.value
    assert error.code == "expression_invalid"
    assert (error.details["column"], error.details["found"]) == (column, found)
    assert error.details["expected"] in error.message
    assert f"column {column}" in error.message
    assert hint in error.hint


def test_a_pattern_that_would_hang_a_backtracking_engine_answers_at_once() -> None:
    text = "a" * 256
    started = time.process_time()
    assert not parse(r'name ~ "^(a+)+$" and name ~ "(a|a)*b"').matches({"name": text + "!"})
    assert not parse(r'name ~ "(x+x+)+y"').matches({"name": "x" * 256})
    assert time.process_time() - started < 1


# -- for every expression ------------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=12) | st.sampled_from(
    ["and", "IN", "a b", "64GiB", "\\", '"']
)
numbers = st.decimals(min_value=0, max_value=10**6, places=2).map(abs)
symbols = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


def _literals(kind: Kind) -> st.SearchStrategy[Literal]:
    if kind is Kind.TEXT:
        return words.map(Literal)
    if kind is Kind.FLAG:
        return st.booleans().map(Literal)
    units = st.sampled_from(list(UNITS[kind]) or [""])
    return st.builds(Literal, numbers, units)


@st.composite
def _tests(draw: st.DrawFn, names: dict[str, Kind]) -> Expression:
    name, kind = draw(st.sampled_from(list(names.items())))
    if kind in (Kind.TEXT, Kind.FLAG) and draw(st.booleans()):
        return Known(name)
    if draw(st.booleans()):
        values = draw(st.lists(_literals(kind), min_size=1, max_size=3))
        return Comparison(name, kind, draw(st.sampled_from(["in", "not in"])), tuple(values))
    if kind is Kind.TEXT and draw(st.booleans()):
        pattern = draw(st.sampled_from([r"^\d+(a|b)$", 'x "y"', "^rack1-", "[)(]", "or", r"\\"]))
        return Comparison(name, kind, draw(st.sampled_from(["~", "!~"])), (Literal(pattern),))
    symbol = draw(st.sampled_from(["=", "!="]) if kind in (Kind.TEXT, Kind.FLAG) else symbols)
    return Comparison(name, kind, symbol, (draw(_literals(kind)),))


def _trees(leaves: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def grown(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        several = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return inner.map(Not) | several.map(And) | several.map(Or)

    return st.recursive(leaves, grown, max_leaves=6)


def _quantified(part: str) -> st.SearchStrategy[Expression]:
    inner = _trees(_tests(ELEMENTS[part]))
    count = st.builds(Counted, st.just(part), st.none() | inner, symbols, st.builds(Literal, st.integers(0, 99).map(Decimal)))
    return st.builds(Each, st.sampled_from(["any", "all"]), st.just(part), inner) | count


expressions = _trees(_tests(NAMES) | st.sampled_from(["disk", "nic"]).flatmap(_quantified))


@settings(max_examples=200, deadline=None)
@given(expressions)
def test_every_expression_is_read_back_from_its_own_text(machine: dict[str, Any], expression: Expression) -> None:
    text = str(expression)
    if len(text) <= LENGTH:
        again = parse(text)
        assert again == expression
        assert again.matches(machine) is expression.matches(machine)


_TOKENS = [
    "memory",
    "disk.size",
    "any(",
    "count(",
    "disk:",
    ")",
    "(",
    "[",
    "]",
    ",",
    "not",
    "and",
    "or",
    "in",
    ">=",
    "~",
    "!~",
    "=",
]
scraps = st.lists(st.sampled_from([*_TOKENS, "1TB", "64", '"', "'", "\\", "true", "tag", "nic", "^(a+", "é"]), max_size=20)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | scraps.map(" ".join) | scraps.map("".join))
def test_no_text_raises_anything_but_a_refusal_that_points_into_it(machine: dict[str, Any], text: str) -> None:
    try:
        expression = parse(text)
    except Invalid as refused:
        assert refused.code == "expression_invalid"
        assert 1 <= refused.details["column"] <= len(text) + 1
    else:
        assert expression.matches(machine) in (True, False)
        assert expression.matches({}) in (True, False)


def test_the_page_tells_of_every_name_unit_and_example() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/expressions.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([^`]+)`", page))
    assert set(NAMES) | set(ELEMENTS) <= told
    assert {unit for units in UNITS.values() for unit in units} <= told
    examples = [line.strip() for line in page.split("## How")[0].splitlines() if line.startswith("    ")]
    assert len(examples) == 4
    for example in examples:
        parse(example)
