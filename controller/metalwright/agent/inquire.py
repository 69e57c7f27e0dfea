# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing was heard of the installed system: what its disk tells about why.

The logs lie on the disk that was deployed. It is mounted read-only (the file system's journal is replayed, or the last lines
before the machine was cut off would be missing).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .children import run
from .configure import SEED
from .disks import Disk
from .errors import CommandFailed, StepFailed
from .partitions import Partition, probe
from .target import mounted, resolve, root_mounted
from .work import Work

REPORT_LOG = "/var/log/metalwright-report.log"
CLOUD_INIT_LOGS = ("/var/log/cloud-init.log", "/var/log/cloud-init-output.log")
_OF_THEIR_OWN = ("/var", "/var/log")
"""Directories that may be file systems of their own and that matter here."""
_TAIL_BYTES = 8000
_TAIL_CHARACTERS = 8000
_LINE_CHARACTERS = 160


class System(NamedTuple):
    """An installed system: where its file systems are mounted now, by where it mounts them itself."""

    places: dict[str, Path]

    def find(self, path: str) -> Path:
        """Return where ``path`` of the system is; links are followed as the system would, within one file system."""
        pure = PurePosixPath(path)
        point = max((point for point in self.places if pure.is_relative_to(point)), key=len)
        return resolve(self.places[point], "/" + str(pure.relative_to(point)))


def verdict(work: Work) -> StepFailed:
    """Look at all disks and return what to tell: ``installed_system_dead``, ``installed_no_network``, ``first_boot_silent``.

    Of several systems the first one counts that has our seed.
    """
    told: StepFailed | None = None
    complaints: list[str] = []
    for disk in [disk for disk in work.disks() if not disk.removable]:
        work.report("inquire", 0, f"looking into {disk.path}")
        try:
            with _system_on(disk, work) as system:
                judged = judge(system, disk)
                if system.find(SEED).is_dir():
                    return judged
                told = told or judged
        except StepFailed as error:
            complaints.append(f"{disk.path}: {error.message}")
        except (CommandFailed, OSError) as error:
            complaints.append(f"{disk.path}: {error}")
    found = "; ".join(complaints) or "the machine has no disk that is not removable"
    return told or StepFailed("installed_system_dead", f"no installed system can be read: {found}")


def judge(system: System, disk: Disk) -> StepFailed:
    """Return what the system's logs tell."""
    report = _end_of(system, REPORT_LOG)
    logs = {name: text for name in CLOUD_INIT_LOGS if (text := _end_of(system, name))}
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
def _system_on(disk: Disk, work: Work) -> Iterator[System]:
    found = probe(work.partitions(disk) or [Path(disk.path)], work.abort)
    with ExitStack() as stack:
        partition, root = stack.enter_context(root_mounted(found, work.abort))
        work.console.say(f"inquire: the root file system is {partition.path} ({partition.filesystem})")
        system = System({"/": root})
        for point, other, options in _mounts(system, found, work):
            name = "system" + point.replace("/", "-")
            try:
                system.places[point] = stack.enter_context(mounted(other, work.abort, options=options, name=name))
            except CommandFailed as error:
                work.console.say(f"inquire: {point} of the system: {error}")
        yield system


def _mounts(system: System, found: list[Partition], work: Work) -> Iterator[tuple[str, Partition, str]]:
    """Yield what the system's fstab(5) mounts to where its logs are: mount point, partition of this disk, options to mount by."""
    try:
        lines = system.find("/etc/fstab").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    fields = [line.split() for line in lines if not line.lstrip().startswith("#")]
    for point in _OF_THEIR_OWN:
        for source, options in [(words[0], words[3]) for words in fields if len(words) > 3 and words[1] == point]:
            try:
                device = Path(run(["findfs", source], work.abort).strip()) if "=" in source else Path(source)
            except CommandFailed:
                continue
            subvolume = ",".join(word for word in options.split(",") if word.startswith(("subvol=", "subvolid=")))
            for partition in found:
                if partition.path == device:
                    yield point, partition, subvolume


def _end_of(system: System, name: str) -> str:
    """Return the end of a log of the installed system; empty when there is none, or one that is no plain file."""
    place = system.find(name)
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
