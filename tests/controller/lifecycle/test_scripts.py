# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script says of itself, and what a person is told whose header is wrong."""

from __future__ import annotations

import pytest

from metalwright.errors import Invalid
from metalwright.lifecycle.script_values import Type, Value, text
from metalwright.lifecycle.scripts import SOURCE_CHARACTERS, parse


def script(*lines: str, before: str = "#!/bin/sh\n# A comment.\n") -> str:
    """A script whose header's first line is the fourth of all."""
    return before + "# --- metalwright\n" + "".join(f"# {line}\n" for line in lines) + "# ---\necho done\n"


WHOLE = (
    "name: raid-controller",
    "kind: commissioning",
    "title: Sets up   the RAID controller",
    "timeout: 10m",
    "parameters:",
    "  level: {type: int, default: 10, choices: [1, 10], description: RAID level}",
    "  spare-size:",
    "    type: size",
    "    required: true",
    'hardware: system.vendor ~ "dell" and count(disk) > 2',
    "may_reboot: true",
    "required: false",
)


def test_a_header_says_everything() -> None:
    found = parse(script(*WHOLE))
    assert (found.name, found.kind, found.title) == ("raid-controller", "commissioning", "Sets up the RAID controller")
    assert (found.timeout, found.may_reboot, found.required, found.automatic, found.parallel) == (600, True, False, False, False)
    assert found.parameters["level"].text("10") == "10"
    assert found.parameters["spare-size"].text("10GiB") == str(10 << 30)
    assert found.source.endswith("echo done\n") and not found.builtin


@pytest.mark.parametrize(
    ("change", "line", "key", "why"),
    [
        (("timeout: 10m", "timeout: soon"), 7, "timeout", "for example 10m"),
        (("timeout: 10m", "timeout: 8d"), 7, "timeout", "7 days"),
        (("kind: commissioning", "kind: tests"), 5, "kind", "'commissioning', 'test' or 'release'"),
        (("kind: commissioning", "knid: test"), 5, "knid", "no key of the header"),
        (("kind: commissioning", "title: again"), 6, "title", "given twice"),
        (("kind: commissioning", ""), 4, "kind", "is missing"),
        (("name: raid-controller", "name: RAID"), 4, "name", "lower case"),
        (("default: 10", "default: 5"), 9, "parameters.level.default", "one of 1, 10"),
        (("default: 10", "default: ten"), 9, "parameters.level.default", "whole number"),
        (("choices: [1, 10]", "choices: [1, x]"), 9, "parameters.level.choices", "whole number"),
        (("  spare-size:", "  Spare Size:"), 10, "parameters.Spare Size", "lower case"),
        (("type: size", "type: bytes"), 11, "parameters.spare-size.type", "'size'"),
        (("  spare-size:", "  level_: {}\n#   level-:"), 11, "parameters.level-", "METALWRIGHT_PARAM_LEVEL_"),
        (("dell", "["), 13, "hardware", "column"),
        (("may_reboot: true", "may_reboot: perhaps"), 14, "may_reboot", "boolean"),
        (("required: false", "automatic: true"), 15, "automatic", "nobody gives it spare-size"),
        (("required: false", "destructive: true\n# automatic: true"), 16, "automatic", "destroys"),
        (("required: false", "required: ["), 16, "", "not YAML"),
        (("required: false", "title: *other"), 15, "", "aliases"),
        (("required: false", "required: " + "[" * 10), 15, "", "deep"),
    ],
)
def test_an_error_names_the_line_and_the_key(change: tuple[str, str], line: int, key: str, why: str) -> None:
    source = script(*WHOLE)
    assert change[0] in source
    with pytest.raises(Invalid) as refused:
        parse(source.replace(change[0], change[1], 1))
    assert refused.value.code == "script_invalid"
    assert refused.value.details == {"line": line, "key": key}
    assert f"line {line}: " in refused.value.message and why in refused.value.message


@pytest.mark.parametrize(
    ("source", "line", "why"),
    [
        ("", 1, "interpreter"),
        ("echo\n", 1, "interpreter"),
        (script(*WHOLE).replace("\n", "\r\n"), 1, "CR LF"),
        ("#!/bin/sh\necho\n", 1, "no header"),
        ("#!/bin/sh\n# --- metalwright\n# name: x\necho\n# ---\n", 4, "must end"),
        ("#!/bin/sh\n# --- metalwright\n# name: x", 4, "must end"),
        ("#!/bin/sh\n# --- metalwright\n# ---\n", 3, "keys with values"),
        ("#!/bin/sh\n# --- metalwright\n# - a list\n# ---\n", 3, "keys with values"),
        ("#!/bin/sh\n" + "#" * SOURCE_CHARACTERS, 1, "longer"),
        (script(*WHOLE, "title: " + "x" * 17_000), 4, "longer"),
    ],
)
def test_what_is_no_script_is_refused(source: str, line: int, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(source)
    assert refused.value.details["line"] == line and why in refused.value.message


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", "RAID 10", "RAID 10"),
        ("int", 7, "7"),
        ("int", "-007", "-7"),
        ("bool", True, "true"),
        ("bool", "False", "false"),
        ("size", 512, "512"),
        ("size", "10GiB", str(10 << 30)),
        ("size", "10 gb", str(10**10)),
        ("duration", 90, "90"),
        ("duration", "90", "90"),
        ("duration", "2h", "7200"),
        ("duration", "1d", "86400"),
    ],
)
def test_values_become_text(kind: Type, value: Value, expected: str) -> None:
    assert text(kind, value) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 5),
        ("string", "two\nlines"),
        ("string", "x" * 1025),
        ("int", 1.5),
        ("int", True),
        ("int", "1e3"),
        ("int", 1 << 80),
        ("bool", 1),
        ("bool", "yes"),
        ("size", "10Gi"),
        ("size", "-1"),
        ("size", 1.5),
        ("size", True),
        ("duration", "10 minutes"),
        ("duration", ""),
        ("duration", True),
    ],
)
def test_values_of_another_type_are_refused(kind: Type, value: Value) -> None:
    with pytest.raises(ValueError, match="must be"):
        text(kind, value)


@pytest.mark.parametrize("value", ["!!timestamp 2026", "!!bool x", "!!int ''", "2026-99-99"])
def test_a_value_that_is_not_what_it_says_is_no_yaml(value: str) -> None:
    with pytest.raises(Invalid, match="is not YAML") as refused:
        parse(script("name: look", "kind: test", f"title: {value}"))
    assert refused.value.code == "script_invalid"
