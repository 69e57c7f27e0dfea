# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m metalwright_agent``: started by the init of the agent's root, told by the kernel's command line where to call.

It does nothing on a machine that was not booted by the controller: nobody loses a disk or a session by starting it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from . import AGENT_VERSION
from .abort import Abort
from .client import Client
from .console import Console
from .disks import list_disks, partitions
from .identity import firmware_type, identity
from .runner import REFUSED_PAUSE, Machine, Runner
from .target import unmount_leftovers

_ENLIST = "/agent/enlist"
_WAIT_FOR = "METALWRIGHT_WAIT_FOR"


def boot_parameters(command_line: str) -> dict[str, str]:
    """Return the words of a kernel's command line that have a value."""
    return dict(word.split("=", 1) for word in command_line.split() if "=" in word)


def boot_mac(parameters: dict[str, str]) -> str:
    """Return the address in ``BOOTIF=01-52-54-00-aa-bb-cc`` (pxelinux: hardware type, then address) with colons."""
    return parameters.get("BOOTIF", "").lower().removeprefix("01-").replace("-", ":")


def wait_until_ready() -> None:
    """Wait for the file that tells that disks and network are there: the agent is loaded while drivers are."""
    told = os.environ.get(_WAIT_FOR)
    while told and not Path(told).exists():
        time.sleep(0.05)


def main() -> int:
    """Do what this machine was booted for; return only where there is nothing to do."""
    parameters = boot_parameters(Path("/proc/cmdline").read_text(encoding="utf-8"))
    url = parameters.get("metalwright.url", "").rstrip("/")
    if not url:
        Console().say("there is no metalwright.url= on the kernel's command line: not booted by a controller")
        return 2
    from .handover import STAYING, Handover

    wait_until_ready()
    os.umask(0o022)
    enlisting = url.endswith(_ENLIST)
    console = Console(secret="" if enlisting else url.rsplit("/", 1)[-1])
    end = Handover(console)
    if STAYING.exists():
        end.go_on_staying()
    abort = Abort()
    try:
        unmount_leftovers()
        mac = boot_mac(parameters)
        machine = Machine(firmware_type(), mac, identity(), list_disks, partitions, end)
        console.say(f"Metalwright agent {AGENT_VERSION}, booted by {machine.firmware} over {mac or 'an unknown interface'}")
        runner = Runner(machine, Client(url, console, abort), console, abort, abort.sleep)
        if enlisting:
            runner.enlist()
        else:
            runner.job()
    except Exception as error:  # noqa: BLE001 - nobody else is there to see it
        console.say(f"the agent has failed: {type(error).__name__}: {error}; trying again in {REFUSED_PAUSE:.0f} s, by a reboot")
        Abort().sleep(REFUSED_PAUSE)
        end.reboot()
    return 0


if __name__ == "__main__":
    sys.exit(main())
