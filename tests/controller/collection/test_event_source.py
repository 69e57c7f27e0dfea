# SPDX-License-Identifier: GPL-3.0-or-later
"""The event source for ansible-rulebook, against a real controller: nothing is lost, whatever is restarted in between."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from collection.rack import Rack

from metalwright.store.events import record

CHECKOUT = Path(__file__).resolve().parents[3]
SOURCE = CHECKOUT / "extensions/eda/plugins/event_source/events.py"


def _loaded() -> Any:
    spec = importlib.util.spec_from_file_location("events", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


events = _loaded()


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    with Rack(tmp_path / "controller") as rack:
        yield rack


@pytest.fixture
def args(rack: Rack, tmp_path: Path) -> dict[str, Any]:
    return {
        "url": rack.url,
        "token": rack.token,
        "kind": ["test.one", "test.two"],
        "cursor_file": str(tmp_path / "cursor"),
        "after": 0,
        "wait": 1,
    }


def happen(rack: Rack, kind: str, *messages: str) -> None:
    with rack.store.write() as session:
        for message in messages:
            record(session, kind, message)


async def take(args: dict[str, Any], last: str, *, done_with: bool = False) -> list[str]:
    """Run the source as ansible-rulebook does, in a task, with a queue that has room for one; end it after an event.

    ``done_with``: only when the source has noted that this was dealt with.
    """
    queue: asyncio.Queue[Any] = asyncio.Queue(1)
    source = asyncio.create_task(events.main(queue, args))
    taken: list[str] = []
    try:
        while taken[-1:] != [last]:
            getting = asyncio.create_task(queue.get())
            done, _ = await asyncio.wait({getting, source}, return_when=asyncio.FIRST_COMPLETED, timeout=30)
            if source in done:
                getting.cancel()
                source.result()
            event = getting.result()
            taken.append(event["message"])
        while done_with and Path(args["cursor_file"]).read_text() != f"{event['id']}\n":
            await asyncio.wait_for(asyncio.sleep(0.05), 30)
    finally:
        source.cancel()
        await asyncio.gather(source, return_exceptions=True)
    return taken


def test_it_goes_on_where_it_was(rack: Rack, args: dict[str, Any]) -> None:
    happen(rack, "test.one", "a", "b")
    happen(rack, "test.other", "not asked for")
    happen(rack, "test.two", "c")
    assert asyncio.run(take(args, "b")) == ["a", "b"]
    again = asyncio.run(take(args, "c"))  # what was being worked on comes again, and nothing is missing
    assert again in (["b", "c"], ["a", "b", "c"])
    assert asyncio.run(take(args, "c", done_with=True))[-1] == "c"
    happen(rack, "test.one", "d")
    assert asyncio.run(take(args, "d")) == ["d"]


def test_it_begins_with_what_happens_from_now_on(rack: Rack, args: dict[str, Any]) -> None:
    happen(rack, "test.one", "long ago")

    async def later() -> list[str]:
        taking = asyncio.create_task(take({**args, "after": "latest", "cursor_file": None}, "now"))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(happen, rack, "test.one", "now")
        return await taking

    assert asyncio.run(later()) == ["now"]


def test_a_controller_that_is_away_is_asked_again(rack: Rack, args: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    happen(rack, "test.one", "a")
    away, asked = [OSError("connection refused"), TimeoutError(), ValueError("no JSON")], events.Source.ask

    def ask(source: Any) -> Any:
        if away:
            raise away.pop()
        return asked(source)

    monkeypatch.setattr(events.Source, "ask", ask)
    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.extend([seconds] if seconds else [])
        await real(0)

    monkeypatch.setattr(events.asyncio, "sleep", sleep)
    assert asyncio.run(take(args, "a")) == ["a"]
    assert pauses == [1.0, 2.0, 4.0]


def test_what_can_not_get_better_ends_it_with_a_message(args: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"answered 401: .*token"):
        asyncio.run(take({**args, "token": "wrong"}, "a"))
    Path(args["cursor_file"]).write_text("nonsense")
    with pytest.raises(ValueError, match="holds no cursor"):
        asyncio.run(take(args, "a"))


def test_a_certificate_that_nobody_vouches_for_is_refused(args: dict[str, Any], tmp_path: Path) -> None:
    """Verified by a TLS server of openssl with a certificate of its own."""
    pem = tmp_path / "self.pem"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run([*make, "-keyout", str(pem) + ".key", "-out", str(pem)], check=True, capture_output=True)
    serve = ["openssl", "s_server", "-accept", str(port), "-cert", str(pem), "-key", str(pem) + ".key", "-quiet"]
    with subprocess.Popen(serve, stdin=subprocess.PIPE) as server:
        try:
            events_source = {**args, "url": f"https://localhost:{port}"}
            with pytest.raises(RuntimeError, match="is not trusted: self-signed certificate"):
                asyncio.run(_until_it_listens(events_source))
        finally:
            server.kill()


async def _until_it_listens(args: dict[str, Any]) -> None:
    await asyncio.wait_for(events.main(asyncio.Queue(1), args), 30)


def test_the_rulebook_and_the_artefact_hold_together() -> None:
    rulebook = yaml.safe_load((CHECKOUT / "extensions/eda/rulebooks/mend.yml").read_text())
    assert "metalwright.fleet.events" in rulebook[0]["sources"][0]
    named = rulebook[0]["rules"][0]["action"]["run_playbook"]["name"]
    assert (CHECKOUT / f"playbooks/{named.rpartition('.')[2]}.yml").exists()
    extensions = yaml.safe_load((CHECKOUT / "meta/extensions.yml").read_text())["extensions"]
    assert (CHECKOUT / "extensions" / extensions[0]["args"]["ext_dir"] / "events.py") == SOURCE
