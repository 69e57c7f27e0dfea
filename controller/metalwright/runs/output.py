# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run prints, in pieces that may be shown: without the values it was given, and of a bounded size.

The variables of a run are sealed because they may hold passwords; whatever of them a playbook prints is replaced by asterisks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "********"
SHORTEST = 4
"""Characters of a value that is hidden; shorter ones are part of any text."""
PIECE = 4 << 10
"""Characters of a piece at most: of more, the end."""
GROWTH = 60.0
"""The pause between two pieces is a second, and grows to this part of the time that a run has taken: some 60 in the first minute,
some 240 in the first hour."""


class Output:
    """Collects what is printed until it is taken; times are seconds since the run began."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        values = {text for value in _texts(variables) for text in (value, *value.splitlines()) if len(text.strip()) >= SHORTEST}
        written = {json.dumps(text)[1:-1] for text in values} | {json.dumps(text, ensure_ascii=False)[1:-1] for text in values}
        self._hidden = sorted(values | written, key=len, reverse=True)
        self._text = ""
        self._due = 0.0

    def add(self, text: str) -> None:
        """Take in what was printed: whole lines."""
        self._text += self.hide(text.replace("\r\n", "\n")) + "\n"

    def hide(self, text: str) -> str:
        """The text without the values of variables."""
        for value in self._hidden:
            text = text.replace(value, HIDDEN)
        return text

    def take(self, now: float, *, last: bool = False) -> str:
        """What has come since the last time, if it is time for it or this is the ``last`` time; else empty."""
        if not self._text or (now < self._due and not last):
            return ""
        text, self._text = self._text, ""
        self._due = now + max(1.0, now / GROWTH)
        return text


def piece(text: str) -> str:
    """As much of the text as goes into one event: its end, and how much is left out."""
    left_out = len(text) - PIECE
    return f"[{left_out} characters before this are in the console log]\n{text[-PIECE:]}" if left_out > 0 else text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
