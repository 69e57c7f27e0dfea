# SPDX-License-Identifier: GPL-3.0-or-later
"""The last thing the agent does: give the machine to the installed system, or switch it off.

kexec starts the installed kernel at once, without the firmware's minutes of self-test. It is a shortcut and nothing more:
whatever looks unusual about the installed system leads to a plain reboot, where the firmware and its loader know better.
"""

from __future__ import annotations

import os
import shlex
import threading
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

from .abort import Abort
from .bootloader import network_next
from .children import run
from .console import Console
from .errors import CommandFailed, StepFailed
from .partitions import probe
from .target import mounted, resolve, root_mounted

_GRUB_CONFIGS = ("grub/grub.cfg", "grub2/grub.cfg")
_BOOT_FILESYSTEMS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "vfat")
_SYSRQ = {"reboot": "b", "poweroff": "o"}
_GIVE_UP_AFTER = 30.0
PANIC_SECONDS = 15
STAYING = Path("/run/metalwright-staying")
"""Holds what was printed for people who log in; an agent that is started beside it has nothing to do but to wait."""


class Kernel(NamedTuple):
    """What the installed system's boot loader would start by itself. Paths are the loader's: of the file system it is on."""

    image: str
    initrd: str
    command_line: str


class Handover:
    """Ends the agent's work on the machine. Its methods do not return, except ``load`` (which can fail without harm)."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def load(self, devices: list[Path]) -> bool:
        """Put the kernel installed on these partitions into place for ``kexec``; return False when it can not be, and say why."""
        abort = Abort()
        try:
            partitions = probe(devices, abort)
            with root_mounted(partitions, abort) as (root_partition, root):
                if (found := _default_entry(root, root / "boot")) is not None:
                    self._load(root, found, abort)
                    return True
                for other in partitions:
                    if other is root_partition or other.filesystem not in _BOOT_FILESYSTEMS:
                        continue
                    with mounted(other, abort) as boot:
                        if (found := _default_entry(boot, boot)) is not None:
                            self._load(boot, found, abort)
                            return True
        except (CommandFailed, StepFailed, OSError, ValueError) as error:
            self._console.say(f"kexec is not possible: {error}")
            return False
        self._console.say("kexec is not possible: no boot entry of the installed system is plain enough")
        return False

    def _load(self, root: Path, kernel: Kernel, abort: Abort) -> None:
        image, initrd = resolve(root, kernel.image), resolve(root, kernel.initrd)
        # A kernel that panics right after kexec (interrupt controllers are not always left as it expects them) restarts the
        # machine, whose firmware then boots the same disk.
        line = kernel.command_line if "panic=" in kernel.command_line else f"{kernel.command_line} panic={PANIC_SECONDS}"
        self._console.say(f"kexec: {kernel.image} {line}")
        rest = [str(image), f"--initrd={initrd}", f"--command-line={line}"]
        try:
            run(["kexec", "--kexec-file-syscall", "--load", *rest], abort)
        except CommandFailed:
            run(["kexec", "--load", *rest], abort)

    def kexec(self) -> NoReturn:
        """Start the kernel that was loaded; reboot if the machine refuses."""
        _write_out()
        self._console.say("starting the installed system")
        try:
            run(["kexec", "--exec"], Abort())
            time.sleep(_GIVE_UP_AFTER)
        except CommandFailed as error:
            self._console.say(f"{error}")
        self.reboot()

    def reboot(self) -> NoReturn:
        """Reboot through the firmware."""
        self._console.say("rebooting")
        self._end("reboot")

    def restart(self, firmware: str) -> NoReturn:
        """Reboot, and come back: from the network, also where the disk stands before it in the firmware's order."""
        by = network_next(firmware, Abort())
        self._console.say(
            f"the next boot is from the network, by {by}" if by else "the firmware's boot order decides what is next"
        )
        self.reboot()

    def power_off(self) -> NoReturn:
        """Switch the machine off."""
        self._console.say("switching off")
        self._end("poweroff")

    def stay(self, login: list[str]) -> NoReturn:
        """Leave the machine as it is, for people who log in; ``login`` tells them how, in lines."""
        STAYING.write_text("".join(f"{line}\n" for line in login), encoding="utf-8")
        self.go_on_staying()

    def go_on_staying(self) -> NoReturn:
        """Print the lines of ``STAYING`` and do nothing more, for ever."""
        for line in STAYING.read_text(encoding="utf-8").splitlines():
            self._console.say(line)
        while True:
            time.sleep(_GIVE_UP_AFTER)

    def _end(self, program: str) -> NoReturn:
        _write_out()
        try:
            run([program, "-n", "-f"], Abort())  # -n: no second sync
            time.sleep(_GIVE_UP_AFTER)
        except CommandFailed as error:
            self._console.say(f"{error}")
        while True:  # there is nothing else left to do on this machine
            Path("/proc/sysrq-trigger").write_text(_SYSRQ[program], encoding="ascii")
            time.sleep(_GIVE_UP_AFTER)


