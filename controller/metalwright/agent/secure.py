# SPDX-License-Identifier: GPL-3.0-or-later
"""The drive's own erase, by which also those blocks go that no write reaches any more: spare ones, and what a translation layer
has put aside.

In order: NVMe Format, NVMe Sanitize, ATA Security Erase, and the block layer's secure discard (eMMC). A drive that has one but
fails at it is erased like one that has none: the caller writes over all of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .abort import Abort
from .children import run
from .disks import Disk
from .errors import CommandFailed
from .pace import Pace

PASSWORD = "metalwright"  # noqa: S105 - not a secret: ATA wants a password to erase, and an interrupted erase leaves it set
"""Set on an ATA drive for the time of its erase."""
_HDPARM = ("hdparm", "--user-master", "u")
_BLKSECDISCARD = 0x127D  # linux/fs.h, _IO(0x12, 125)
_DISCARD_BYTES = 1 << 30
_NVME_FORMATS = 0x2  # of OACS, Optional Admin Command Support (NVMe base 2.0, figure 275)
_NVME_FORMAT_CRYPTO = 0x4  # of FNA, Format NVM Attributes
_NVME_SANITIZE_CRYPTO, _NVME_SANITIZE_BLOCK = 0x1, 0x2  # of SANICAP
_SANITIZE_ACTION = {_NVME_SANITIZE_BLOCK: "2", _NVME_SANITIZE_CRYPTO: "4"}
_SANITIZE_DONE, _SANITIZE_RUNS, _SANITIZE_DONE_TOO = 1, 2, 4  # of SSTAT (NVMe base 2.0, figure 291)
_SANITIZE_WHOLE = 0x10000
_POLL = 5.0
_MOST_MINUTES = 510
"""What a drive's estimate may say at most; above it is "more than 508 min" (ACS-4, 9.11.8.1), and a day is allowed."""


class NotOffered(Exception):
    """The drive has no such erase, or does not let us use it now. The text says which and why."""


def drop_password(disk: Disk, abort: Abort) -> None:
    """Take our password off an ATA drive on which an erase that was cut off has left it.

    From its next power-on on such a drive is locked, that is, refuses to be read and written; so this comes before all else that
    is done to a disk. Raises ``CommandFailed`` for a drive that is locked by another password.
    """
    if disk.name.startswith("nvme"):
        return
    try:
        security = ata_security(run(["hdparm", "-I", disk.path], abort))
    except CommandFailed:
        return  # it speaks no ATA
    if security.get("locked"):
        try:
            run([*_HDPARM, "--security-unlock", PASSWORD, disk.path], abort)
        except CommandFailed as error:
            raise CommandFailed(f"the drive is locked and does not take our password: {error}") from error
    if security.get("enabled"):
        with suppress(CommandFailed):  # one that is not locked may have a password that its firmware knows, and keeps it
            run([*_HDPARM, "--security-disable", PASSWORD, disk.path], abort)


def own_erase(disk: Disk, pace: Pace, limit: float, abort: Abort) -> str:
    """Have the drive erase itself and return the method's name.

    ``limit``: seconds a drive may take that gives no estimate. Raises ``NotOffered`` naming every way that was tried, and
    ``Aborted``.
    """
    reasons: list[str] = []
    ways: list[Callable[[Disk, Pace, float, Abort], str]] = [_nvme] if disk.name.startswith("nvme") else [_ata]
    for way in (*ways, _discard):
        try:
            return way(disk, pace, limit, abort)
        except (NotOffered, CommandFailed, OSError, ValueError) as error:
            reasons.append(str(error))
    raise NotOffered("; ".join(reasons))


def _nvme(disk: Disk, pace: Pace, limit: float, abort: Abort) -> str:
    try:
        says = json.loads(run(["nvme", "id-ctrl", disk.path, "--output-format=json"], abort))
        formats, attributes, sanitizes = (int(says.get(name, 0)) for name in ("oacs", "fna", "sanicap"))
    except (ValueError, TypeError, AttributeError) as error:
        raise NotOffered(f"nvme id-ctrl says nothing of use: {error}") from error
    reason = "the drive has no NVMe Format"
    if formats & _NVME_FORMATS:
        crypto = bool(attributes & _NVME_FORMAT_CRYPTO)
        pace.be_patient(disk.path, limit)
        timeout = f"--timeout={int(limit * 1000)}"
        try:
            run(["nvme", "format", disk.path, f"--ses={2 if crypto else 1}", "--force", timeout], abort, timeout=limit + 10)
        except CommandFailed as error:
            reason = str(error)
        else:
            return "nvme-format-crypto" if crypto else "nvme-format"
    for ability in (_NVME_SANITIZE_BLOCK, _NVME_SANITIZE_CRYPTO):
        if sanitizes & ability:
            _sanitize(disk, _SANITIZE_ACTION[ability], pace, abort)
            return "nvme-sanitize"
    raise NotOffered(f"{reason}; the drive has no NVMe Sanitize")


