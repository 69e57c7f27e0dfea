# SPDX-License-Identifier: GPL-3.0-or-later
"""What is hidden of what a run prints."""

from __future__ import annotations

from metalwright.runs.output import HIDDEN, Output


def test_numbers_are_hidden_like_words() -> None:
    output = Output({"pin": 48151623, "account": {"rates": [0.4815, -1623]}, "enabled": True, "port": 443})
    assert output.hide("pin=48151623 rate 0.4815, -1623") == f"pin={HIDDEN} rate {HIDDEN}, {HIDDEN}"
    assert output.hide("enabled: True, port 443") == "enabled: True, port 443"
