# SPDX-License-Identifier: GPL-3.0-or-later
"""What every step is given: the console, the way to report, the way to stop, and the disk that was written to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from .abort import Abort
from .client import Client
from .console import Console
from .disks import Disk


class Report(Protocol):
    """Says how far a step is; see ``Reporter.update``."""

    def __call__(self, step: str, percent: float = 0, message: str = "", done_bytes: int = 0, total_bytes: int = 0) -> None: ...


class Work(NamedTuple):
    """The surroundings of a step."""

    console: Console
    abort: Abort
    client: Client
    report: Report
    firmware: str
    """``bios`` or ``uefi``."""
    disks: Callable[[], list[Disk]]
    """Lists the machine's disks as they are now."""
    partitions: Callable[[Disk], list[Path]]
    """Lists the partitions of a disk as they are now."""