def _sanitize(disk: Disk, action: str, pace: Pace, abort: Abort) -> None:
    """Sanitize the drive and wait for its end; the watchdog ends the waiting when the drive's progress does not move."""
    controller = re.sub(r"n\d+$", "", disk.path)
    run(["nvme", "sanitize", controller, f"--sanact={action}"], abort)
    before = -1
    while True:
        log = json.loads(run(["nvme", "sanitize-log", controller, "--output-format=json"], abort))
        state, progress = sanitize_state(log)
        if state in (_SANITIZE_DONE, _SANITIZE_DONE_TOO):
            return
        if state != _SANITIZE_RUNS:
            raise CommandFailed(f"NVMe Sanitize of {disk.path} ended in state {state}")
        if progress != before:
            before = progress
            pace.moved(disk.path, disk.size_bytes * progress // _SANITIZE_WHOLE)
        abort.sleep(_POLL)


def sanitize_state(log: Any) -> tuple[int, int]:
    """Return state (SSTAT, its lowest three bits) and progress (of 65536) from ``nvme sanitize-log``, which is of many shapes."""
    try:
        said = log if "sprog" in log else next(iter(log.values()))
        state = said["sstat"]
        if isinstance(state, dict):
            state = state["status"]
        if isinstance(state, str):  # "(2) Sanitize in Progress."
            state = int(re.findall(r"\d+", state)[0])
        return int(state) & 7, int(said["sprog"])
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, StopIteration) as error:
        raise CommandFailed(f"nvme sanitize-log can not be read: {log}") from error


def _ata(disk: Disk, pace: Pace, limit: float, abort: Abort) -> str:
    """ATA Security Erase (ACS-4, 4.18). The drive has to have a password for it, and drops it when it has erased itself.

    One that an erase before this has left is gone: see ``drop_password``.
    """
    security = ata_security(run(["hdparm", "-I", disk.path], abort))
    if not security.get("supported"):
        raise NotOffered("the drive has no ATA Security Erase")
    if security.get("frozen"):
        raise NotOffered("the firmware has frozen the drive's ATA security until its next power-on")
    if not security.get("enabled"):
        run([*_HDPARM, "--security-set-pass", PASSWORD, disk.path], abort)
    enhanced = bool(security.get("supported: enhanced erase"))
    minutes = security.get("enhanced minutes" if enhanced else "minutes", 0)
    patience = 86400.0 if minutes >= _MOST_MINUTES - 2 else max(limit, minutes * 60.0 * 2)
    pace.be_patient(disk.path, patience)
    try:
        how = "--security-erase-enhanced" if enhanced else "--security-erase"
        run([*_HDPARM, how, PASSWORD, disk.path], abort, timeout=patience)
    except CommandFailed:
        with suppress(CommandFailed):  # or the drive would be locked from its next power-on on
            run([*_HDPARM, "--security-disable", PASSWORD, disk.path], abort)
        raise
    return "ata-security-erase-enhanced" if enhanced else "ata-security-erase"


def ata_security(text: str) -> dict[str, int]:
    """Return what ``hdparm -I`` says of a drive's security: each flag as 1 or 0, and how many minutes an erase takes."""
    found: dict[str, int] = {}
    _, _, section = text.partition("\nSecurity:")
    for line in section.splitlines()[1:]:
        if not line.startswith(("\t", " ")):
            break
        words = " ".join(line.split())
        for name, pattern in (("minutes", r"(\d+)min for SECURITY"), ("enhanced minutes", r"(\d+)min for ENHANCED")):
            if minutes := re.search(pattern, words):
                found[name] = int(minutes[1])
        flag = words.removeprefix("not ")
        if flag in ("supported", "enabled", "locked", "frozen", "supported: enhanced erase"):
            found[flag] = int(flag == words)
    return found


def _discard(disk: Disk, pace: Pace, _limit: float, abort: Abort) -> str:
    """The block layer's secure discard: the drive drops the blocks and all copies of them."""
    with _opened(disk) as target:
        size = os.lseek(target, 0, os.SEEK_END)
        for start in range(0, size, _DISCARD_BYTES):
            abort.check()
            length = min(_DISCARD_BYTES, size - start)
            try:
                fcntl.ioctl(target, _BLKSECDISCARD, struct.pack("QQ", start, length))
            except OSError as error:
                raise NotOffered(f"the drive has no secure discard: {error.strerror}") from error
            pace.moved(disk.path, start + length)
    return "secure-discard"


@contextmanager
def _opened(disk: Disk) -> Iterator[int]:
    target = os.open(disk.path, os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
    try:
        yield target
    finally:
        os.close(target)
