# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the written image this machine's own: the NoCloud seed, the job's files, and a way for the firmware to find it.

A local seed and not the HTTP one: it is there before the network is, so that the network can be configured by it
(cloud-init, NoCloud data source).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .bootloader import install
from .children import run
from .disks import Disk
from .errors import CommandFailed, Refused, StepFailed
from .partitions import has_gpt, probe, reread
from .target import make_directory, put_file, put_link, root_mounted
from .work import Work

SEED_NAMES = ("meta-data", "user-data", "vendor-data", "network-config")
SEED = "/var/lib/cloud/seed/nocloud"
_CLOUD_INIT = ("usr/bin/cloud-init", "bin/cloud-init", "etc/cloud/cloud.cfg")


def configure(step: Mapping[str, Any], work: Work, disk: Disk) -> dict[str, Any]:
    """Configure the system on ``disk``; the result says where its root is and, on UEFI, which boot entry was made.

    Raises ``StepFailed``: ``no_root_filesystem``, ``no_bootloader``, ``seed_failed``, ``write_failed``.
    """
    work.report("configure", 0, "fetching the seed")
    base = str(step["seed_url"]).rstrip("/")
    seed = {name: _fetch(work, f"{base}/{name}") for name in SEED_NAMES}
    work.report("configure", 30, f"looking into {disk.path}")
    _end_gpt_at_the_end(disk, work)
    found = probe(work.partitions(disk) or [Path(disk.path)], work.abort)
    with root_mounted(found, work.abort, writable=True) as (partition, root):
        work.console.say(f"configure: the root file system is {partition.path} ({partition.filesystem})")
        if not any(os.path.lexists(root / name) for name in _CLOUD_INIT):
            raise StepFailed("seed_failed", "the image has no cloud-init: nothing in it would read the seed")
        try:
            _plant(root, seed)
            for entry in step.get("files") or []:
                _put(root, entry)
        except OSError as error:
            raise StepFailed(
                "seed_failed", f"can not write into the installed system: {error.strerror}: {error.filename}"
            ) from error
    work.report("configure", 70, "boot loader")
    entry_number = install(disk, found, str(step.get("efi_label") or "metalwright"), work)
    os.sync()
    return {"root": str(partition.path), "efi_entry": entry_number}


def _fetch(work: Work, url: str) -> bytes:
    try:
        return work.client.get(url)
    except Refused as error:
        raise StepFailed("seed_failed", f"{url}: HTTP {error.status}: {error.message}") from error


def _end_gpt_at_the_end(disk: Disk, work: Work) -> None:
    """Move the GPT's copy from the image's end to the disk's: otherwise the disk's rest is out of bounds and nothing grows."""
    try:
        if has_gpt(disk):
            run(["sgdisk", "--move-second-header", disk.path], work.abort)
            reread(disk, work.abort)
    except (CommandFailed, OSError) as error:
        raise StepFailed("write_failed", f"the partition table of {disk.path} can not be extended: {error}") from error


def _plant(root: Path, seed: Mapping[str, bytes]) -> None:
    # 0700 and 0600: user-data holds secrets, and nobody but cloud-init (root) has to read it.
    directory = make_directory(root, SEED, 0o700)
    directory.chmod(0o700)
    for name, content in seed.items():
        put_file(root, f"{SEED}/{name}", content, 0o600)


def _put(root: Path, entry: Mapping[str, Any]) -> None:
    """Put one of the job's files: ``{"path", "content", "mode"}`` or ``{"path", "symlink_to"}``; the mode is octal digits."""
    try:
        path = str(entry["path"])
        if "symlink_to" in entry:
            put_link(root, path, str(entry["symlink_to"]))
            return
        mode = entry.get("mode", "0644")
        put_file(root, path, str(entry["content"]).encode(), int(mode, 8) if isinstance(mode, str) else int(mode))
    except (KeyError, ValueError) as error:
        raise StepFailed("seed_failed", f"the job has a file that makes no sense ({entry.get('path')!r}): {error}") from error
