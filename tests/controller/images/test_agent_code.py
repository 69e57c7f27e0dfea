# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's code as an initrd: the same bytes every time, and an archive others can read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from metalwright.images import agent_code
from metalwright.images.newc import NewcWriter


def unpack(archive: bytes, directory: Path) -> dict[str, bytes]:
    directory.mkdir()
    subprocess.run(["cpio", "-idm", "--quiet"], input=archive, cwd=directory, check=True)
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_archive_holds_the_agent_and_nothing_else(tmp_path: Path) -> None:
    source = Path(agent_code.__file__).parent.parent / "agent"
    files = unpack(agent_code.cpio(), tmp_path / "out")
    assert files["metalwright-agent/__main__.py"] == (source / "__main__.py").read_bytes()
    assert "metalwright-agent/inventory.schema.json" in files
    assert {Path(name).suffix for name in files} == {".py", ".json"}


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    archives = []
    for name, names in (("one", ("a.py", "b.py", "sub/c.py")), ("two", ("sub/c.py", "b.py", "a.py"))):
        directory = tmp_path / name
        (directory / "sub").mkdir(parents=True)
        for number, file in enumerate(names):
            (directory / file).write_text(f"# {file}\n")
            os.utime(directory / file, (number, number))
        (directory / "__pycache__").mkdir()
        (directory / "__pycache__/a.py").write_text(name)
        archives.append(agent_code.cpio(directory))
    assert archives[0] == archives[1]
    assert len(archives[0]) % 512 == 0


def test_an_empty_agent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        agent_code.cpio(tmp_path)


def test_archives_can_follow_each_other(tmp_path: Path) -> None:
    """As boot loaders put them together; the kernel skips the zeros between."""
    first = tmp_path / "first"
    with first.open("wb") as out:
        archive = NewcWriter(out)
        archive.directory("bin")
        archive.data("bin/tool", b"#!/bin/sh\n", mode=0o755)
        archive.symlink("bin/sh", "tool")
        archive.close()
    size = first.stat().st_size
    assert size % 512 == 0
    out = tmp_path / "out"
    unpack(first.read_bytes(), out)
    assert (out / "bin/sh").readlink() == Path("tool")
    assert (out / "bin/tool").stat().st_mode & 0o777 == 0o755
