# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories from which dnsmasq reads cards and names, brought to what they should hold.

What belongs to one owner of addresses stays together, in one of 256 files: a change of one owner is one of some forty lines. With
a file for each owner, dnsmasq takes two seconds of CPU to read 20,000 of them, and a tenth of a second for the same lines in 512
(measured with 2.90 and 10,000 hosts). The functions are called under a lock that all processes share; whoever is killed in
between leaves files that the next one finds and mends.
"""

from __future__ import annotations

import shutil
import zlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from metalwright.network.engines.configuration import replace

FILES = 256
MANY = 32
"""Changed files of one directory, from which on dnsmasq is quicker to start again than to read each by itself."""
ADDED = 100
"""Owners that are in a file of their own, at most, until all are put together."""


def names_changed(directory: Path, wanted: Mapping[str, str], replaced: Path) -> bool:
    """Bring hostsdir to the text of each owner; True if anything changed.

    dnsmasq sees each change at once. Where there are ``MANY``, the whole directory is replaced instead, which it sees at its next
    start: whenever ``replaced`` is newer than its start, it has to be started again.
    """
    there, files = _read(directory), _together(wanted)
    changed = {name for name in there.keys() | files.keys() if there.get(name) != files.get(name)}
    if len(changed) >= MANY:
        replaced.touch()
        _replace_all(directory, files)
        replaced.touch()
    else:
        _write(directory, files, changed)
    return bool(changed)


def cards_changed(together: Path, added: Path, wanted: Mapping[str, str], outdated: Path) -> bool:
    """Bring dhcp-hostsfile (``together``) and dhcp-hostsdir (``added``) to the text of each owner; True if anything changed.

    What is new in ``added`` is seen at once, and nothing else anywhere: so an owner that is new gets a file of its own there, and
    everything else makes ``outdated``, before anything is touched: then dnsmasq has to be sent SIGHUP.
    """
    there, apart = _read(together), _read(added)
    kept = {owner for owner, text in apart.items() if wanted.get(owner) == text}
    lines = {line for text in there.values() for line in text.splitlines()}
    new = {owner for owner, text in wanted.items() if owner not in kept and lines.isdisjoint(text.splitlines())}
    alone = kept | new
    files = _together({owner: text for owner, text in wanted.items() if owner not in alone})
    if files == there and kept == apart.keys() and len(alone) <= ADDED:
        _write(added, wanted, new)
        return bool(new)
    outdated.touch()
    files = _together(wanted)
    _write(together, files, {name for name in there.keys() | files.keys() if there.get(name) != files.get(name)})
    _write(added, {}, set(apart))
    return True


def _together(owners: Mapping[str, str]) -> dict[str, str]:
    files: defaultdict[str, list[str]] = defaultdict(list)
    for owner in sorted(owners):
        files[f"{zlib.crc32(owner.encode()) % FILES:02x}"].append(owners[owner])
    return {name: "".join(texts) for name, texts in files.items()}


def _read(directory: Path) -> dict[str, str]:
    directory.mkdir(exist_ok=True)
    paths = (path for path in directory.iterdir() if not path.name.startswith("."))
    return {path.name: path.read_text(encoding="utf-8", errors="replace") for path in paths}


def _write(directory: Path, files: Mapping[str, str], changed: set[str]) -> None:
    for name in changed:
        if name in files:
            replace(directory / name, files[name])
        else:
            (directory / name).unlink(missing_ok=True)


def _replace_all(directory: Path, files: Mapping[str, str]) -> None:
    fresh, old = (directory.with_name(f".{directory.name}.{which}") for which in ("new", "old"))
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    fresh.mkdir()
    for name, text in files.items():
        (fresh / name).write_text(text, encoding="utf-8")
    directory.rename(old)
    fresh.rename(directory)
    shutil.rmtree(old)
