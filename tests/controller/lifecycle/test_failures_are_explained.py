# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever an operation may fail with is explained: what it means, what usually causes it, where to read on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import metalwright
from metalwright.lifecycle.failures import CAUSES, failure
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.node.agent import FROM_AGENTS

CODE = Path(metalwright.__file__).parent
REFUSALS = {
    "no_probe",
    "not_commissioning",
    "step_unknown",
    "no_scripts",
    "not_found",
    "bad_request",
    "internal_error",
    "worker_stops",
}
"""Said to who asked; no operation fails by them."""


def calls(where: str, functions: str) -> Iterator[ast.Call]:
    """Every call of a function whose name fits, in a file or a directory of the controller."""
    path = CODE / where
    for file in [path] if path.is_file() else path.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if re.fullmatch(functions, name):
                    yield node


def words(node: ast.AST) -> set[str]:
    """The texts in an expression that look like codes."""
    texts = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return {text for text in texts if re.fullmatch(r"[a-z]+(_[a-z]+)*", text)}


def first_words(where: str, functions: str) -> set[str]:
    return {word for call in calls(where, functions) if call.args for word in words(call.args[0])}


def any_words(where: str, functions: str) -> set[str]:
    return {word for call in calls(where, functions) for argument in call.args for word in words(argument)}


def codes_in_dictionaries(where: str) -> set[str]:
    """Values of the key ``code`` in what is handed to ``Engine.fail`` and its like."""
    found: set[str] = set()
    path = CODE / where
    for file in [path] if path.is_file() else path.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                found |= {
                    word for key, value in pairs if isinstance(key, ast.Constant) and key.value == "code" for word in words(value)
                }
    return found


def codes() -> dict[str, str]:
    """Every code that an operation may fail with, and where it comes from."""
    sources = {
        "the phases": {phase.code for kind in OPERATIONS.values() for phase in (*kind.phases, *kind.inquiry)},
        "what agents report": set(FROM_AGENTS),
        "silences": first_words("lifecycle/diagnosis.py", "Silence|said") | {"identity_mismatch", "identity_conflict"},
        "power drivers": first_words("power", "Failed|PowerError|Invalid|Unavailable"),
        "power calls": first_words("calls", "Failed"),
        "DHCP": first_words("network/engines", "Invalid|Unavailable|Conflict|MetalwrightError"),
        "playbooks": first_words("lifecycle/playbook_runs.py", "MetalwrightError|NotFound|Unavailable"),
        "the worker": first_words("lifecycle/worker.py", "MetalwrightError"),
        "the network": first_words("lifecycle/network_effects.py", "Conflict"),
        "scripts": codes_in_dictionaries("lifecycle/script_runs.py") | first_words("lifecycle/script_runs.py", "_failure"),
        "the engine": codes_in_dictionaries("lifecycle/engine.py") | any_words("lifecycle/engine.py", "_again"),
        "endings": first_words("lifecycle/ending.py", "failure_record") - {"code"},
        "the node plane": codes_in_dictionaries("node")
        | first_words("node/agent.py", "Conflict")
        | first_words("node/job.py", "Conflict"),
        "cloud-init": {"cloud_init_failed", "package_install_failed"},
    }
    assert all(sources.values()), f"nothing was found for {[name for name, found in sources.items() if not found]}"
    return {code: source for source, found in sources.items() for code in found - REFUSALS}


@pytest.mark.parametrize(("code", "source"), sorted(codes().items()))
def test_every_code_is_explained(code: str, source: str) -> None:
    assert code in CAUSES, f"{code}, of {source}, is not in lifecycle/failures.py"


def test_every_explanation_is_of_something_that_happens() -> None:
    unused = set(CAUSES) - set(codes())
    assert unused == set()


@pytest.mark.parametrize("code", sorted(CAUSES))
def test_explanations_are_sentences(code: str) -> None:
    cause = CAUSES[code]
    assert cause.what.endswith(".") and cause.hint.endswith((".", "?", ".)", "?)"))
    assert failure(code, "x")["docs"] == f"docs/reference/failures.md#{code}"


def test_what_agents_raise_is_understood() -> None:
    """An agent's error whose code is not known is told as ``agent_error``, which says nothing."""
    raised = {
        word
        for call in calls("agent", "StepFailed")
        if call.args and isinstance(call.args[0], ast.Constant)
        for word in words(call.args[0])
    }
    assert len(raised) > 10
    assert raised - FROM_AGENTS == set()
