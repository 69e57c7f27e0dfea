# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP options of subnets, machines and reservations, as conversations with the API."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from metalwright.store import Store
from metalwright.store.models import DhcpOption, Event


def answer(response: Any, status: int) -> Any:
    assert response.status_code == status, response.json
    return response.json


@pytest.fixture
def site(client: FlaskClient, add_machine: Any) -> None:
    """A machine node-1, subnets lab and six, a reservation of 10.0.0.5."""
    add_machine("node-1")
    answer(client.post("/api/v1/subnets", json={"name": "lab", "cidr": "10.0.0.0/24"}), 201)
    answer(client.post("/api/v1/subnets", json={"name": "six", "cidr": "2001:db8::/64"}), 201)
    answer(client.post("/api/v1/reservations", json={"mac": "52:54:00:aa:00:01", "address": "10.0.0.5"}), 201)


@pytest.mark.usefixtures("site")
def test_options(client: FlaskClient, store: Store) -> None:
    body = {"subnet": "lab", "option": "log-servers", "value": ["10.0.0.4"]}
    answer(client.post("/api/v1/dhcp-options?dry_run=true", json=body), 201)
    made = answer(client.post("/api/v1/dhcp-options", json=body), 201)
    wanted = {
        "subnet": "lab",
        "machine": None,
        "reservation": None,
        "family": 4,
        "code": 7,
        "name": "log-servers",
        "value": "10.0.0.4",
    }
    assert {name: made[name] for name in wanted} == wanted
    path = f"/api/v1/dhcp-options/{made['id']}"
    assert answer(client.get(path), 200) == made
    error = answer(client.post("/api/v1/dhcp-options", json={**body, "option": 7}), 409)
    assert (error["code"], error["message"]) == (
        "option_exists",
        "Subnet lab has DHCPv4 option 7 (log-servers) already: 10.0.0.4.",
    )
    for more in (
        {"machine": "node-1"},
        {"reservation": "10.0.0.5"},
        {"machine": "node-1", "family": 6, "option": 21, "value": "sip.example"},
    ):
        answer(client.post("/api/v1/dhcp-options", json={"option": 7, "value": "10.0.0.4", **more}), 201)
    six = answer(
        client.post("/api/v1/dhcp-options", json={"subnet": "six", "option": "sip-server-addr", "value": "2001:db8::4"}), 201
    )
    assert (six["family"], six["code"]) == (6, 22)
    unknown = answer(client.post("/api/v1/dhcp-options", json={"subnet": "lab", "option": 230, "value": "0x0102"}), 201)
    assert (unknown["name"], unknown["value"]) == (None, "01:02")
    assert len(answer(client.get("/api/v1/dhcp-options?machine=node-1"), 200)["items"]) == 2
    assert answer(client.get("/api/v1/dhcp-options?reservation=10.0.0.5&fields=code"), 200)["items"] == [{"code": 7}]
    assert answer(client.patch(path, json={"value": "10.0.0.4"}), 200)["changed"] is False
    changed = answer(client.patch(path, json={"value": ["10.0.0.4", "10.0.0.6"]}), 200)
    assert (changed["changed"], changed["value"]) == (True, "10.0.0.4,10.0.0.6")
    assert client.delete(path).status_code == 204
    assert answer(client.get(path), 404)["code"] == "option_not_found"
    assert client.delete("/api/v1/machines/node-1").status_code == 204
    with store.session() as session:
        assert session.scalars(select(DhcpOption.machine_id).where(DhcpOption.machine_id.is_not(None))).all() == []
        told = session.scalars(select(Event.message).where(Event.kind.startswith("option.")).order_by(Event.id)).all()
    assert told[0] == "DHCPv4 option 7 (log-servers) of subnet lab was added by tester"
    assert told[-1] == "DHCPv4 option 7 (log-servers) of subnet lab was deleted by tester"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"subnet": "lab", "option": 3, "value": "10.0.0.1"}, 422, "option_decided", "Use the subnet's field gateway."),
        ({"machine": "node-1", "option": "domain-name", "value": "x"}, 422, "option_decided", "Use the subnet's field domain."),
        ({"subnet": "lab", "option": 67, "value": "x"}, 422, "option_decided", "network-boot"),
        ({"subnet": "lab", "option": "colour", "value": "x"}, 422, "option_unknown", "dhcp-options.md"),
        ({"subnet": "lab", "option": 7, "value": "x"}, 422, "option_value_invalid", ""),
        ({"subnet": "lab", "family": 6, "option": 21, "value": "x"}, 422, "option_family", "Leave family out."),
        ({"option": 7, "value": "10.0.0.4"}, 422, "invalid_request", ""),
        ({"subnet": "lab", "machine": "node-1", "option": 7, "value": "10.0.0.4"}, 422, "invalid_request", ""),
        ({"subnet": "none", "option": 7, "value": "10.0.0.4"}, 404, "subnet_not_found", ""),
        ({"machine": "none", "option": 7, "value": "10.0.0.4"}, 404, "machine_not_found", ""),
        ({"reservation": "10.0.0.6", "option": 7, "value": "10.0.0.4"}, 404, "reservation_not_found", ""),
    ],
)
def test_options_that_are_refused(client: FlaskClient, body: dict[str, Any], status: int, code: str, words: str) -> None:
    error = answer(client.post("/api/v1/dhcp-options", json=body), status)
    assert error["code"] == code
    assert words in error["hint"]
