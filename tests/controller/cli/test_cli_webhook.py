# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright webhook`` against a real controller and a real server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_controller import RunningController

sys.path.append(str(Path(__file__).parent.parent / "webhooks"))
from receiver import Receiver, signed_by


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def test_a_webhook_is_set_changed_tested_and_deleted(controller: RunningController, receiver: Receiver, tmp_path: Path) -> None:
    refused = controller.cli("webhook", "set", "chat", "--event", "webhook.*")
    assert (refused.returncode, refused.stderr.splitlines()[1]) == (3, "hint: Name its --url to add it.")
    added = controller.cli("webhook", "set", "chat", "--url", receiver.url, "--event", "webhook.*", "--event", "token.*")
    assert added.stdout.startswith("chat: set\nsecret, shown this once: ")
    secret = added.stdout.split()[-1]
    receiver.wait_for(1)
    assert receiver.deliveries[0].event["kind"] == "webhook.created"
    assert signed_by(receiver.deliveries[0], secret, tmp_path)
    assert controller.cli("webhook", "set", "chat", "--event", "webhook.*", "--event", "token.*").stdout == "chat: unchanged\n"
    mine = tmp_path / "secret"
    mine.write_text("a secret of my own\n")
    assert controller.cli("webhook", "set", "chat", "--secret-file", str(mine), "--disable").stdout == "chat: set\n"
    tested = controller.cli("webhook", "test", "chat")
    assert tested.stdout.startswith("chat: delivered, the server answered 200 in ")
    assert signed_by(receiver.deliveries[-1], "a secret of my own", tmp_path)
    (listed,) = controller.json("webhook", "list")
    assert (listed["events"], listed["enabled"]) == (["webhook.*", "token.*"], False)
    assert "disabled" in controller.cli("webhook", "list").stdout
    assert controller.json("webhook", "set", "chat", "--all-events")["events"] == []
    assert controller.cli("webhook", "delete", "chat", "--yes").stdout == "chat: deleted\n"
    assert controller.cli("webhook", "test", "chat").returncode == 3


def test_a_server_that_does_not_answer_is_told_of(controller: RunningController, receiver: Receiver) -> None:
    receiver.stop()
    controller.json("webhook", "set", "down", "--url", receiver.url, "--event", "nothing.at.all")
    failed = controller.cli("webhook", "test", "down")
    assert failed.returncode == 7
    assert failed.stderr.startswith("error: down was not delivered: it can not be reached: Connection refused.")
    controller.cli("webhook", "delete", "down", "--yes")