def _write_out() -> None:
    """See everything on its disk, but do not wait for one that has died: then the machine would stay on for ever."""
    syncing = threading.Thread(target=os.sync, daemon=True)
    syncing.start()
    syncing.join(_GIVE_UP_AFTER)


def _default_entry(filesystem: Path, boot: Path) -> Kernel | None:
    """Return the entry that starts by default, from GRUB's configuration or from entries of the Boot Loader Specification."""
    environment = _grub_environment(boot)
    for name in _GRUB_CONFIGS:
        if (boot / name).is_file():
            found = from_grub((boot / name).read_text(encoding="utf-8", errors="replace"), environment)
            if found is not None:
                return found if _exists(filesystem, found) else None
    entries = sorted((boot / "loader/entries").glob("*.conf"), reverse=True)  # the newest version sorts first
    for path in entries:
        if "rescue" in path.name:
            continue
        found = from_loader_entry(path.read_text(encoding="utf-8", errors="replace"), environment)
        return found if found is not None and _exists(filesystem, found) else None
    return None


def from_grub(text: str, environment: dict[str, str]) -> Kernel | None:
    """Return the first entry of a ``grub.cfg``; None when it has none, or one that needs more than GRUB's plain words."""
    image = command_line = None
    for line in text.splitlines():
        if not line.strip().startswith(("linux", "initrd", "}")):  # most lines; taking them apart by GRUB's rules is slow
            continue
        words = _words(line)
        if not words:
            continue
        if words[0] in ("linux", "linux16", "linuxefi") and len(words) > 1 and image is None:
            image, command_line = words[1], plain(words[2:], environment)
        elif words[0] in ("initrd", "initrd16", "initrdefi") and image is not None:
            if command_line is None or len(words) != 2 or "$" in image + words[1]:
                return None
            return Kernel(image, words[1], command_line)
        elif words[0] == "}" and image is not None:
            return None  # an entry without an initrd
    return None


def from_loader_entry(text: str, environment: dict[str, str]) -> Kernel | None:
    """Return an entry of the Boot Loader Specification (type 1); None when it needs more than plain words."""
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            fields.setdefault(words[0], []).extend(words[1:])
    initrds = [word for word in fields.get("initrd", []) if word != "$tuned_initrd"]
    command_line = plain(fields.get("options", []), environment)
    if command_line is None or len(fields.get("linux", [])) != 1 or len(initrds) != 1:
        return None
    return Kernel(fields["linux"][0], initrds[0], command_line)


def plain(words: list[str], environment: dict[str, str]) -> str | None:
    """Return a kernel's command line with GRUB's variables filled in from its environment block; unknown ones are empty.

    None when a variable is part of a word (only GRUB knows it) or no ``root=`` is left (the kernel would not find its root).
    """
    filled = []
    for word in words:
        if word.startswith("$"):
            filled += environment.get(word[1:].strip("{}"), "").split()
        elif "$" in word:
            return None
        else:
            filled.append(word)
    return " ".join(filled) if any(word.startswith("root=") for word in filled) else None


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quotation over several lines: nothing we look for
        return []


def _grub_environment(boot: Path) -> dict[str, str]:
    for name in ("grub/grubenv", "grub2/grubenv"):
        path = boot / name
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {}


def _exists(filesystem: Path, kernel: Kernel) -> bool:
    return all(resolve(filesystem, path).is_file() for path in (kernel.image, kernel.initrd))
