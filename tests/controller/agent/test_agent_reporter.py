# SPDX-License-Identifier: GPL-3.0-or-later
"""How often an agent reports while nothing but time passes."""

from __future__ import annotations

import io
import time

import pytest
from controller_side import ControllerSide

from metalwright.agent.abort import Abort
from metalwright.agent.client import Client
from metalwright.agent.console import Console
from metalwright.agent.relay import Relay
from metalwright.agent.reporter import Reporter


@pytest.mark.parametrize(
    ("pause", "least", "most"), [({}, 3, 1000), ({"pause": None}, 3, 1000), ({"pause": "x"}, 3, 1000), ({"pause": 1e9}, 1, 1)]
)
def test_it_is_silent_for_as_long_as_it_is_asked_to(
    side: ControllerSide, pause: dict[str, object], least: int, most: int
) -> None:
    side.defaults["progress"] = (200, {"continue": True, **pause})
    abort, console = Abort(), Console(io.StringIO())
    client = Client(side.url, console, abort)
    reporter = Reporter(client, console, abort, 0.02, Relay(client, console), tick=0.01)
    reporter.start()
    until = time.monotonic() + 10
    while len(side.calls("progress")) < least and time.monotonic() < until:
        time.sleep(0.01)
    for percent in range(20):
        reporter.update("write", percent)
        time.sleep(0.01)
    reporter.stop()
    assert least <= len(side.calls("progress")) <= most
