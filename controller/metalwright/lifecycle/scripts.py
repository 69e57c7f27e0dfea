# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script says of itself: YAML in comments at its top, after the line that names its interpreter.

    #!/bin/sh
    # --- metalwright
    # name: raid-controller
    # kind: commissioning
    # timeout: 10m
    # parameters:
    #   level: {type: int, default: 10, choices: [1, 10]}
    # ---

docs/reference/scripts.md explains the keys.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NoReturn

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from metalwright.errors import Invalid
from metalwright.lifecycle import script_values
from metalwright.lifecycle.expression import parse as parse_expression
from metalwright.lifecycle.script_values import Type, Value

SOURCE_CHARACTERS = 256 << 10
"""The longest script."""
_HEADER_CHARACTERS = 16 << 10
_DEPTH = 6
_LONGEST_TIMEOUT = 7 * 86400
_BEGIN = re.compile(r"#\s*---\s*metalwright\s*")
_END = re.compile(r"#\s*---\s*")
_SEE = "docs/reference/scripts.md explains the header."

Kind = Literal["commissioning", "test", "release"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
ParameterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Line = Annotated[str, AfterValidator(lambda text: " ".join(text.split()))]


def _timeout(value: Any) -> int:
    seconds = script_values.seconds(value)
    if not 1 <= seconds <= _LONGEST_TIMEOUT:
        raise ValueError("must be between 1 second and 7 days")
    return seconds


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Parameter(_Said):
    """A parameter; ``default`` and ``choices`` are of its ``type``. Without a default and not required, it may be missing."""

    type: Type = "string"
    default: Value | None = None
    description: Annotated[Line, Field(max_length=255)] = ""
    required: bool = False
    choices: Annotated[list[Value], Field(max_length=64)] | None = None

    def text(self, value: Value) -> str:
        """The value as the script is given it. Raises ``ValueError`` that says what it must be."""
        text = script_values.text(self.type, value)
        if self.choices is not None and text not in [script_values.text(self.type, choice) for choice in self.choices]:
            raise ValueError(f"must be one of {', '.join(str(choice) for choice in self.choices)}")
        return text


class Header(_Said):
    """What the header says."""

    name: Name
    kind: Kind
    title: Annotated[Line, Field(max_length=255)] = ""
    timeout: Annotated[int, BeforeValidator(_timeout)] = 600
    """Seconds."""
    parameters: Annotated[dict[ParameterName, Parameter], Field(max_length=32)] = {}
    hardware: Annotated[str, Field(max_length=1024)] = ""
    """An expression over the hardware; empty: for every machine."""
    may_reboot: bool = False
    destructive: bool = False
    parallel: bool = False
    required: bool = True
    automatic: bool = False


class Definition(Header):
    """A script: its header, its text, and whether it comes with Metalwright."""

    source: str
    builtin: bool = False


def parse(source: str, *, builtin: bool = False) -> Definition:
    """The script whose text this is.

    Raises ``Invalid`` (``script_invalid``); details are ``line``, from 1, and ``key`` where one is to blame.
    """
    if len(source) > SOURCE_CHARACTERS:
        _refuse(1, "", f"the script is longer than {SOURCE_CHARACTERS} characters")
    lines = source.split("\n")
    if not lines[0].startswith("#!/"):
        _refuse(1, "", "the first line must name the interpreter, for example #!/bin/sh")
    if lines[0].endswith("\r"):
        _refuse(1, "", "lines end with CR LF, as on Windows; no interpreter is found by such a name")
    text, first = _header(lines)
    document = _Document(text, first)
    try:
        header = Header.model_validate(document.value)
    except ValidationError as error:
        everything = error.errors(include_url=False, include_input=False)
        found = min(everything, key=lambda each: each["type"] == "missing")  # what is missing may be there, spelled otherwise
        document.refuse(found["loc"], _said(found["type"], found["msg"]))
    _check(header, document)
    return Definition(**dict(header), source=source, builtin=builtin)


def _header(lines: list[str]) -> tuple[str, int]:
    """The YAML between the two marks, and the number of its first line."""
    begin = next((number for number, line in enumerate(lines, 1) if _BEGIN.fullmatch(line)), None)
    if begin is None:
        _refuse(1, "", 'there is no header: a line "# --- metalwright", the keys in comments, and a line "# ---"')
    found: list[str] = []
    for number, line in enumerate([*lines[begin:], ""], begin + 1):
        if _END.fullmatch(line):
            break
        if not line.startswith("#"):
            _refuse(number, "", 'the header must end with a line "# ---" before the first line that is no comment')
        found.append(line[1:].removeprefix(" "))
    return "\n".join(found), begin + 1


class _Document:
    """The header as YAML: its value, and where in the script each key stands."""

    def __init__(self, text: str, first: int) -> None:
        self._first = first
        if len(text) > _HEADER_CHARACTERS:
            _refuse(first, "", f"the header is longer than {_HEADER_CHARACTERS} characters")
        try:
            self._check_events(text)
            loader = yaml.CSafeLoader(text)
            self._root: Any = loader.get_single_node()
            if not isinstance(self._root, yaml.MappingNode):
                _refuse(first, "", "the header must be keys with values, for example name: my-script")
            self._check_keys(self._root)
            self.value: Any = loader.construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            _refuse(first + (mark.line if mark else 0), "", f"is not YAML: {error.problem or error.context}")
        except (yaml.YAMLError, ValueError) as error:
            _refuse(first, "", f"is not YAML: {' '.join(str(error).split())[:200]}")
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
        ):  # PyYAML's, of !!timestamp x, !!bool x, !!int of nothing
            _refuse(first, "", "is not YAML: a value in it is impossible")

    def _check_events(self, text: str) -> None:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            line = self._first + (event.start_mark.line if event.start_mark else 0)
            if depth > _DEPTH:
                _refuse(line, "", f"is nested more than {_DEPTH} deep")
            if isinstance(event, yaml.AliasEvent):
                _refuse(line, "", "aliases (*name) have no meaning in a header")

    def _check_keys(self, mapping: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, value in mapping.value:
            name = str(key.value)
            if name in seen:
                _refuse(self._first + key.start_mark.line, name, "is given twice")
            seen.add(name)
            if isinstance(value, yaml.MappingNode):
                self._check_keys(value)

    def refuse(self, place: tuple[int | str, ...], why: str) -> NoReturn:
        """Raise the error for a value, by its keys from the outermost in."""
        keys = [str(part) for part in place if part != "[key]"]
        node, line = self._root, self._first
        for name in keys:
            inner = {str(key.value): (key, value) for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
            if name not in inner:
                break
            key, node = inner[name]
            line = self._first + key.start_mark.line
        _refuse(line, ".".join(keys[:3]), why)


def _check(header: Header, document: _Document) -> None:
    """What one key alone does not say."""
    if header.hardware:
        try:
            parse_expression(header.hardware)
        except Invalid as error:
            document.refuse(("hardware",), f"{error.message} {error.hint}".strip())
    if header.destructive and header.automatic:
        document.refuse(("automatic",), "must be false: what destroys data only runs where it is named")
    names: dict[str, str] = {}
    for name, parameter in header.parameters.items():
        place = ("parameters", name)
        variable = variable_of(name)
        if variable in names:
            document.refuse(place, f"would be {variable} in the environment, as {names[variable]} is")
        names[variable] = name
        for choice in parameter.choices or []:
            try:
                script_values.text(parameter.type, choice)
            except ValueError as error:
                document.refuse((*place, "choices"), str(error))
        if parameter.default is not None:
            try:
                parameter.text(parameter.default)
            except ValueError as error:
                document.refuse((*place, "default"), str(error))
        elif parameter.required and header.automatic:
            document.refuse(("automatic",), f"must be false: nobody gives it {name}, which is required")


def variable_of(parameter: str) -> str:
    """The environment variable in which a script finds a parameter."""
    return "METALWRIGHT_PARAM_" + parameter.upper().replace("-", "_")


def _said(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is no key of the header"
    if kind == "missing":
        return "is missing"
    if kind == "string_pattern_mismatch":
        return "must be lower case letters, digits and hyphens, beginning with a letter or digit"
    return message.removeprefix("Value error, ").removeprefix("Input ")


def _refuse(line: int, key: str, why: str) -> NoReturn:
    where = f"line {line}: {key}: " if key else f"line {line}: "
    raise Invalid("script_invalid", f"The script is not valid, {where}{why}.".replace("..", "."), _SEE, line=line, key=key)
