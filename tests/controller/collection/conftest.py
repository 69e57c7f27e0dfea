# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Ansible finds the collection of this checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for ``ANSIBLE_COLLECTIONS_PATH``."""
    place = tmp_path_factory.mktemp("collections")
    (place / "ansible_collections/metalwright").mkdir(parents=True)
    (place / "ansible_collections/metalwright/fleet").symlink_to(CHECKOUT)
    return place
