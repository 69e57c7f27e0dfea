# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of failures: what each was called, how long that took, and what brought the machine back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_HINT = 60


@dataclass(frozen=True)
class Verdict:
    """One line. ``seconds`` are from the cause to the end of the operation; ``after`` is the machine's state then."""

    failure: str
    code: str
    hint: str
    seconds: float
    after: str
    back: str


class Verdicts:
    """All lines of a run."""

    def __init__(self) -> None:
        self._lines: list[Verdict] = []

    def add(self, failure: str, operation: dict[str, Any], *, cause: datetime, after: str, back: str) -> None:
        """Note how an operation (as the API shows it) has failed; ``cause`` is the moment at which things went wrong."""
        said = operation["failure"]
        seconds = (datetime.fromisoformat(operation["ended_at"]) - cause).total_seconds()
        self._lines.append(Verdict(failure, said["code"], said["hint"], max(seconds, 0.0), after, back))

    def table(self) -> str:
        """All lines, in the words of a Markdown table."""
        lines = ["| failure | code | hint | seconds | state after | brought back by |", "|---|---|---|---:|---|---|"]
        for each in self._lines:
            hint = each.hint if len(each.hint) <= _HINT else each.hint[:_HINT].rpartition(" ")[0] + " ..."
            lines.append(f"| {each.failure} | `{each.code}` | {hint} | {each.seconds:.1f} | {each.after} | {each.back} |")
        return "\n".join(lines)

    def __len__(self) -> int:
        return len(self._lines)


def now() -> datetime:
    """The moment, as operations tell theirs."""
    return datetime.now(UTC)


ALL = Verdicts()
"""Of this run."""
