# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing a lab: whatever state it is in, nothing of it stays but the caches.

Processes are ended by their ids: the daemon's (from its file, if that process is what the file says), those that live in the
lab's namespace, and the package cache, which lives outside of it and is known by its configuration.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from metalwright.lab import host, netns
from metalwright.lab.spec import LabSpec, Places

PATIENCE = 40.0


def down(places: Places) -> bool:
    """Remove the lab and return whether there was one."""
    if not places.spec.exists():
        _remove(places)
        return False
    with host.alone(places):
        spec = LabSpec.model_validate_json(places.spec.read_text(encoding="utf-8"))
        _end([pid for pid in _daemon(places) if _mentions(pid, places.root)], signal.SIGTERM, PATIENCE)
        for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            _end([*netns.pids(spec), *_package_cache(places)], number, patience)
        netns.delete(spec)
        _remove(places)
    return True


def _daemon(places: Places) -> Iterable[int]:
    with contextlib.suppress(FileNotFoundError, ValueError):
        yield int(places.pid.read_text(encoding="utf-8"))


def _package_cache(places: Places) -> Iterable[int]:
    configuration = places.etc / "apt-cacher-ng"
    for each in Path("/proc").glob("[0-9]*"):
        if _mentions(int(each.name), configuration):
            yield int(each.name)


def _mentions(pid: int, path: Path) -> bool:
    """Return whether a process has ``path`` as one of its arguments."""
    try:
        return os.fsencode(path) in Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _end(pids: list[int], number: signal.Signals, patience: float) -> None:
    """Send the signal and wait until the processes have ended, at most ``patience`` seconds."""
    end = time.monotonic() + patience
    with contextlib.ExitStack() as opened, selectors.DefaultSelector() as ended:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                process = os.pidfd_open(pid)
                opened.callback(os.close, process)
                signal.pidfd_send_signal(process, number)
                ended.register(process, selectors.EVENT_READ)
        while ended.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in ended.select(left):
                ended.unregister(key.fd)


def _remove(places: Places) -> None:
    """Remove the lab's files, and directories around them that are empty now."""
    if places.root.exists():
        shutil.rmtree(places.root)
    above = [directory for directory in list(places.root.parents)[:2] if directory.name in ("lab", "metalwright")]
    if not any(Path("/run/netns").glob("metalwright-*")):
        above.append(Path("/run/libvirt"))  # made for the lab's own to be mounted on; other labs still need it
    for directory in above:
        with contextlib.suppress(OSError):
            directory.rmdir()
