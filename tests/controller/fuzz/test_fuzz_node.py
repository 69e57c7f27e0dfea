# SPDX-License-Identifier: GPL-3.0-or-later
"""The node plane against what no agent, no cloud-init and no firmware should send, each up to three times, in any order.

Afterwards every page on which people look at it is still there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from amounts import answered, cases
from hostile import SURROGATES, as_bytes, bodies, spoiled, values
from hypothesis import given
from hypothesis import strategies as st
from node_world import MAC, UUID
from scenes import ADDRESSES, FETCHED, MESSAGES, MOMENTS, WORDS, Stage
from werkzeug.test import TestResponse

TARGET = "node plane"
TEMPLATE = re.compile(r"<(?:\w+:)?\w+>")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, secret_key: Any) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("stage"))
    yield made
    made.close()


posts = st.sampled_from(sorted(MESSAGES)).flatmap(
    lambda path: st.tuples(
        st.just(path),
        st.one_of(*[st.sampled_from(MESSAGES[path]).flatmap(spoiled).map(as_bytes)] * 6, values.map(as_bytes), bodies),
        st.sampled_from([1, 1, 2, 3]),
    )
)
queries = st.dictionaries(
    st.sampled_from(["mac", "uuid", "serial", "platform", "arch", "o"]),
    st.sampled_from([MAC, MAC.upper(), UUID, "efi", "pcbios", "\0", "x" * 5000]) | st.text(max_size=20),
    max_size=5,
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Range": st.from_regex(r"bytes=[0-9]{0,19}-[0-9]{0,19}(,0-1)?", fullmatch=True) | st.just("bytes=-0"),
        "If-Range": st.sampled_from(['"x"', "Sat, 29 Oct 1994 19:43:31 GMT", "\xff"]),
        "If-None-Match": st.sampled_from(["*", '"x"', 'W/"', "\xff"]),
    },
)
gets = st.tuples(st.sampled_from(FETCHED), st.sampled_from(WORDS) | st.text(max_size=30), queries, headers)


def check(answer: TestResponse, target: str) -> None:
    answered(target, answer.status_code)
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    if answer.status_code >= 400 and answer.status_code != 416 and answer.request.method != "HEAD":
        assert answer.json is not None and set(answer.json) == {"code", "message", "details", "hint"}, answer.text


def test_all_there_is_on_the_node_plane_is_tried(stage: Stage) -> None:
    known = {re.sub(r"\{\w+\}", "*", path) for path in (*MESSAGES, *FETCHED)}
    served = {
        TEMPLATE.sub("*", rule.rule).replace("/*/*", "/*/vmlinuz" if "boot" in rule.rule else "/*/*") for rule in rules(stage)
    }
    assert served == known


def rules(stage: Stage) -> list[Any]:
    return list(stage.world.app.url_map.iter_rules())


@pytest.mark.parametrize("name", MOMENTS)
def test_whatever_machines_say_the_controller_goes_on(stage: Stage, name: str) -> None:
    @cases(few=4, many=2000)
    @given(said=st.lists(posts, min_size=1, max_size=8), address=st.sampled_from(ADDRESSES))
    def try_it(said: list[tuple[str, bytes, int]], address: str) -> None:
        moment = stage.at(name)
        for path, body, times in said:
            for _ in range(times):
                answer = stage.world.client.post(
                    path.format(token=moment.token, run=moment.run), data=body, environ_overrides={"REMOTE_ADDR": address}
                )
                check(answer, f"{TARGET}, {name}")
        unwell = {page: status for page, status in stage.pages(moment).items() if status != 200}
        assert not unwell

    try_it()


@cases(few=25, many=20_000)
@given(
    name=st.sampled_from(["unknown", "booting", "deploy", "first-boot"]),
    fetched=st.lists(gets, min_size=1, max_size=5),
    method=st.sampled_from(["GET", "GET", "HEAD", "OPTIONS", "DELETE"]),
    address=st.sampled_from(ADDRESSES),
    token=st.none() | SURROGATES,
)
def test_whatever_is_fetched(stage: Stage, name: str, fetched: list[Any], method: str, address: str, token: str | None) -> None:
    moment = stage.at(name)
    for path, word, query, header in fetched:
        shown = moment.token if token is None else token.encode("utf-8", "replace").decode()
        address_of = path.format(token=shown, run=moment.run, word=word)
        answer = stage.world.client.open(
            address_of.split("?")[0],
            method=method,
            query_string=query,
            headers=header,
            environ_overrides={"REMOTE_ADDR": address},
        )
        check(answer, f"{TARGET}, fetched")


@cases(few=20, many=5000)
@given(path=st.sampled_from(sorted(MESSAGES)), body=bodies | values.map(as_bytes), token=st.text(max_size=50))
def test_nobody_without_a_token_is_listened_to(stage: Stage, path: str, body: bytes, token: str) -> None:
    moment = stage.at("commission")
    before = len(stage.world.events())
    answer = stage.world.client.post(
        path.format(token=token.replace("/", "") or "x", run=moment.run).split("?")[0],
        data=body,
        environ_overrides={"REMOTE_ADDR": "192.0.2.1"},
    )
    answered(f"{TARGET}, no token", answer.status_code)
    assert answer.status_code == 404
    assert len(stage.world.events()) == before
