# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's Python code as a second, small initrd.

It is not part of the agent's root file system: the controller serves what is installed beside it, so the agent that runs on
a machine always speaks the protocol of the controller it was started by.
"""

from __future__ import annotations

import io
from pathlib import Path

from metalwright.images.newc import NewcWriter

ROOT = "metalwright-agent"
"""Directory of the package inside the archive; the agent's init moves it to ``/opt/metalwright/metalwright_agent``."""

_SUFFIXES = {".py", ".json"}


def cpio(agent_dir: Path | None = None) -> bytes:
    """Return a newc archive of the ``*.py`` and ``*.json`` files of ``agent_dir``, below ``ROOT``.

    ``agent_dir`` is by default the agent that is installed with the controller. The same files give the same bytes.
    Raises ``FileNotFoundError`` when there are none.
    """
    source = agent_dir or Path(__file__).parent.parent / "agent"
    paths = sorted(path for path in source.rglob("*") if path.suffix in _SUFFIXES and "__pycache__" not in path.parts)
    if not paths:
        raise FileNotFoundError(source)
    out = io.BytesIO()
    archive = NewcWriter(out)
    made: set[str] = set()
    for path in paths:
        name = f"{ROOT}/{path.relative_to(source).as_posix()}"
        parents = name.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            directory = "/".join(parents[:depth])
            if directory not in made:
                made.add(directory)
                archive.directory(directory)
        archive.data(name, path.read_bytes())
    archive.close()
    return out.getvalue()
