# SPDX-License-Identifier: GPL-3.0-or-later
"""A node plane for each test. What it is made of is in ``node_world``: a module of that name is only here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from node_world import BUILD, SHA, URL, Clock, World

from metalwright.config import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a controller that runs dnsmasq itself."""
    agent = tmp_path / "boot" / "agent"
    (agent / BUILD).mkdir(parents=True)
    (agent / "current").symlink_to(BUILD)
    (agent / BUILD / "vmlinuz").write_bytes(b"kernel")
    (agent / BUILD / "initrd.img").write_bytes(b"root")
    (tmp_path / "boot" / "loaders").mkdir()
    (tmp_path / "boot" / "loaders" / "snponly.efi").write_bytes(b"MZ loader")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / f"{SHA}.raw.zst").write_bytes(b"0123456789")
    return Settings.model_validate(
        {
            "data_dir": tmp_path,
            "node": {"url": URL},
            "dhcp": {"engine": "dnsmasq", "interface": "br0"},
            "limits": {"enlist_per_minute": 3},
        }
    )


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    """A node plane, empty but for its files."""
    made = World(settings, Clock())
    yield made
    made.store.engine.dispose()
