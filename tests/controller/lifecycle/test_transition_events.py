# SPDX-License-Identifier: GPL-3.0-or-later
"""Who follows the event log knows the state of every machine: each change is an event that says from where to where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.store import Store
from metalwright.store.models import Image, Machine, Operation

TO_THE_AGENT = (Signal.POWER_DONE, Signal.BOOT_SCRIPT, Signal.HELLO)
Act = Callable[..., None]


@pytest.fixture
def act(client: FlaskClient) -> Act:
    def post(path: str, body: Any = None, method: str = "POST") -> None:
        response = client.open(f"/api/v1/{path}", method=method, json=body)
        assert response.status_code < 300, (path, response.json)

    return post


@pytest.fixture
def tell(store: Store, engine: Engine) -> Act:
    """Give signals to the operation that the machine is in."""

    def signals(*signals: Signal, **data: Any) -> None:
        for signal in signals:
            with store.write() as session:
                machine = session.query(Machine).one()
                engine.signal(session, session.get_one(Operation, machine.operation_id), signal, data)

    return signals


def changes(client: FlaskClient) -> list[tuple[str | None, str | None, str]]:
    """What the log says, the events that tell of no change of state left out."""
    events = client.get("/api/v1/events?limit=1000").json["events"]  # type: ignore[index]
    told = [(event["data"]["before"], event["data"]["state"], event["kind"]) for event in events if "before" in event["data"]]
    return [each for each in told if each[0] != each[1]]


def test_the_whole_life_of_a_machine_can_be_followed(client: FlaskClient, store: Store, act: Act, tell: Act) -> None:
    with store.write() as session:
        facts = {"firmware": ["bios", "uefi"], "format": "raw.zst", "content_sha256": "a" * 64, "image_bytes": 1 << 30}
        session.add(Image(name="debian/12", **facts))
    act("machines", {"name": "n1", "macs": ["52:54:00:00:00:01"]})
    act("machines/n1/commission")
    tell(*TO_THE_AGENT, Signal.JOB_DONE, Signal.POWER_DONE)
    with store.write() as session:
        machine = session.query(Machine).one()
        machine.hardware = {"disks": [{"name": "vda", "size_bytes": 8 << 30, "rotational": False, "removable": False}]}
    act("allocations/one", {"count": 1}, "PUT")
    act("machines/n1/deploy", {"image": "debian/12", "address": "dhcp"})
    tell(*TO_THE_AGENT, Signal.JOB_DONE, Signal.DEPLOYED)
    act("machines/n1/power-off")
    tell(Signal.POWER_DONE)
    act("machines/n1/mark-broken", {"note": "smoke"})
    act("machines/n1/mark-fixed")
    act(
        "machines/n1/rescue",
        {"ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ a@b"]},
    )
    tell(*TO_THE_AGENT, Signal.JOB_DONE)
    act("machines/n1/exit-rescue")
    tell(Signal.POWER_DONE)
    act("machines/n1/release")
    tell(*TO_THE_AGENT)
    tell(Signal.JOB_FAILED, code="wipe_failed", message="sda")
    act("machines/n1/release")
    tell(*TO_THE_AGENT, Signal.JOB_DONE, Signal.POWER_DONE)
    act("allocations/two", {"count": 1}, "PUT")
    act("allocations/two", None, "DELETE")
    act("machines/n1/test")
    tell(*TO_THE_AGENT)
    tell(Signal.JOB_FAILED, code="test_failed", message="memory")
    act("machines/n1/override-failed-test")
    act("machines/n1/commission")
    act("machines/n1/abort")
    act("machines/n1/adopt", {"address": "dhcp"})
    act("machines/n1?force=true", None, "DELETE")
    told = changes(client)
    assert [after for _, after, _ in told][:-1] == [before for before, _, _ in told][1:]
    assert told == [
        (None, "new", "machine.created"),
        ("new", "commissioning", "operation.started"),
        ("commissioning", "ready", "operation.succeeded"),
        ("ready", "allocated", "machine.allocated"),
        ("allocated", "deploying", "operation.started"),
        ("deploying", "deployed", "operation.succeeded"),
        ("deployed", "broken", "machine.broken"),
        ("broken", "deployed", "machine.fixed"),
        ("deployed", "rescuing", "operation.started"),
        ("rescuing", "rescue", "operation.succeeded"),
        ("rescue", "rescuing", "operation.started"),
        ("rescuing", "deployed", "operation.succeeded"),
        ("deployed", "releasing", "operation.started"),
        ("releasing", "failed", "operation.failed"),
        ("failed", "releasing", "operation.started"),
        ("releasing", "ready", "operation.succeeded"),
        ("ready", "allocated", "machine.allocated"),
        ("allocated", "ready", "machine.given-back"),
        ("ready", "testing", "operation.started"),
        ("testing", "failed", "operation.failed"),
        ("failed", "ready", "machine.test_overridden"),
        ("ready", "commissioning", "operation.started"),
        ("commissioning", "ready", "operation.aborted"),
        ("ready", "deployed", "machine.adopted"),
        ("deployed", None, "machine.deleted"),
    ]
