# SPDX-License-Identifier: GPL-3.0-or-later
"""How often the calls that a thousand machines make at once go to the database: each statement more is felt by all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from node_world import ADDRESS, World
from sqlalchemy import event


@contextmanager
def statements(world: World) -> Iterator[list[str]]:
    """What the database is asked while the block runs, without the beginnings of transactions."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            asked.append(statement)

    event.listen(world.store.engine, "before_cursor_execute", note)
    yield asked
    event.remove(world.store.engine, "before_cursor_execute", note)


@pytest.fixture
def token(world: World) -> str:
    world.image()
    world.start(world.machine(), "deploy")
    token = world.token()
    assert world.hello(token).status_code == 200
    return token


@pytest.mark.parametrize(
    ("most", "call"),
    [
        (5, lambda world, token: world.post(f"/agent/{token}/step", {"step": "write", "status": "started"})),
        (4, lambda world, token: world.post(f"/agent/{token}/progress", {"step": "write", "percent": 3})),
        (4, lambda world, token: world.post(f"/agent/{token}/console", {"offset": 0, "text": "hello\n"})),
        (4, lambda world, token: world.get("/boot/start.ipxe", ADDRESS)),
        (1, lambda world, token: world.post("/agent/nobodys-token/progress", {"step": "write"})),
    ],
)
def test_calls_ask_the_database_for_little(world: World, token: str, most: int, call: Callable[[World, str], object]) -> None:
    with statements(world) as asked:
        call(world, token)
    assert 0 < len(asked) <= most, "\n".join(asked)


def test_a_heartbeat_that_comes_at_once_again_is_only_recognised(world: World, token: str) -> None:
    world.post(f"/agent/{token}/progress", {"step": "write", "percent": 3})
    with statements(world) as asked:
        world.post(f"/agent/{token}/progress", {"step": "write", "percent": 4})
    assert len(asked) == 1, "\n".join(asked)
