# SPDX-License-Identifier: GPL-3.0-or-later
"""What drivers say of themselves: their parameters, for people and for forms."""

from __future__ import annotations

import inspect
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict

from metalwright.power.driver import PowerDriver


class DescribedParameter(TypedDict):
    """A parameter: ``type`` is ``string``, ``integer``, ``boolean`` or ``choice`` (then ``choices`` are there)."""

    name: str
    type: str
    choices: list[str]
    secret: bool
    required: bool
    default: str | int | bool | None
    description: str


class DescribedDriver(TypedDict):
    """A driver: ``answers`` the question for the power state or not, ``probes`` an address for machines or not."""

    name: str
    description: str
    answers: bool
    probes: bool
    parameters: list[DescribedParameter]


def is_secret(field: FieldInfo) -> bool:
    """Whether a parameter is never to be shown."""
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def describe(driver: type[PowerDriver]) -> DescribedDriver:
    """What a driver says of itself."""
    return {
        "name": driver.name,
        "description": " ".join(inspect.cleandoc(driver.__doc__ or "").split()).replace("``", ""),
        "answers": driver.answers,
        "probes": hasattr(driver, "probe"),
        "parameters": [_parameter(name, field) for name, field in driver.Parameters.model_fields.items()],
    }


def _parameter(name: str, field: FieldInfo) -> DescribedParameter:
    union = get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else (field.annotation,)
    kinds = [_bare(each) for each in union if each is not type(None)]
    literal = next((each for each in (field.annotation, *kinds) if get_origin(each) is Literal), None)
    secret = is_secret(field)
    default: Any = None if field.is_required() or secret else field.default
    return {
        "name": name,
        "type": "choice" if literal else _kind(kinds),
        "choices": [str(each) for each in get_args(literal)] if literal else [],
        "secret": secret,
        "required": field.is_required(),
        "default": default,
        "description": field.description or "",
    }


def _bare(annotation: Any) -> Any:
    """A type without what is said of it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _kind(kinds: list[Any]) -> str:
    if str in kinds or SecretStr in kinds:
        return "string"
    return "integer" if int in kinds else "boolean"
