# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's own code as a process of this host, on disks that it is given: all it does not have is a machine to turn off.

One argument, JSON: ``url``, ``firmware``, ``boot_mac``, ``identity``, ``disks`` (the fields of ``disks.Disk``). Pauses between
tries are a tenth of a second. What a person would see at the console goes to standard output.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from metalwright.agent.abort import Abort
from metalwright.agent.client import Client
from metalwright.agent.console import Console
from metalwright.agent.disks import Disk, partitions
from metalwright.agent.runner import Machine, Runner


class End:
    """Says how the agent wanted to end."""

    def load(self, devices: list[Path]) -> bool:
        """There is no kernel to start from here."""
        return False

    def kexec(self) -> None:
        print("END kexec")

    def reboot(self) -> None:
        print("END reboot")

    def power_off(self) -> None:
        print("END poweroff")


def main() -> None:
    given = json.loads(sys.argv[1])
    disks = [Disk(**{**fields, "links": ()}) for fields in given["disks"]]
    console, abort = Console(secret=given["url"].rpartition("/")[2]), Abort()
    machine = Machine(given["firmware"], given["boot_mac"], given["identity"], lambda: disks, partitions, End())
    client = Client(given["url"], console, abort)
    Runner(machine, client, console, abort, lambda _seconds: time.sleep(0.1), tick=0.2).job()


if __name__ == "__main__":
    main()
