# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains, records and the resolver, as conversations with the API."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from metalwright.store import Store
from metalwright.store.models import Event, Machine

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


# -- domains -------------------------------------------------------------------------------------------------------------------


def test_domains(client: FlaskClient, store: Store) -> None:
    answer(client.post("/api/v1/domains?dry_run=true", json={"name": "Lab.Example."}), 201)
    lab = answer(client.post("/api/v1/domains", json={"name": "Lab.Example.", "ttl": 60}), 201)
    assert (lab["name"], lab["ttl"], lab["forward_to"], lab["default"], lab["records"]) == (DOMAIN, 60, [], False, 0)
    listed = answer(client.get("/api/v1/domains?fields=name,default"), 200)["items"]
    assert listed == [{"name": DOMAIN, "default": False}, {"name": "metalwright.internal", "default": True}]
    refused(client.post("/api/v1/domains", json={"name": DOMAIN}), 409, "domain_exists")
    corp = answer(client.post("/api/v1/domains", json={"name": "corp.local", "forward_to": ["192.0.2.53"]}), 201)
    assert corp["forward_to"] == ["192.0.2.53"]
    assert answer(client.patch("/api/v1/domains/corp.local", json={"description": "Windows"}), 200)["changed"] is True
    assert answer(client.patch("/api/v1/domains/corp.local", json={"description": "Windows"}), 200)["changed"] is False
    refused(client.patch("/api/v1/domains/corp.local", json={"forward_to": []}), 422, "domain_not_ownable")
    assert "(RFC 2181 section 8)" in refused(client.patch(f"/api/v1/domains/{DOMAIN}", json={"ttl": -1}), 422, "invalid_request")
    assert client.delete("/api/v1/domains/corp.local").status_code == 204
    refused(client.get("/api/v1/domains/corp.local"), 404, "domain_not_found")
    with store.session() as session:
        kinds = list(session.scalars(select(Event.kind).where(Event.kind.startswith("domain")).order_by(Event.id)))
    assert kinds == ["domain.created", "domain.created", "domain.changed", "domain.deleted"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "com"}, "domain_not_ownable"),
        ({"name": "."}, "domain_not_ownable"),
        ({"name": "rack.localhost"}, "domain_not_ownable"),
        ({"name": "rack.local"}, "domain_not_ownable"),
        ({"name": "0.0.10.in-addr.arpa"}, "reverse_domain"),
        ({"name": "a_b.example"}, "domain_invalid"),
        ({"name": DOMAIN, "forward_to": ["dns.example"]}, "address_invalid"),
        ({"name": DOMAIN, "ttl": 2**31}, "invalid_request"),
    ],
)
def test_domains_that_nobody_may_own(client: FlaskClient, body: dict[str, Any], code: str) -> None:
    refused(client.post("/api/v1/domains", json=body), 422, code)


def test_a_domain_that_is_needed_here(client: FlaskClient, add: Any) -> None:
    forwarded = {"forward_to": ["192.0.2.53"]}
    answer(add("www", "A", "10.0.0.5"), 201)
    for path, who in ((DOMAIN, "1 record"), ("metalwright.internal", "[dns] domain of the settings")):
        assert who in refused(client.delete(f"/api/v1/domains/{path}"), 409, "domain_in_use")
        assert who in refused(client.patch(f"/api/v1/domains/{path}", json=forwarded), 409, "domain_in_use")
    answer(client.post("/api/v1/subnets", json={"name": "lab", "cidr": "10.0.0.0/24", "domain": "new.example"}), 201)
    answer(
        client.post("/api/v1/reservations", json={"mac": "52:54:00:aa:00:01", "address": "10.0.0.5", "domain": "doors.example"}),
        201,
    )
    for path, who in (("new.example", "subnet lab"), ("doors.example", "the reservation of 10.0.0.5")):
        assert who in refused(client.delete(f"/api/v1/domains/{path}"), 409, "domain_in_use")
        assert who in refused(client.patch(f"/api/v1/domains/{path}", json=forwarded), 409, "domain_in_use")
    message = refused(
        client.post("/api/v1/domains", json={"name": "0.0.10.in-addr.arpa", **forwarded}), 409, "reverse_domain_taken"
    )
    assert message == "0.0.10.in-addr.arpa, which is asked elsewhere, is a reverse zone of subnet lab (10.0.0.0/24)."
    answer(client.post("/api/v1/domains", json={"name": "10.in-addr.arpa", **forwarded}), 201)


