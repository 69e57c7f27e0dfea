# SPDX-License-Identifier: GPL-3.0-or-later
"""The iPXE scripts, as text (https://ipxe.org/scripting).

They keep to commands of iPXE 1.0.0 (2019), which Debian ships. A script that ends with ``exit 1`` makes the firmware try its
next boot entry; ``exit 0`` would leave UEFI in its setup menu, waiting for a person.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

TRIES = 10
"""How often a script asks again before the machine goes on with its next boot entry."""
PAUSE = 3
"""Seconds between two tries."""

WAIT = 10
"""Seconds after which one that waits for its turn asks again."""

_ASK = "mac=${netX/mac}&uuid=${uuid}&serial=${serial:uristring}&platform=${platform}&arch=${buildarch}"
_DRIVES = ("0x80", "0x81", "0x82", "0x83")
_UNPRINTABLE = re.compile(r"[^A-Za-z0-9 ._:/,()+-]")


def start(url: str) -> str:
    """The script that iPXE is sent to first, the same for every machine: says who it is and runs what it is answered.

    The answer is fetched and run in two commands. ``chain URL || goto retry`` would take the answer's own ``exit 1`` for a
    failure of the network and ask again for ever. A controller that is down does not keep a machine from its disk.
    """
    return _script(
        "echo Metalwright: asking what to do (${netX/mac})",
        "set tries:int32 0",
        ":load",
        f"imgfetch --name answer {url}/boot/ipxe?{_ASK} && goto run ||",
        *_again("the controller does not answer"),
        ":run",
        "imgexec --replace answer || exit 1",
    )


def wait(url: str, *notes: str) -> str:
    """Ask again in a while. The answer takes this script's place; it has no name, for the first of a name is what iPXE runs."""
    return _script(
        *_echo(notes),
        "set tries:int32 0",
        ":load",
        f"sleep {WAIT}",
        f"chain --replace {url}/boot/ipxe?{_ASK} ||",
        *_again("the controller does not answer"),
    )


def local(platform: str, url: str, *notes: str) -> str:
    """Boot from the machine's own disk.

    BIOS: the first drive that boots. UEFI: ``sanboot`` does not reach the disk there, and a bare ``exit 1`` makes firmware try
    its IPv6 and HTTP entries first, minutes each; so a small GRUB looks for the disk's own loader and starts it.
    """
    if platform == "efi":
        boot = [f"chain {url}/boot/loaders/local-boot.efi || exit 1"]
    else:
        boot = [" || ".join([*(f"sanboot --no-describe --drive {drive}" for drive in _DRIVES), "exit 1"])]
    return _script(*_echo(notes), "echo Metalwright: booting from the local disk", *boot, "exit 1")


def agent(platform: str, kernel: str, initrds: Sequence[tuple[str, str]], arguments: str, *notes: str) -> str:
    """Load and start the agent. ``initrds`` are names and URLs, in the order in which they are laid over each other.

    Under UEFI the kernel's stub reads the files that ``initrd=`` names; under BIOS iPXE hands them over itself.
    """
    named = "".join(f" initrd={name}" for name, _ in initrds) if platform == "efi" else ""
    return _script(
        *_echo(notes),
        "set tries:int32 0",
        ":load",
        "imgfree",
        f"kernel --name vmlinuz {kernel} {arguments}{named} || goto failed",
        *(f"initrd --name {name} {url} || goto failed" for name, url in initrds),
        "boot || goto failed",
        ":failed",
        *_again("the agent could not be started"),
    )


def _again(why: str) -> list[str]:
    """Wait and go to ``load``, at most ``TRIES`` times, then leave iPXE."""
    return [
        "inc tries",
        f"iseq ${{tries}} {TRIES} && goto give_up ||",
        f"echo Metalwright: {why}, trying again in {PAUSE} s",
        f"sleep {PAUSE}",
        "goto load",
        ":give_up",
        f"echo Metalwright: {why}, going on with the next boot entry",
        "exit 1",
    ]


def _echo(notes: Sequence[str]) -> list[str]:
    return [f"echo Metalwright: {_UNPRINTABLE.sub(' ', note)}" for note in notes]


def _script(*lines: str) -> str:
    return "\n".join(["#!ipxe", *lines, ""])
