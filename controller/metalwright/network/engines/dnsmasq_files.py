# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories from which dnsmasq reads cards and names, brought to what they should hold.

What belongs to one owner of addresses stays together, in one of 256 files: a change of one owner is one of some forty lines. With
a file for each owner, dnsmasq takes two seconds of CPU to read 20,000 of them, and a tenth of a second for the same lines in 512
(measured with 2.90 and 10,000 hosts). And for each file that changes, it looks for every lease among all cards: a fifth of a
second with 2,000 leases and 10,000 cards. So owners that are new at the same time are added together, in one file.

The functions are called under a lock that all processes share; whoever is killed in
between leaves files that the next one finds and mends.
"""

from __future__ import annotations

import shutil
import zlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from metalwright.network.engines.configuration import replace

_ADDED = "new-"
"""How the names of files begin that hold what was added at one time."""
FILES = 256
MANY = 32
"""Changed files of one directory, from which on dnsmasq is quicker to start again than to read each by itself."""
FEW, MOST = 4, 256
"""Owners whose names are new. Up to the one they go where they belong, for what is added has to be put together at last; and from
the other on, for dnsmasq compares each line with all that it knows."""
ADDED = 100
"""Files that were added, at most, until all are put together."""


def names_changed(directory: Path, wanted: Mapping[str, str], replaced: Path) -> bool:
    """Bring hostsdir to the text of each owner; True if anything changed.

    dnsmasq sees each change at once. Where there are ``MANY``, the whole directory is replaced instead, which it sees at its next
    start: whenever ``replaced`` is newer than its start, it has to be started again.
    """
    there = _read(directory)
    added, rest = _sorted_out(there, wanted)
    known = {line for name, text in there.items() if not name.startswith(_ADDED) for line in text.splitlines()}
    new = {owner: text for owner, text in rest.items() if known.isdisjoint(text.splitlines())}
    if not FEW < len(new) <= MOST:
        new = {}
    files = {**added, **_together({owner: text for owner, text in rest.items() if owner not in new}), **_addition(added, new)}
    changed = {name for name in there.keys() | files.keys() if there.get(name) != files.get(name)}
    if len(changed) >= MANY or len(added) >= ADDED:
        replaced.touch()
        _replace_all(directory, _together(wanted))
        replaced.touch()
    else:
        _write(directory, files, changed)
    return bool(changed)


def cards_changed(together: Path, added: Path, wanted: Mapping[str, str], outdated: Path) -> bool:
    """Bring dhcp-hostsfile (``together``) and dhcp-hostsdir (``added``) to the text of each owner; True if anything changed.

    What is new in ``added`` is seen at once, and nothing else anywhere: so owners that are new get a file there, and everything
    else makes ``outdated``, before anything is touched: then dnsmasq has to be sent SIGHUP.
    """
    there, apart = _read(together), _read(added)
    kept, rest = _sorted_out(apart, wanted)
    known = {line for text in there.values() for line in text.splitlines()}
    new = {owner: text for owner, text in rest.items() if known.isdisjoint(text.splitlines())}
    files = _together({owner: text for owner, text in rest.items() if owner not in new})
    if files == there and kept == apart and len(kept) < ADDED:
        addition = _addition(kept, new)
        _write(added, addition, set(addition))
        return bool(new)
    outdated.touch()
    files = _together(wanted)
    _write(together, files, {name for name in there.keys() | files.keys() if there.get(name) != files.get(name)})
    _write(added, {}, set(apart))
    return True


def _sorted_out(there: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What of the added files among those that are there is wanted still, and the owners all of whose lines are not in those."""
    held = {line for name, text in there.items() if name.startswith(_ADDED) for line in text.splitlines()}
    apart = {owner: text for owner, text in wanted.items() if held.issuperset(text.splitlines())}
    lines = {line for text in apart.values() for line in text.splitlines()}
    left = {
        name: "".join(f"{line}\n" for line in text.splitlines() if line in lines)
        for name, text in there.items()
        if name.startswith(_ADDED)
    }
    return {name: text for name, text in left.items() if text}, {
        owner: text for owner, text in wanted.items() if owner not in apart
    }


def _addition(added: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """One file for all that is new, under a name that no other has."""
    if not new:
        return {}
    number = max((int(name.removeprefix(_ADDED)) for name in added), default=0) + 1
    return {f"{_ADDED}{number}": "".join(new[owner] for owner in sorted(new))}


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
