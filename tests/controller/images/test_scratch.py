# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories for unfinished work: nobody's is removed while it is at work, and nothing is left behind."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

import pytest

from metalwright.images.scratch import scratch


def test_a_directory_that_is_swept_before_it_is_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = fcntl.flock

    def late(file: IO[str], how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        with scratch(tmp_path):
            pass  # begins, and sweeps, while the lock of the other is open but not held
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with scratch(tmp_path) as mine:
        (mine / "part").write_text("at work")
        with scratch(tmp_path) as other:
            assert {*tmp_path.iterdir()} == {mine, other}
        assert (mine / "part").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_swept_before_it_has_a_lock_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, swept = Path.open, []

    def late(path: Path, *how: str) -> object:
        if not swept:
            swept.append(path)
            with scratch(tmp_path):
                pass
        return opened(path, *how)

    monkeypatch.setattr(Path, "open", late)
    with scratch(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]
        assert mine != swept[0].parent
    assert list(tmp_path.iterdir()) == []


def test_what_was_killed_before_it_had_a_lock_is_cleared_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-killed").mkdir()
    with scratch(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]
