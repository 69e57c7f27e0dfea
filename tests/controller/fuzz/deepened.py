# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases that come further than the first check: what a schema calls "a text" is now and then the name of something there."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any

from populated import Words
from schemathesis import Case

KEYS = (
    *(
        "a",
        "",
        "\ud800",
        "\uffff",
        "9" * 30,
        "-1",
        "1",
        "look",
        "10.77.0.20",
        "::1",
        "fe80::1%eth0",
        "10.77.0.20/24",
        "2026-01-01",
    ),
    *("2026-11-21T12:00:00+00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-21T12:00:00", "20261121"),
)
"""What a cursor that somebody made up holds: it is in a form that clients are not told, but may look into."""
OFTEN = 0.7
SELDOM = 0.3


def deepen(case: Case, words: Words, chance: Random) -> None:
    """Put known words in the place of generated ones, in path, query and body; leave out most of what need not be given."""
    parts = case.path.strip("/").split("/")
    resource = parts[2] if len(parts) > 2 else ""
    for name in case.path_parameters or {}:
        if chance.random() < OFTEN:
            case.path_parameters[name] = chance.choice(words.get(name) or words.get(resource) or [case.path_parameters[name]])
    query = case.query = case.query or {}
    if "wait" in query:
        query["wait"] = 0  # a test waits for nothing
    if chance.random() < OFTEN:
        for name in list(query):
            if chance.random() < OFTEN:
                del query[name]
            else:
                query[name] = _known(name, query[name], words, chance)
        if chance.random() < SELDOM and any(parameter.name == "cursor" for parameter in case.operation.query):
            query["cursor"] = _cursor(chance)
        body = case.body
        if isinstance(body, dict):
            case.body = _body(body, _required(case), words, chance)


def _cursor(chance: Random) -> str:
    key = [chance.choice(KEYS) for _ in range(chance.choice([1, 1, 2, 2, 3, 4]))]
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _required(case: Case) -> set[str]:
    for body in case.operation.body:
        schema: Any = body.optimized_schema
        return set(schema.get("required", ())) if isinstance(schema, dict) else set()
    return set()


def _body(body: dict[str, Any], required: set[str], words: Words, chance: Random) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if name in required or name in words or chance.random() < SELDOM}
    return {name: _known(name, value, words, chance) for name, value in kept.items()}


def _known(name: str, value: Any, words: Words, chance: Random) -> Any:
    if isinstance(value, dict):
        return {key: _known(key, inner, words, chance) for key, inner in value.items()}
    if name in words and chance.random() < OFTEN:
        if isinstance(value, list):
            return chance.sample(words[name], k=min(len(words[name]), chance.choice([1, 2])))
        if isinstance(value, str):
            return chance.choice(words[name])
    if isinstance(value, list):
        return [_known(name, inner, words, chance) for inner in value]
    return value
