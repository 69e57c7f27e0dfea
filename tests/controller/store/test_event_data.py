# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is recorded can be stored by every database and read as JSON by everybody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from metalwright.store import Store
from metalwright.store.events import as_dict, record
from metalwright.store.models import Event


@pytest.fixture(params=["store", "postgres_store"])
def either(request: Any) -> Store:
    found: Store = request.getfixturevalue(request.param)
    return found


def test_what_is_no_json_is_taken_out_of_an_event(either: Store) -> None:
    data = {
        "te\0xt\ud800": "a\ud800b\0c \N{SNOWMAN}",
        "rates": [float("inf"), float("-inf"), float("nan"), 1.5, (2, True)],
        "in": {"it": "\udcff", "count": 7, "none": None},
    }
    with either.write() as session:
        record(session, "test", "one\0two\udfff", data=data)
    with either.session() as session:
        shown = as_dict(session.scalars(select(Event)).one())
    assert shown["message"] == "onetwo"
    assert shown["data"] == {
        "text": "abc \N{SNOWMAN}",
        "rates": [None, None, None, 1.5, [2, True]],
        "in": {"it": "", "count": 7, "none": None},
    }
    assert json.dumps(shown, ensure_ascii=False, allow_nan=False).encode()
