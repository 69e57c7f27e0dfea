# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls to the controller: asked again until answered, and only then."""

from __future__ import annotations

import io
import socket

import pytest
from controller_side import TOKEN, ControllerSide

from metalwright.agent.abort import Abort
from metalwright.agent.client import Client
from metalwright.agent.console import Console
from metalwright.agent.errors import Aborted, Refused, StepFailed


def test_a_call_is_repeated_until_the_controller_answers(side: ControllerSide, client: Client, pauses: list[float]) -> None:
    side.answers["done"] = [(503, {}), (500, b"oh"), (429, {}), (200, b"<html>"), (200, {"action": "kexec"})]
    assert client.post("done", {}) == {"action": "kexec"}
    assert len(side.calls("done")) == 5
    assert len(pauses) == 4
    assert all(1 <= pause <= 10 for pause in pauses)


def test_a_refusal_is_final_and_tells_the_controllers_reason(side: ControllerSide, client: Client) -> None:
    side.answers["hello"] = [(409, {"code": "identity_mismatch", "message": "This machine is not node-1."})]
    with pytest.raises(Refused) as caught:
        client.post("hello", {})
    assert (caught.value.status, caught.value.code, caught.value.message) == (
        409,
        "identity_mismatch",
        "This machine is not node-1.",
    )
    assert len(side.said) == 1


def test_a_controller_that_is_away_is_waited_for(console: Console, abort: Abort, printed: io.StringIO) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    waits = 0

    def wait(_seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            abort.ask("enough")

    with pytest.raises(Aborted, match="enough"):
        Client(f"http://127.0.0.1:{port}/agent/{TOKEN}", console, abort, wait).post("hello", {})
    assert waits == 3
    assert "refused" in printed.getvalue()
    assert TOKEN not in printed.getvalue()


@pytest.mark.parametrize("url", ["ftp://10.0.0.1/x", "http:///x", "http://10.0.0.1:99999/x", "nonsense"])
def test_a_url_that_is_none_is_said_so(url: str, console: Console, abort: Abort) -> None:
    with pytest.raises(StepFailed) as caught:
        Client(url, console, abort)
    assert caught.value.code == "agent_error"
    assert url in caught.value.message


def test_the_console_shows_no_secret_and_steers_no_terminal(console: Console, printed: io.StringIO) -> None:
    console.say(f"\x1b[2Jhello {TOKEN}")
    assert printed.getvalue().endswith("[2Jhello ***\n")
    assert "\x1b" not in printed.getvalue()
    assert console.tail() == printed.getvalue().rstrip("\n")


def test_of_many_lines_the_last_are_kept(console: Console) -> None:
    for number in range(1000):
        console.say(f"line {number} " + "x" * 300)
    assert len(console.tail()) <= 8000
    assert "line 999 " in console.tail()
