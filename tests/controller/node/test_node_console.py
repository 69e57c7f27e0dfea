# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of what an agent prints is kept with its operation, each character once."""

from __future__ import annotations

from typing import Any

import pytest
from node_world import World

from metalwright.store.models import ConsoleLog


@pytest.fixture
def token(world: World) -> str:
    world.start(world.machine(), "test", scripts=[])
    token = world.token()
    world.hello(token)
    return token


def printed(world: World, token: str, offset: Any, text: Any) -> Any:
    return world.post(f"/agent/{token}/console", {"offset": offset, "text": text}).json


def kept(world: World) -> str:
    with world.store.session() as session:
        log = session.query(ConsoleLog).one()
    assert log.source == "agent"
    return log.text


def test_pieces_are_put_together(world: World, token: str) -> None:
    assert printed(world, token, 0, "one\n") == {"next": 4}
    assert printed(world, token, 4, "two\n") == {"next": 8}
    assert kept(world) == "one\ntwo\n"


def test_what_comes_twice_is_kept_once(world: World, token: str) -> None:
    printed(world, token, 0, "one\n")
    assert printed(world, token, 0, "one\n") == {"next": 4}
    assert printed(world, token, 0, "one\ntwo\n") == {"next": 8}
    assert printed(world, token, 2, "") == {"next": 8}
    assert kept(world) == "one\ntwo\n"


def test_a_gap_is_said(world: World, token: str) -> None:
    printed(world, token, 0, "one\n")
    assert printed(world, token, 100, "two\n") == {"next": 104}
    assert kept(world) == "one\n\n[96 characters are missing]\ntwo\n"


def test_an_agent_that_starts_again_begins_again(world: World, token: str) -> None:
    printed(world, token, 0, "first\n")
    token = world.token()
    world.hello(token)
    assert printed(world, token, 0, "second\n") == {"next": 7}
    assert kept(world) == "first\n\n[the agent started again]\nsecond\n"


def test_only_the_end_is_kept_and_nothing_that_steers_a_terminal(world: World, token: str) -> None:
    for number in range(5):
        printed(world, token, number * 30_000, "x" * 29_999 + "\n")
    assert printed(world, token, 150_000, "\x1b]0;title\x07\x00end\n") == {"next": 150_015}
    assert len(kept(world)) == 64 << 10
    assert kept(world).endswith("x\n]0;titleend\n")


@pytest.mark.parametrize(("offset", "text"), [(-1, "x"), (1 << 60, "x"), ("a", "x"), (0, None), (0, 7)])
def test_a_piece_out_of_shape_is_refused(world: World, token: str, offset: Any, text: Any) -> None:
    assert printed(world, token, offset, text)["code"] == "invalid_body"


def test_a_piece_far_ahead_is_refused_and_the_next_is_taken(world: World, token: str) -> None:
    printed(world, token, 0, "one\n")
    assert printed(world, token, 4 + (1 << 20) + 1, "lost\n")["code"] == "console_offset"
    assert printed(world, token, 4, "two\n") == {"next": 8}
    assert kept(world) == "one\ntwo\n"
    assert printed(world, token, 8 + (1 << 20), "far\n") == {"next": 12 + (1 << 20)}


def test_characters_that_are_not_shown_count_when_a_piece_comes_twice(world: World, token: str) -> None:
    printed(world, token, 0, "\x1b\x1bone\n")
    assert printed(world, token, 0, "\x1b\x1bone\n\x07two\n") == {"next": 11}
    assert kept(world) == "one\ntwo\n"


def test_after_the_end_nothing_is_taken(world: World, token: str) -> None:
    world.done(token)
    assert printed(world, token, 0, "x")["code"] == "not_found"


def test_a_token_is_shown_to_nobody(world: World, token: str) -> None:
    path = f"http://10.77.0.1:5248/files/{token}/image"
    printed(world, token, 0, f"curl {path[:40]}")
    printed(world, token, len(f"curl {path[:40]}"), f"{path[40:]}\nwell\n")
    printed(world, token, len(f"curl {path}\nwell\n"), "two\n")
    assert kept(world) == "curl http://10.77.0.1:5248/files/***/image\nwell\ntwo\n"
    failure = {"code": "agent_error", "message": f"{path}: HTTP 404"}
    world.post(f"/agent/{token}/step", {"step": "scripts", "status": "failed", "error": failure, "log_tail": f"GET {path}\n"})
    said = str([(event.message, event.data) for event in world.events()])
    assert "/files/***/image: HTTP 404" in said and token not in said
