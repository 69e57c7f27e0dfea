# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages about scripts say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from metalwright.lifecycle.script_catalogue import builtin
from metalwright.lifecycle.scripts import SOURCE_CHARACTERS, Header, Parameter, parse

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "reference/scripts.md").read_text()


def rows(heading: str) -> dict[str, str]:
    """First cell and rest of the rows of the first table below a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = section.split("\n|---|---|")[1].split("\n\n")[0]
    return dict(re.findall(r"^\| `([\w-]+)`[^|]* \| (.*) \|$", table, re.MULTILINE))


def test_every_key_is_told_with_its_default() -> None:
    told = rows("The header")
    assert list(told) == list(Header.model_fields)
    for name, field in Header.model_fields.items():
        default = told[name].split(" | ")[0]
        if isinstance(field.default, bool):
            assert default == f"`{str(field.default).lower()}`", name
        assert (default == "required") == field.is_required()
    assert Header.model_fields["timeout"].default == 600 and told["timeout"].startswith("`10m`")
    assert list(rows("Parameters")) == list(Parameter.model_fields)
    assert f"{SOURCE_CHARACTERS:,}" in PAGE


def test_every_script_that_comes_with_it_is_told_with_its_parameters() -> None:
    told = rows("What comes with Metalwright")
    assert set(told) == set(builtin())
    for name, script in builtin().items():
        assert told[name].startswith("yes" if script.automatic else "no")
        for parameter in script.parameters:
            assert f"`{parameter}`" in told[name], (name, parameter)
            default = script.parameters[parameter].default
            assert default is None or str(default) in told[name], (name, parameter)


def test_the_example_is_a_script() -> None:
    example = re.search(r"```sh\n(.*?)```", (DOCS / "how-to/scripts.md").read_text(), re.DOTALL)
    assert example
    assert parse(example[1]).name == "raid-controller"
