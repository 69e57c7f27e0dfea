# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole lab for the end-to-end tests, removed at their end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_under_test import LabUnderTest


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabUnderTest]:
    under_test = LabUnderTest("e2e", tmp_path_factory.mktemp("e2e"))
    under_test.down()
    try:
        under_test.up()
        yield under_test
    finally:
        under_test.down()
