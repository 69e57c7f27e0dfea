# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request may say of a playbook: a name and data, and nothing by which it could reach anything else."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from ssh_machine import SshMachine

from metalwright.config import Runs, Settings
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import OPERATIONS
from metalwright.store import Store
from metalwright.store.models import Image, Interface, IpRange, Machine, Operation, Subnet

GIB = 1 << 30
WISH = {"state": "deployed", "image": "debian/12", "playbook": "site", "playbook_vars": {"password": "hidden-word"}}


@pytest.fixture(autouse=True)
def machine(store: Store) -> None:
    with store.write() as session:
        ranges = [IpRange(kind="static", start="10.77.0.10", end="10.77.0.20")]
        subnet = Subnet(name="lab", cidr="10.77.0.0/24", ranges=ranges, dhcp=True)
        node = Machine(name="node-1", state="ready", hardware={"disks": [{"name": "vda", "size_bytes": 9 * GIB}]})
        node.interfaces = [Interface(mac="52:54:00:00:00:01", boot=True)]
        image = Image(name="debian/12", status="ready", content_sha256="a" * 64, image_bytes=GIB)
        session.add_all([subnet, node, image])


def post(client: FlaskClient, action: str, **body: Any) -> Any:
    return client.post(f"/api/v1/machines/node-1/{action}", json=body).json


def deployed(store: Store, engine: Engine, host_key: str = "ssh-ed25519 AAAA") -> None:
    """Let the machine do all that is still to be done."""
    with store.write() as session:
        operation = session.scalars(select(Operation).where(Operation.state == "running")).one()
        while operation.state == "running":
            operation.machine.host_keys = [host_key] if host_key else []
            engine.signal(session, operation, OPERATIONS[operation.kind].phase(operation.phase or "").until)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"playbook": "../site"}, "invalid_request"),
        ({"playbook": "/etc/site"}, "invalid_request"),
        ({"playbook": "site", "playbook_vars": {"ansible_connection": "local"}}, "invalid_request"),
        ({"playbook": "site", "playbook_vars": {"metalwright_machine": {}}}, "invalid_request"),
        ({"playbook": "site", "playbook_vars": {"a b": 1}}, "invalid_request"),
        ({"playbook": "site", "playbook_vars": {"a": "x" * (64 << 10)}}, "invalid_request"),
        ({"playbook": "site", "playbook_timeout": 0}, "invalid_request"),
        ({"playbook_vars": {"a": 1}}, "invalid_request"),
        ({"playbook": "nosite"}, "playbook_unknown"),
        ({"playbook": "site", "address": "dhcp"}, "playbook_needs_address"),
    ],
)
def test_what_can_not_be_meant_is_refused(client: FlaskClient, said: dict[str, Any], code: str) -> None:
    refused = post(client, "deploy", image="debian/12", **said)
    assert refused["code"] == code, refused
    assert "hidden-word" not in str(refused)
    assert client.get("/api/v1/machines/node-1").json["state"] == "ready"


def test_a_playbook_that_there_is_not_is_answered_with_those_there_are(client: FlaskClient) -> None:
    refused = post(client, "deploy", image="debian/12", playbook="nosite")
    assert refused["details"]["playbooks"] == ["broken", "long", "site", "twice"]


@pytest.mark.parametrize("lacking", ["playbooks_dir", "ssh_key"])
def test_a_controller_that_was_not_told_where_they_are_runs_none(
    settings: Settings, store: Store, lacking: str, ssh_machine: SshMachine
) -> None:
    runs = Runs.model_validate({**settings.runs.model_dump(), lacking: None})
    engine = Engine(settings.model_copy(update={"runs": runs}))
    with store.write() as session:
        node = session.scalars(select(Machine)).one()
        with pytest.raises(Exception, match=rf"\[runs\] {lacking} is not set"):
            engine.start(session, node, "deploy", {"playbook": "site", "address": "auto"}, by="test")
        session.rollback()


def test_a_playbook_is_part_of_what_is_deployed(client: FlaskClient, store: Store, engine: Engine) -> None:
    started = post(client, "converge", **WISH)
    assert started["plan"] == [{"operation": "deploy"}]
    assert started["operation"]["playbook"] is None  # it has not begun
    deployed(store, engine)
    shown = client.get("/api/v1/machines/node-1").json
    assert shown["state"] == "deployed"
    assert shown["deployed"]["options"]["playbook"] == "site"
    assert len(shown["deployed"]["options"]["playbook_vars_sha256"]) == 64
    assert "hidden-word" not in str(client.get("/api/v1/operations").json) + str(shown)
    assert post(client, "converge", **WISH)["changed"] is False
    assert post(client, "converge", **WISH, playbook_timeout=60)["changed"] is False
    drift = post(client, "converge", **{**WISH, "playbook_vars": {"password": "other-word"}})
    assert drift["code"] == "drift" and "playbook_vars_sha256" in drift["message"]


def test_before_a_release_it_runs_where_there_is_a_system(client: FlaskClient, store: Store, engine: Engine) -> None:
    assert post(client, "release", playbook="site")["code"] == "playbook_needs_system"
    post(client, "deploy", image="debian/12")
    deployed(store, engine, host_key="")
    assert post(client, "release", playbook="site")["code"] == "playbook_needs_host_key"
    with store.write() as session:
        session.scalars(select(Machine)).one().host_keys = ["ssh-ed25519 AAAA"]
    started = post(client, "converge", state="ready", playbook="site")
    assert started["operation"]["phase"] == "drain"
    deployed(store, engine)
    assert post(client, "converge", state="ready", playbook="site")["changed"] is False