def test_a_name_belongs_to_the_innermost_domain(client: FlaskClient, add: Any) -> None:
    deep = answer(add("www.dev", "A", "10.0.0.5"), 201)
    message = refused(client.post("/api/v1/domains", json={"name": "dev.lab.example"}), 409, "records_hidden")
    assert message == "www.dev A 10.0.0.5 of domain lab.example would be hidden by a domain dev.lab.example."
    assert client.delete(f"/api/v1/records/{deep['id']}").status_code == 204
    answer(client.post("/api/v1/domains", json={"name": "dev.lab.example"}), 201)
    for name in ("www.dev", "dev"):
        assert "lies in the domain dev.lab.example" in refused(add(name, "A", "10.0.0.5"), 409, "name_in_other_domain")
    answer(add("@", "A", "10.0.0.5", domain="dev.lab.example"), 201)


# -- records -------------------------------------------------------------------------------------------------------------------


def test_records(client: FlaskClient, add: Any, store: Store) -> None:
    body = {"domain": DOMAIN, "name": "www", "type": "a", "data": "10.0.0.5", "ttl": 0}
    answer(client.post("/api/v1/records?dry_run=true", json=body), 201)
    www = answer(client.post("/api/v1/records", json=body), 201)
    assert {name: www[name] for name in body} == {**body, "type": "A"}
    assert (
        refused(add("www.lab.example.", "A", "10.0.0.5"), 409, "record_exists")
        == "There is a record www.lab.example A 10.0.0.5 already."
    )
    answer(add("www", "A", "10.0.0.6"), 201)
    answer(add("@", "MX", "10 mail"), 201)
    answer(add("_ldap._tcp", "SRV", "0 5 389 ldap.example.com"), 201)
    answer(add("@", "TXT", "v=spf1 mx -all"), 201)
    answer(add("*", "AAAA", "2001:db8::5"), 201)
    listed = answer(client.get("/api/v1/records?fields=name,type"), 200)["items"]
    names = [(each["name"], each["type"]) for each in listed]
    assert sorted(names) == [("*", "AAAA"), ("@", "MX"), ("@", "TXT"), ("_ldap._tcp", "SRV"), ("www", "A"), ("www", "A")]
    paged, cursor = [], ""
    while cursor is not None:
        page = answer(client.get(f"/api/v1/records?fields=name,type&limit=2{cursor and '&cursor=' + cursor}"), 200)
        paged, cursor = paged + page["items"], page["next"]
    assert paged == listed
    query = f"domain={DOMAIN}&name=WWW&type=a&fields=data"
    assert sorted(each["data"] for each in answer(client.get(f"/api/v1/records?{query}"), 200)["items"]) == [
        "10.0.0.5",
        "10.0.0.6",
    ]
    path = f"/api/v1/records/{www['id']}"
    assert answer(client.patch(path, json={"ttl": 0, "data": "10.0.0.5"}), 200)["changed"] is False
    assert answer(client.patch(path, json={"ttl": None}), 200)["ttl"] is None
    refused(client.patch(path, json={"data": "10.0.0.6"}), 409, "record_exists")
    assert answer(client.get(f"/api/v1/domains/{DOMAIN}"), 200)["records"] == 6
    assert client.delete(f"{path}?dry_run=true").status_code == 204
    assert client.delete(path).status_code == 204
    refused(client.get(path), 404, "record_not_found")
    refused(add("x", "A", "10.0.0.5", domain="none.example"), 404, "domain_not_found")
    with store.session() as session:
        told = session.scalars(select(Event.message).where(Event.kind == "record.deleted")).one()
    assert told == "record www.lab.example A 10.0.0.5 was deleted by tester"


