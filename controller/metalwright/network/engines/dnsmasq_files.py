# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of small files, one for each owner, that dnsmasq watches; brought to what it should hold.

With 10,000 files, reading them all to find the one that differs takes longer than everything else. So what was written last is
remembered, and a stamp beside the directory, written anew at every change, tells whether another process has written since.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metalwright.network.engines.configuration import replace


@dataclass(frozen=True)
class Synced:
    """How many files are new, and how many were there before and are changed or gone."""

    new: int = 0
    other: int = 0

    def __bool__(self) -> bool:
        return bool(self.new or self.other)


class Files:
    """The files of one directory. Used under a lock that all processes share."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stamp = directory.with_name(f".{directory.name}.stamp")
        self._known: dict[str, str] = {}
        self._at = ""

    def sync(self, wanted: Mapping[str, str], outdated: Path) -> Synced:
        """Write the files that changed, delete those that are not wanted.

        ``outdated`` is made before anything that is there is changed or deleted: what has to be told to dnsmasq is told even if
        we are killed in between.
        """
        there = self._there()
        new = wanted.keys() - there.keys()
        gone = there.keys() - wanted.keys()
        other = {name for name in wanted.keys() & there.keys() if there[name] != wanted[name]}
        if not (new or gone or other):
            return Synced()
        if gone or other:
            outdated.touch()
        self._stamp.unlink(missing_ok=True)  # whoever is killed in here has others read everything
        self._at = ""
        for name in gone:
            (self.directory / name).unlink(missing_ok=True)
        for name in new | other:
            replace(self.directory / name, wanted[name])
        stamp = secrets.token_hex(8)
        replace(self._stamp, stamp)
        self._known, self._at = dict(wanted), stamp
        return Synced(len(new), len(gone) + len(other))

    def _there(self) -> dict[str, str]:
        if self._at and self._stamp.exists() and self._stamp.read_text(encoding="ascii") == self._at:
            return self._known
        self.directory.mkdir(exist_ok=True)
        paths = (path for path in self.directory.iterdir() if not path.name.startswith("."))
        return {path.name: path.read_text(encoding="utf-8", errors="replace") for path in paths}
