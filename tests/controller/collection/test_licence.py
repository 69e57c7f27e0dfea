# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file says whose it is, in itself or in ``REUSE.toml`` (REUSE 3.3)."""

from __future__ import annotations

import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
TAG = b"SPDX-License-Identifier: GPL-3.0-or-later"


def test_everything_says_whose_it_is() -> None:
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"]
    told = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True, text=True).stdout
    files = {file: CHECKOUT / file for file in told.split("\0") if file and (CHECKOUT / file).is_file()}
    silent = {name for name, file in files.items() if file.stat().st_size and TAG not in file.read_bytes()[:1024]}
    (annotated,) = tomllib.loads((CHECKOUT / "REUSE.toml").read_text())["annotations"]
    assert annotated["SPDX-License-Identifier"] == "GPL-3.0-or-later"
    assert {name for name in silent if not any(fnmatch(name, pattern) for pattern in annotated["path"])} == set()
    assert [
        pattern for pattern in annotated["path"] if not any(fnmatch(name, pattern) for name in (*files, "CHANGELOG.md"))
    ] == []