@pytest.mark.parametrize(
    ("record", "code", "words"),
    [
        (("www", "A", "ten"), "record_data_invalid", "'ten' is no data of a record of type A"),
        (("a_b", "A", "10.0.0.5"), "name_invalid", "'a_b' is no name"),
        (("www.example.com.", "A", "10.0.0.5"), "name_outside_domain", "does not lie in the domain lab.example"),
        (("5", "PTR", "www"), "record_type_unknown", "PTR records are not written by hand"),
        (("www", "SOA", "x"), "record_type_unknown", "'SOA' is no type"),
        (("@", "CNAME", "www"), "alias_of_domain", "lab.example cannot be an alias"),
    ],
)
def test_records_that_say_nothing(add: Any, record: tuple[str, str, str], code: str, words: str) -> None:
    assert words in refused(add(*record), 422, code)


@pytest.mark.parametrize("ttl", [-1, 2**31])
def test_a_ttl_is_a_number_of_31_bits(add: Any, ttl: int) -> None:
    assert "must be 0 to 2147483647 seconds (RFC 2181 section 8)" in refused(
        add("www", "A", "10.0.0.5", ttl=ttl), 422, "invalid_request"
    )


def test_an_alias_stands_alone(client: FlaskClient, add: Any) -> None:
    answer(add("www", "A", "10.0.0.5"), 201)
    message = refused(add("www", "CNAME", "web"), 409, "alias_not_alone")
    assert message == (
        "www.lab.example CNAME web.lab.example cannot stand beside www.lab.example A 10.0.0.5: where a CNAME is, nothing else is."
    )
    shop = answer(add("shop", "CNAME", "www"), 201)
    assert "beside shop.lab.example CNAME www.lab.example" in refused(add("shop", "TXT", "hello"), 409, "alias_not_alone")
    refused(add("shop", "CNAME", "mail"), 409, "alias_not_alone")
    answer(client.patch(f"/api/v1/records/{shop['id']}", json={"data": "mail"}), 200)
    answer(client.patch(f"/api/v1/records/{shop['id']}", json={"type": "A", "data": "10.0.0.7"}), 200)


def test_no_circle_of_aliases(client: FlaskClient, add: Any) -> None:
    answer(client.post("/api/v1/domains", json={"name": "other.example"}), 201)
    message = refused(add("a", "CNAME", "a"), 409, "alias_loop")
    assert message == "a.lab.example CNAME a.lab.example would make a circle: a.lab.example -> a.lab.example."
    answer(add("a", "CNAME", "b.other.example"), 201)
    answer(add("b", "CNAME", "c.lab.example", domain="other.example"), 201)
    message = refused(add("c", "CNAME", "a"), 409, "alias_loop")
    assert message.endswith("make a circle: c.lab.example -> a.lab.example -> b.other.example -> c.lab.example.")
    last = answer(add("c", "CNAME", "host.example.com"), 201)
    refused(client.patch(f"/api/v1/records/{last['id']}", json={"data": "a"}), 409, "alias_loop")


def test_nothing_that_must_lead_to_a_host_leads_to_an_alias(add: Any) -> None:
    answer(add("mail", "CNAME", "host"), 201)
    message = refused(add("@", "MX", "10 mail"), 409, "target_is_alias")
    assert message == "lab.example MX 10 mail.lab.example leads to mail.lab.example, which is an alias of host.lab.example."
    answer(add("_ldap._tcp", "SRV", "0 5 389 host"), 201)
    message = refused(add("host", "CNAME", "www"), 409, "target_is_alias")
    assert message == (
        "host.lab.example cannot be an alias: "
        "_ldap._tcp.lab.example SRV 0 5 389 host.lab.example leads to it, and may not lead to one."
    )


