# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone that named has not loaded yet is waited for, and one that it never loads is not waited for for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metalwright.network.engines import bind_update


def test_a_zone_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serials: Iterator[int | None] = iter([None, None, 7])
    server = bind_update.Server("127.0.0.1", tmp_path / "key")
    monkeypatch.setattr(server, "_serial", lambda _zone: next(serials))
    assert server.loaded("lab.example") == 7
    monkeypatch.setattr(server, "_serial", lambda _zone: None)
    monkeypatch.setattr(bind_update, "_LOADS_WITHIN", 0.05)
    assert server.loaded("lab.example") is None
