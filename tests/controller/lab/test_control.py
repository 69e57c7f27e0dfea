# SPDX-License-Identifier: GPL-3.0-or-later
"""The rack daemon's socket: answers, errors that keep their code, and a daemon that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metalwright.errors import Conflict, MetalwrightError, Unavailable
from metalwright.lab import control


def refuse() -> None:
    raise Conflict("busy", "It is busy.", "Wait.")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    socket = tmp_path / "rack.sock"
    server = control.serve(socket, {"add": lambda a, b: a + b, "refuse": refuse})
    yield socket
    server.shutdown()
    server.server_close()


def test_an_answer(path: Path) -> None:
    assert control.ask(path, "add", a=1, b=2) == 3
    assert path.stat().st_mode & 0o777 == 0o600


def test_errors_keep_what_they_say(path: Path) -> None:
    with pytest.raises(MetalwrightError) as caught:
        control.ask(path, "refuse")
    assert (caught.value.code, caught.value.message, caught.value.hint) == ("busy", "It is busy.", "Wait.")


@pytest.mark.parametrize("question", [{"call": "nothing"}, {"call": "add", "a": 1}, {"call": "add", "a": 1, "b": "x"}])
def test_a_question_that_makes_no_sense_is_answered_and_survived(path: Path, question: dict[str, object]) -> None:
    with pytest.raises(MetalwrightError) as caught:
        control.ask(path, **question)  # type: ignore[arg-type]
    assert caught.value.code == "rack_error"
    assert control.ask(path, "add", a=1, b=2) == 3


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        control.ask(tmp_path / "rack.sock", "add")
    assert caught.value.code == "rack_down"
    assert "lab up" in caught.value.hint