def test_a_forwarded_domain_has_no_records(client: FlaskClient, add: Any) -> None:
    answer(client.post("/api/v1/domains", json={"name": "corp.example", "forward_to": ["192.0.2.53"]}), 201)
    assert "asked at 192.0.2.53" in refused(add("www", "A", "10.0.0.5", domain="corp.example"), 409, "domain_forwarded")


def test_machines_and_records_bear_different_names(client: FlaskClient, add: Any, add_machine: Any, store: Store) -> None:
    default = "metalwright.internal"
    add_machine("web")
    deployed = add_machine("db")
    with store.write() as session:
        session.get_one(Machine, deployed).hostname = "sql"
    for name in ("web", "db", "sql"):
        message = refused(add(name, "A", "10.0.0.5", domain=default), 409, "name_taken")
        assert message == f"The name {name}.{default} is that of machine {'db' if name == 'sql' else name}."
    refused(add("web", "CNAME", "x", domain=default), 409, "name_taken")
    answer(add("web", "TXT", "rack 4", domain=default), 201)
    answer(add("web", "A", "10.0.0.5"), 201)  # no machine has its name in that domain
    answer(add("shop", "A", "10.0.0.5", domain=default), 201)
    message = refused(client.post("/api/v1/machines", json={"name": "shop", "macs": ["52:54:00:cc:00:01"]}), 409, "name_taken")
    assert message == f"The name shop is taken by the record shop.{default} A 10.0.0.5."
    refused(client.patch("/api/v1/machines/web", json={"name": "shop"}), 409, "name_taken")
    refused(client.post("/api/v1/machines/web/adopt", json={"hostname": "shop", "address": "dhcp"}), 409, "name_taken")
    subnet = {"name": "lab", "cidr": "10.0.0.0/24", "domain": DOMAIN}
    message = refused(client.post("/api/v1/subnets", json=subnet), 409, "name_taken")
    assert message == "web.lab.example A 10.0.0.5 bears the name of machine web."


# -- the resolver --------------------------------------------------------------------------------------------------------------


def test_how_names_are_answered(client: FlaskClient, store: Store) -> None:
    initial = {
        "forwarders": [],
        "query_from": [],
        "recurse_from": [],
        "ttl": 300,
        "default_domain": "metalwright.internal",
        "set": [],
    }
    assert answer(client.get("/api/v1/dns"), 200) == initial
    body = {"forwarders": ["192.0.2.53", "2001:DB8::53"], "recurse_from": ["10.0.0.0/8", "192.0.2.7"], "ttl": 60}
    answer(client.patch("/api/v1/dns?dry_run=true", json=body), 200)
    assert answer(client.get("/api/v1/dns"), 200) == initial
    changed = answer(client.patch("/api/v1/dns", json=body), 200)
    assert (changed["forwarders"], changed["recurse_from"], changed["ttl"], changed["changed"]) == (
        ["192.0.2.53", "2001:db8::53"],
        ["10.0.0.0/8", "192.0.2.7/32"],
        60,
        True,
    )
    assert changed["set"] == ["forwarders", "recurse_from", "ttl"]
    assert answer(client.patch("/api/v1/dns", json=body), 200)["changed"] is False
    back = answer(client.patch("/api/v1/dns", json={"forwarders": None, "ttl": None}), 200)
    assert (back["forwarders"], back["ttl"], back["set"]) == ([], 300, ["recurse_from"])
    refused(client.patch("/api/v1/dns", json={"forwarders": ["dns.example"]}), 422, "address_invalid")
    refused(client.patch("/api/v1/dns", json={"query_from": ["10.0.0.1/24"]}), 422, "cidr_invalid")
    assert "RFC 2181" in refused(client.patch("/api/v1/dns", json={"ttl": -1}), 422, "invalid_request")
    with store.session() as session:
        assert list(session.scalars(select(Event.kind))) == ["dns.changed", "dns.changed"]
