# SPDX-License-Identifier: GPL-3.0-or-later
"""Where AppArmor confines Kea and BIND to directories of their own, the tests run copies of them that it does not know."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from metalwright.network.engines import software

_ENABLED = Path("/sys/module/apparmor/parameters/enabled")
_CONFINED = ("kea-dhcp4", "kea-dhcp6", "named")


@pytest.fixture(scope="session", autouse=True)
def unconfined(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs are looked for on PATH first."""
    if not _ENABLED.exists() or _ENABLED.read_text().strip() != "Y":
        yield
        return
    copies = tmp_path_factory.mktemp("programs")
    for name in _CONFINED:
        shutil.copy(software.program(name), copies / name)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{copies}:{os.environ['PATH']}")
        yield
