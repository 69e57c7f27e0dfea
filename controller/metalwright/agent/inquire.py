# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing was heard of the installed system: what its disk tells about why.

The logs lie on the disk that was deployed. It is mounted read-only (the file system's journal is replayed, or the last lines
before the machine was cut off would be missing).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .disks import Disk
from .errors import CommandFailed, StepFailed
from .partitions import probe
from .target import resolve, root_mounted
from .work import Work

REPORT_LOG = "/var/log/metalwright-report.log"
CLOUD_INIT_LOGS = ("/var/log/cloud-init.log", "/var/log/cloud-init-output.log")
_TAIL_BYTES = 8000
_TAIL_CHARACTERS = 8000
_LINE_CHARACTERS = 160


def verdict(work: Work) -> StepFailed:
    """Look at all disks and return what to tell: ``installed_system_dead``, ``installed_no_network``, ``first_boot_silent``."""
    complaints: list[str] = []
    for disk in [disk for disk in work.disks() if not disk.removable]:
        work.report("inquire", 0, f"looking into {disk.path}")
        try:
            with _system_on(disk, work) as root:
                return judge(root, disk)
        except StepFailed as error:
            complaints.append(f"{disk.path}: {error.message}")
        except (CommandFailed, OSError) as error:
            complaints.append(f"{disk.path}: {error}")
    found = "; ".join(complaints) or "the machine has no disk that is not removable"
    return StepFailed("installed_system_dead", f"no installed system can be read: {found}")


def judge(root: Path, disk: Disk) -> StepFailed:
    """Return what the logs below ``root`` tell."""
    report = _end_of(root, REPORT_LOG)
    logs = {name: text for name in CLOUD_INIT_LOGS if (text := _end_of(root, name))}
    tail = _tail({**logs, REPORT_LOG: report} if report else logs)
    if report:
        said = f"the system on {disk.path} started, but its reports did not get out: {_last_line(report)}"
        return StepFailed("installed_no_network", said, tail)
    if logs:
        last = _last_line(next(iter(logs.values())))
        said = f"the system on {disk.path} started and cloud-init has not come to its end; the last it logged: {last}"
        return StepFailed("first_boot_silent", said, tail)
    said = f"the system on {disk.path} has never started: there is no log of cloud-init or of its reports on it"
    return StepFailed("installed_system_dead", said, "no log was found")


@contextmanager
def _system_on(disk: Disk, work: Work) -> Iterator[Path]:
    found = probe(work.partitions(disk) or [Path(disk.path)], work.abort)
    with root_mounted(found, work.abort) as (partition, root):
        work.console.say(f"inquire: the root file system is {partition.path} ({partition.filesystem})")
        yield root


def _end_of(root: Path, name: str) -> str:
    """Return the end of a log of the installed system; empty when there is none, or one that is no plain file."""
    place = resolve(root, name)
    if not place.is_file():
        return ""
    with place.open("rb") as stream:
        stream.seek(max(0, place.stat().st_size - _TAIL_BYTES))
        text = stream.read(_TAIL_BYTES).decode(errors="replace")
    return "".join(character for character in text if character.isprintable() or character in "\n\t").strip()


def _tail(logs: dict[str, str]) -> str:
    """Put the ends of the logs under each other, each with its name and its share of the whole."""
    share = _TAIL_CHARACTERS // max(len(logs), 1) - 80
    return "\n".join(f"==> {name} <==\n{text[-share:]}" for name, text in logs.items())


def _last_line(text: str) -> str:
    return text.rsplit("\n", 1)[-1].strip()[:_LINE_CHARACTERS]
