# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that are declared together, as conversations with the API."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from metalwright.store import Store
from metalwright.store.models import Event

DOMAIN = "lab.example"


def answer(response: Any, status: int) -> Any:
    assert response.status_code == status, response.json
    return response.json


def refused(response: Any, status: int, code: str) -> str:
    """The message of a refusal, which is of that code."""
    assert (response.status_code, response.json.get("code")) == (status, code), response.json
    message: str = response.json["message"]
    return message


@pytest.fixture
def add(client: FlaskClient) -> Any:
    """Adds a record to the domain; answers the response."""
    answer(client.post("/api/v1/domains", json={"name": DOMAIN}), 201)

    def add(name: str, kind: str, data: str, domain: str = DOMAIN, **more: Any) -> Any:
        return client.post("/api/v1/records", json={"domain": domain, "name": name, "type": kind, "data": data, **more})

    return add


def told(store: Store) -> list[str]:
    """The events about records."""
    with store.session() as session:
        return list(session.scalars(select(Event.kind).where(Event.kind.startswith("record.")).order_by(Event.id)))


def test_all_records_of_a_domain(client: FlaskClient, store: Store) -> None:
    path = f"/api/v1/domains/{DOMAIN}/records"
    www, mail = {"name": "www", "type": "A", "data": "10.0.0.5"}, {"name": "@", "type": "mx", "data": "10 mail"}
    rehearsed = answer(client.put(f"{path}?dry_run=true", json={"records": [www, mail]}), 200)
    refused(client.get(f"/api/v1/domains/{DOMAIN}"), 404, "domain_not_found")
    first = answer(client.put(path, json={"records": [www, mail]}), 200)
    assert first == rehearsed
    assert (first["before"], first["changed"]) == ([], True)
    assert first["records"] == [
        {"name": "@", "type": "MX", "data": f"10 mail.{DOMAIN}", "ttl": None},
        {"name": "www", "type": "A", "data": "10.0.0.5", "ttl": None},
    ]
    again = answer(client.put(path, json={"records": [mail, {**www, "name": f"WWW.{DOMAIN}."}]}), 200)
    assert (again["before"], again["records"], again["changed"]) == (first["records"], first["records"], False)
    other = answer(client.put(path, json={"records": [{**www, "ttl": 60}, {"name": "ftp", "type": "CNAME", "data": "www"}]}), 200)
    assert [(each["name"], each["ttl"]) for each in other["records"]] == [("ftp", None), ("www", 60)]
    alias = answer(client.put(path, json={"records": [{"name": "www", "type": "CNAME", "data": "web.example.com"}]}), 200)
    assert [each["type"] for each in alias["records"]] == ["CNAME"]
    assert told(store) == [
        *("record.created", "record.created"),
        *("record.deleted", "record.changed", "record.created"),
        *("record.deleted", "record.deleted", "record.created"),
    ]
    assert answer(client.put(path, json={"records": []}), 200)["changed"] is True


def test_declared_records_are_refused_as_a_whole(client: FlaskClient, add: Any) -> None:
    path = f"/api/v1/domains/{DOMAIN}/records"
    www = answer(add("www", "A", "10.0.0.5"), 201)
    wrong = [{"name": "a", "type": "A", "data": "10.0.0.6"}, {"name": "a", "type": "CNAME", "data": "b"}]
    assert f"a.{DOMAIN} A 10.0.0.6" in refused(client.put(path, json={"records": wrong}), 409, "alias_not_alone")
    assert "is declared twice" in refused(client.put(path, json={"records": [wrong[0]] * 2}), 409, "record_exists")
    assert [each["id"] for each in answer(client.get("/api/v1/records"), 200)["items"]] == [www["id"]]
    answer(client.post("/api/v1/domains", json={"name": "corp.local", "forward_to": ["192.0.2.53"]}), 201)
    refused(client.put("/api/v1/domains/corp.local/records", json={"records": [wrong[0]]}), 409, "domain_forwarded")
    refused(client.put("/api/v1/domains/com/records", json={"records": []}), 422, "domain_not_ownable")


def test_all_records_of_a_name_and_type(client: FlaskClient, add: Any) -> None:
    answer(add("www", "TXT", "hello"), 201)
    www = {"domain": DOMAIN, "name": "www", "type": "a"}

    def declare(*data: str, **more: Any) -> Any:
        return answer(client.put("/api/v1/record-sets", json={**www, "data": data, **more}), 200)

    first = declare("10.0.0.6", "10.0.0.5", ttl=60)
    assert [each["data"] for each in first["records"]] == ["10.0.0.5", "10.0.0.6"]
    assert (first["before"], first["changed"], first["type"]) == ([], True, "A")
    assert declare("10.0.0.5", "10.0.0.6")["changed"] is False
    moved = declare("10.0.0.7")
    assert (moved["before"], [(each["data"], each["ttl"]) for each in moved["records"]]) == (first["records"], [("10.0.0.7", 60)])
    assert declare("10.0.0.7", ttl=None)["records"][0]["ttl"] is None
    assert declare()["records"] == declare()["records"] == []
    assert [each["type"] for each in answer(client.get("/api/v1/records"), 200)["items"]] == ["TXT"]
    elsewhere = {**www, "domain": "nowhere.example", "data": ["10.0.0.5"]}
    refused(client.put("/api/v1/record-sets", json=elsewhere), 404, "domain_not_found")
