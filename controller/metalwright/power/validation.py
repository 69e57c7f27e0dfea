# SPDX-License-Identifier: GPL-3.0-or-later
"""What is missing or wrong with a machine's power parameters, said before an operation finds out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from metalwright import power
from metalwright.errors import MetalwrightError

PATIENCE = 12.0
"""Seconds that the driver may take for its answer."""


class Problem(TypedDict):
    """One thing that is wrong: a code of ``PowerError``, what it is, and what to do."""

    code: str
    message: str
    hint: str


class Verdict(TypedDict):
    """What was found; ``state`` is the power state if the driver told it, None if it was not asked or did not answer."""

    driver: str
    ok: bool
    problems: list[Problem]
    state: str | None


def validate(driver: str, parameters: Mapping[str, Any], *, ask: bool = True) -> Verdict:
    """Look at the parameters and, if they are complete and ``ask`` is true, have the driver try whatever changes nothing.

    The driver's answer needs the address to resolve, the BMC to be there and the credentials to be right, in this order; the
    first of them that is not so is the problem. Takes ``PATIENCE`` seconds at most.
    """
    try:
        wrong = power.wrong_parameters(driver, parameters)
    except MetalwrightError as error:
        return _failed(driver, _problem(error))
    if wrong:
        return _failed(driver, *(_parameter(driver, name, why) for name, why in wrong))
    if not ask:
        return {"driver": driver, "ok": True, "problems": [], "state": None}
    try:
        state = power.create(driver, parameters, PATIENCE).check()
    except MetalwrightError as error:
        return _failed(driver, _problem(error))
    return {"driver": driver, "ok": True, "problems": [], "state": str(state)}


def _failed(driver: str, *problems: Problem) -> Verdict:
    return {"driver": driver, "ok": False, "problems": list(problems), "state": None}


def _problem(error: MetalwrightError) -> Problem:
    return {"code": error.code, "message": error.message, "hint": error.hint}


def _parameter(driver: str, name: str, why: str) -> Problem:
    field = power.drivers()[driver].Parameters.model_fields.get(name)
    known = ", ".join(power.drivers()[driver].Parameters.model_fields) or "none"
    hint = field.description if field is not None and field.description else f"The parameters of {driver} are: {known}."
    return {"code": "power_misconfigured", "message": f"{name}: {why}", "hint": hint}
