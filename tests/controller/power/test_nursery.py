# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that power calls are forked from: it may die, they may hang, and the next call is made nevertheless."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metalwright.power.nursery import Nursery


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.stop()


def said(url: str) -> bytes:
    request = {"url": url, "method": "GET", "body": ""}
    return json.dumps(
        {
            "call": "query",
            "until": time.monotonic() + 30,
            "requests": {"query": request},
            "headers": [],
            "query_on": "on",
            "query_off": "off",
            "verify": True,
        }
    ).encode()


NOBODY = "http://127.0.0.1:9/"


def test_a_call_is_made_and_leaves_no_process(nursery: Nursery) -> None:
    ended = nursery.run("webhook", said(NOBODY), 30)
    assert json.loads(ended.output)["error"] == "bmc_unreachable"
    assert ended.status == 0
    assert nursery.pid is not None
    assert Path(f"/proc/{nursery.pid}/task/{nursery.pid}/children").read_text() == ""


def test_one_that_was_killed_is_started_again(nursery: Nursery) -> None:
    nursery.run("webhook", said(NOBODY), 30)
    first = nursery.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert json.loads(nursery.run("webhook", said(NOBODY), 30).output)["error"] == "bmc_unreachable"
    assert nursery.pid not in (None, first)


def test_a_call_that_hangs_is_killed(nursery: Nursery) -> None:
    nursery.run("webhook", said(NOBODY), 30)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        ended = nursery.run("webhook", said(f"http://127.0.0.1:{silent.getsockname()[1]}/"), 0.5)
    assert (ended.output, ended.status) == (b"", None)
    assert Path(f"/proc/{nursery.pid}/task/{nursery.pid}/children").read_text() == ""


def test_a_call_that_there_is_not_says_so(nursery: Nursery) -> None:
    ended = nursery.run("telepathy", b"{}", 30)
    assert b"No module named 'metalwright.calls.telepathy'" in ended.complaint
    assert ended.status == 1
