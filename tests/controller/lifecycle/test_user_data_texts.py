# SPDX-License-Identifier: GPL-3.0-or-later
"""User-data that is hard to read is refused with a reason, or accepted and then no hindrance."""

from __future__ import annotations

import pytest

from metalwright.errors import Invalid
from metalwright.lifecycle import userdata


@pytest.mark.parametrize("expression", ["(" * 3000, "9" * 5000])
def test_template_that_no_parser_gets_through(expression: str) -> None:
    with pytest.raises(Invalid, match="too deeply, or a number") as refused:
        userdata.check("## template: jinja\n#cloud-config\na: {{ " + expression)
    assert refused.value.code == "user_data_not_template"


def test_a_mime_header_that_no_parser_gets_through() -> None:
    with pytest.raises(Invalid, match="no parts"):
        userdata.check("Content-Type:" + "(" * 3000)


def test_mime_parts_within_each_other_without_end() -> None:
    lines = [f"Content-Type: multipart/mixed; boundary=b{number}\n\n--b{number}" for number in range(2000)]
    with pytest.raises(Invalid, match="nested too deeply"):
        userdata.check("\n".join(lines))


@pytest.mark.parametrize("charset", ["none", "hex", "undefined", "\0"])
def test_a_part_in_no_encoding(charset: str) -> None:
    part = f'--=\nContent-Type: text/cloud-config; charset="{charset}"\n\npackages: [htop]\n--=--\n'
    with pytest.raises(Invalid, match="unknown encoding"):
        userdata.check(f'Content-Type: multipart/mixed; boundary="="\n\n{part}')


@pytest.mark.parametrize(
    "value", ["!!timestamp 2026", "!!bool x", "!!int ''", "!!float x", "2026-01-01T00:00:00+99:00", "2026-99-99"]
)
def test_a_value_that_is_not_what_it_says(value: str) -> None:
    with pytest.raises(Invalid, match="impossible") as refused:
        userdata.check(f"#cloud-config\na: {value}")
    assert refused.value.code == "user_data_not_yaml"


@pytest.mark.parametrize("line", ["2026-99-99", "[" * 3000, "!!int x", "{a: " * 500])
def test_a_script_is_not_read_as_yaml(line: str) -> None:
    text = f"#!/bin/sh\n{line}"
    userdata.check(text)
    assert userdata.names(text) == set()


def test_names_of_cloud_config() -> None:
    assert userdata.names("#cloud-config\npackages: [htop]\n1: x\n") == {"packages"}
    assert userdata.names("## template: jinja\n#cloud-config\nbootcmd: []\n") == {"bootcmd"}
    assert userdata.names("## template: jinja\n#cloud-config\n{% if x %}\na: 1\n{% endif %}\n") == set()
    assert userdata.names("packages: [htop]\n") == set()
