# SPDX-License-Identifier: GPL-3.0-or-later
"""VLANs, subnets, ranges, reservations and addresses, as conversations with the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from metalwright.network import leases_seen
from metalwright.store import Store
from metalwright.store.models import Event, Interface, Subnet, Task

MAC = "52:54:00:aa:00:01"
SUBNET = {
    "name": "lab",
    "cidr": "10.77.0.0/24",
    "gateway": "10.77.0.1",
    "ranges": [
        {"kind": "static", "start": "10.77.0.10", "end": "10.77.0.89", "comment": ""},
        {"kind": "dynamic", "start": "10.77.0.100", "end": "10.77.0.149", "comment": "boot"},
    ],
}


def answer(response: Any, status: int) -> Any:
    assert response.status_code == status, response.json
    return response.json


def refused(response: Any, status: int, code: str) -> str:
    """The message of a refusal, which is of that code."""
    assert (response.status_code, response.json["code"]) == (status, code), response.json
    message: str = response.json["message"]
    return message


def applies(store: Store) -> int:
    with store.session() as session:
        return len(session.scalars(select(Task).where(Task.kind == "network.apply")).all())


def kinds(store: Store) -> list[str]:
    with store.session() as session:
        return list(session.scalars(select(Event.kind).order_by(Event.id)))


def give(store: Store, machine: str, address: str) -> None:
    with store.write() as session:
        interface = session.scalars(select(Interface).where(Interface.machine_id == machine)).one()
        interface.subnet, interface.address = session.scalars(select(Subnet)).one(), address


# -- subnets -------------------------------------------------------------------------------------------------------------------


def test_a_subnet_is_carried_to_dhcp_and_dns(client: FlaskClient, store: Store) -> None:
    answer(client.post("/api/v1/subnets?dry_run=true", json=SUBNET), 201)
    assert (applies(store), kinds(store)) == (0, [])
    subnet = answer(client.post("/api/v1/subnets", json=SUBNET), 201)
    assert {name: subnet[name] for name in SUBNET} == SUBNET
    assert answer(client.get("/api/v1/subnets/lab"), 200) == subnet
    assert answer(client.get("/api/v1/subnets?fields=name"), 200)["items"] == [{"name": "lab"}]
    same = {"enlist": False, "gateway": "10.77.0.1", "ranges": SUBNET["ranges"], "vlan": None}
    assert answer(client.patch("/api/v1/subnets/lab", json=same), 200)["changed"] is False
    assert kinds(store) == ["subnet.created"]
    changed = answer(client.patch("/api/v1/subnets/lab", json={"enlist": True, "gateway": None}), 200)
    assert (changed["changed"], changed["enlist"], changed["gateway"]) == (True, True, None)
    assert client.delete("/api/v1/subnets/lab").status_code == 204
    assert kinds(store) == ["subnet.created", "subnet.changed", "subnet.deleted"]
    assert applies(store) == 1  # what waits takes later changes along
    with store.write() as session:
        session.scalars(select(Task)).one().state = "running"
    answer(client.post("/api/v1/subnets", json=SUBNET), 201)
    assert applies(store) == 2


def test_all_ranges_of_a_subnet_change_at_once(client: FlaskClient) -> None:
    before = answer(client.post("/api/v1/subnets", json=SUBNET), 201)
    moved = [
        {"kind": "dynamic", "start": "10.77.0.10", "end": "10.77.0.89"},
        {"kind": "static", "start": "10.77.0.100", "end": "10.77.0.160"},
    ]
    tried = answer(client.patch("/api/v1/subnets/lab?dry_run=true", json={"ranges": moved}), 200)
    assert (tried["changed"], [each["kind"] for each in tried["ranges"]]) == (True, ["dynamic", "static"])
    assert answer(client.get("/api/v1/subnets/lab"), 200) == before
    after = answer(client.patch("/api/v1/subnets/lab", json={"ranges": moved}), 200)
    assert after["ranges"] == [{**each, "comment": ""} for each in moved]
    assert answer(client.patch("/api/v1/subnets/lab", json={"ranges": moved}), 200)["changed"] is False
    commented = [{**moved[0], "comment": "boot"}, moved[1]]
    assert answer(client.patch("/api/v1/subnets/lab", json={"ranges": commented}), 200)["changed"] is True


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"cidr": "10.77.0.0"}, 422, "cidr_invalid"),
        ({"gateway": "10.78.0.1"}, 422, "gateway_outside_subnet"),
        ({"gateway": "10.77.0.120"}, 422, "gateway_in_range"),
        ({"ranges": [{"kind": "static", "start": "10.77.0.9"}]}, 422, "invalid_request"),
        ({"ranges": [{"kind": "public", "start": "10.77.0.9", "end": "10.77.0.9"}]}, 422, "invalid_request"),
        ({"vlan": "blue"}, 404, "vlan_not_found"),
        ({"colour": "red"}, 422, "invalid_request"),
    ],
)
def test_wrong_subnets(client: FlaskClient, change: dict[str, Any], status: int, code: str) -> None:
    refused(client.post("/api/v1/subnets", json={**SUBNET, **change}), status, code)
    assert answer(client.get("/api/v1/subnets"), 200)["items"] == []


def test_a_subnet_that_overlaps_or_is_used(client: FlaskClient, store: Store, add_machine: Any) -> None:
    answer(client.post("/api/v1/subnets", json=SUBNET), 201)
    refused(client.post("/api/v1/subnets", json=SUBNET), 409, "name_taken")
    refused(client.post("/api/v1/subnets", json={**SUBNET, "name": "other"}), 409, "subnet_overlap")
    give(store, add_machine("node-1"), "10.77.0.10")
    assert answer(client.delete("/api/v1/subnets/lab"), 409)["details"]["machines"] == ["node-1"]
    assert client.delete("/api/v1/machines/node-1").status_code == 204
    answer(client.post("/api/v1/reservations", json={"mac": MAC, "address": "10.77.0.5"}), 201)
    assert answer(client.delete("/api/v1/subnets/lab"), 409)["details"]["reservations"] == [MAC]
    assert client.delete("/api/v1/reservations/10.77.0.5").status_code == 204
    answer(client.post("/api/v1/dhcp-options", json={"subnet": "lab", "option": 7, "value": "10.77.0.4"}), 201)
    assert client.delete("/api/v1/subnets/lab").status_code == 204
    assert answer(client.get("/api/v1/ranges"), 200)["items"] == answer(client.get("/api/v1/dhcp-options"), 200)["items"] == []


# -- VLANs ---------------------------------------------------------------------------------------------------------------------


def test_vlans(client: FlaskClient, store: Store) -> None:
    body = {"name": "blue", "vid": 7, "mtu": 9000}
    answer(client.post("/api/v1/vlans?dry_run=true", json=body), 201)
    blue = answer(client.post("/api/v1/vlans", json=body), 201)
    assert (blue["vid"], blue["mtu"], blue["subnets"]) == (7, 9000, [])
    answer(client.post("/api/v1/subnets", json={**SUBNET, "vlan": "blue"}), 201)
    assert answer(client.get("/api/v1/vlans/blue"), 200)["subnets"] == ["lab"]
    assert "number of VLAN blue in rack default" in refused(
        client.post("/api/v1/vlans", json={"name": "red", "vid": 7}), 409, "vid_taken"
    )
    refused(client.post("/api/v1/vlans", json={"name": "blue", "vid": 8}), 409, "name_taken")
    answer(client.post("/api/v1/vlans", json={"name": "red", "vid": 7, "rack": "east"}), 201)
    for wrong in ({"vid": 0}, {"vid": 4095}, {"mtu": 100}, {"name": "Blue 1"}):
        assert client.post("/api/v1/vlans", json={"name": "x", "vid": 9, **wrong}).status_code == 422, wrong
    assert "IEEE 802.1Q" in refused(client.post("/api/v1/vlans", json={"name": "x", "vid": 0}), 422, "invalid_request")
    assert answer(client.patch("/api/v1/vlans/blue", json={"vid": 7}), 200)["changed"] is False
    assert answer(client.patch("/api/v1/vlans/blue", json={"name": "sky", "mtu": None}), 200)["changed"] is True
    assert answer(client.get("/api/v1/subnets/lab"), 200)["vlan"] == "sky"
    assert [each["name"] for each in answer(client.get("/api/v1/vlans?fields=name"), 200)["items"]] == ["red", "sky"]
    assert "has the subnets lab" in refused(client.delete("/api/v1/vlans/sky"), 409, "vlan_in_use")
    assert answer(client.patch("/api/v1/subnets/lab", json={"vlan": None}), 200)["vlan"] is None
    assert client.delete("/api/v1/vlans/sky").status_code == 204
    refused(client.get("/api/v1/vlans/sky"), 404, "vlan_not_found")
    assert [kind for kind in kinds(store) if kind.startswith("vlan")] == [
        "vlan.created",
        "vlan.created",
        "vlan.changed",
        "vlan.deleted",
    ]


# -- ranges --------------------------------------------------------------------------------------------------------------------


def test_ranges_one_at_a_time(client: FlaskClient, store: Store) -> None:
    answer(client.post("/api/v1/subnets", json={**SUBNET, "ranges": []}), 201)
    answer(client.post("/api/v1/subnets", json={"name": "six", "cidr": "2001:db8::/64"}), 201)
    body = {"subnet": "lab", "kind": "dynamic", "start": "10.77.0.100", "end": "10.77.0.149"}
    answer(client.post("/api/v1/ranges?dry_run=true", json=body), 201)
    made = answer(client.post("/api/v1/ranges", json=body), 201)
    assert {name: made[name] for name in body} == body
    answer(client.post("/api/v1/ranges", json={**body, "kind": "static", "start": "10.77.0.9", "end": "10.77.0.9"}), 201)
    six = {"subnet": "six", "kind": "reserved", "start": "2001:DB8::1", "end": "2001:db8::f", "comment": "routers"}
    assert answer(client.post("/api/v1/ranges", json=six), 201)["start"] == "2001:db8::1"
    listed = answer(client.get("/api/v1/ranges?fields=start"), 200)["items"]
    assert [each["start"] for each in listed] == ["10.77.0.9", "10.77.0.100", "2001:db8::1"]
    first = answer(client.get("/api/v1/ranges?limit=2&fields=start"), 200)
    second = answer(client.get(f"/api/v1/ranges?limit=2&fields=start&cursor={first['next']}"), 200)
    assert (first["items"] + second["items"], second["next"]) == (listed, None)
    assert [each["kind"] for each in answer(client.get("/api/v1/ranges?subnet=lab&kind=dynamic"), 200)["items"]] == ["dynamic"]
    assert "The static range 10.77.0.9 to 10.77.0.9 overlaps the dynamic range" in refused(
        client.patch("/api/v1/ranges/10.77.0.100", json={"start": "10.77.0.9"}), 422, "ranges_overlap"
    )
    assert answer(client.patch("/api/v1/ranges/10.77.0.100", json={"end": "10.77.0.149"}), 200)["changed"] is False
    wider = answer(client.patch("/api/v1/ranges/10.77.0.100", json={"start": "10.77.0.90"}), 200)
    assert (wider["id"], wider["start"], wider["end"]) == (made["id"], "10.77.0.90", "10.77.0.149")
    assert client.delete("/api/v1/ranges/10.77.0.90?dry_run=true").status_code == 204
    assert client.delete(f"/api/v1/ranges/{made['id']}").status_code == 204
    refused(client.get("/api/v1/ranges/10.77.0.90"), 404, "range_not_found")
    refused(client.post("/api/v1/ranges", json={**body, "subnet": "none"}), 404, "subnet_not_found")
    assert [kind for kind in kinds(store) if kind.startswith("range")] == ["range.created"] * 3 + [
        "range.changed",
        "range.deleted",
    ]


def test_a_range_that_somebody_has_an_address_from(client: FlaskClient, store: Store, add_machine: Any, clock: Any) -> None:
    answer(client.post("/api/v1/subnets", json=SUBNET), 201)
    give(store, add_machine("node-1"), "10.77.0.10")
    with store.write() as session:
        leases_seen.seen(session, "10.77.0.140", MAC, clock() + timedelta(hours=1), clock())
    message = refused(client.delete("/api/v1/ranges/10.77.0.10"), 409, "address_in_use")
    assert message == "10.77.0.10 of node-1 would lie in no static range any more; it is in 10.77.0.10 to 10.77.0.89."
    message = refused(client.patch("/api/v1/ranges/10.77.0.100", json={"end": "10.77.0.120"}), 409, "address_on_lease")
    assert message.startswith(f"10.77.0.140 is on lease to {MAC} until 2026-11-21T13:00:00+00:00")
    refused(client.delete("/api/v1/ranges/10.77.0.100"), 409, "address_on_lease")
    clock.advance(3601)
    answer(client.patch("/api/v1/ranges/10.77.0.100", json={"end": "10.77.0.120"}), 200)


# -- reservations --------------------------------------------------------------------------------------------------------------


def test_reservations(client: FlaskClient, store: Store) -> None:
    answer(client.post("/api/v1/subnets", json=SUBNET), 201)
    answer(client.post("/api/v1/subnets", json={"name": "six", "cidr": "2001:db8::/64"}), 201)
    body = {"mac": "52-54-00-AA-00-01", "address": "10.77.0.5", "name": "Printer", "comment": "2nd floor"}
    answer(client.post("/api/v1/reservations?dry_run=true", json=body), 201)
    made = answer(client.post("/api/v1/reservations", json=body), 201)
    assert {name: made[name] for name in ("mac", "address", "subnet", "name", "domain")} == {
        "mac": MAC,
        "address": "10.77.0.5",
        "subnet": "lab",
        "name": "printer",
        "domain": None,
    }
    assert answer(client.get("/api/v1/reservations/10.77.0.5"), 200) == made
    both = answer(client.post("/api/v1/reservations", json={"mac": MAC, "address": "2001:DB8::5", "name": "printer"}), 201)
    assert (both["address"], both["subnet"]) == ("2001:db8::5", "six")
    assert len(answer(client.get(f"/api/v1/reservations?mac={MAC}"), 200)["items"]) == 2
    assert answer(client.get("/api/v1/reservations?subnet=six&fields=address"), 200)["items"] == [{"address": "2001:db8::5"}]
    assert answer(client.patch("/api/v1/reservations/10.77.0.5", json={"name": "printer"}), 200)["changed"] is False
    moved = answer(client.patch("/api/v1/reservations/10.77.0.5", json={"address": "10.77.0.6", "domain": "print.example"}), 200)
    assert (moved["id"], moved["address"], moved["domain"]) == (made["id"], "10.77.0.6", "print.example")
    assert "print.example" in [each["name"] for each in answer(client.get("/api/v1/domains"), 200)["items"]]
    assert client.delete("/api/v1/reservations/10.77.0.6").status_code == 204
    refused(client.get("/api/v1/reservations/10.77.0.6"), 404, "reservation_not_found")
    assert [kind for kind in kinds(store) if kind.startswith("reservation")] == [
        "reservation.created",
        "reservation.created",
        "reservation.changed",
        "reservation.deleted",
    ]


def test_reservations_that_clash(client: FlaskClient, store: Store, add_machine: Any, clock: Any) -> None:
    answer(client.post("/api/v1/subnets", json={**SUBNET, "dns_servers": ["10.77.0.2"]}), 201)
    node = add_machine("node-1")
    give(store, node, "10.77.0.10")
    with store.write() as session:
        card = session.scalars(select(Interface.mac).where(Interface.machine_id == node)).one()
        leases_seen.seen(session, "10.77.0.140", "52:54:00:bb:00:01", clock() + timedelta(hours=1), clock())
    answer(client.post("/api/v1/reservations", json={"mac": MAC, "address": "10.77.0.5", "name": "printer"}), 201)

    def reserve(address: str, mac: str = "52:54:00:aa:00:02", **more: Any) -> Any:
        return client.post("/api/v1/reservations", json={"mac": mac, "address": address, **more})

    refused(reserve("10.78.0.5"), 422, "address_outside_subnets")
    refused(reserve("10.77.0.255"), 422, "address_invalid")
    refused(reserve("ten"), 422, "address_invalid")
    refused(reserve("10.77.0.7", mac="01:00:5e:00:00:01"), 422, "invalid_request")
    assert refused(reserve("10.77.0.1"), 409, "address_taken") == "10.77.0.1 is the gateway of subnet lab."
    assert refused(reserve("10.77.0.2"), 409, "address_taken") == "10.77.0.2 is a name server of subnet lab."
    message = refused(reserve("10.77.0.5"), 409, "address_reserved")
    assert message == f"10.77.0.5 is reserved for {MAC} already, so it cannot be for 52:54:00:aa:00:02."
    message = refused(reserve("10.77.0.6", mac=MAC), 409, "mac_reserved")
    assert message == f"{MAC} has 10.77.0.5 reserved on subnet lab already, so it cannot have 10.77.0.6."
    assert "belongs to machine node-1" in refused(reserve("10.77.0.10"), 409, "address_taken")
    assert "of machine node-1 has 10.77.0.10" in refused(reserve("10.77.0.11", mac=card), 409, "mac_has_address")
    assert "on lease to 52:54:00:bb:00:01" in refused(reserve("10.77.0.140"), 409, "address_on_lease")
    assert "no host name" in refused(reserve("10.77.0.8", name="a_b"), 422, "name_invalid")
    assert "machine node-1" in refused(reserve("10.77.0.8", name="node-1"), 409, "name_taken")
    assert "reservation of 10.77.0.5" in refused(reserve("10.77.0.8", name="printer"), 409, "name_taken")
    refused(reserve("10.77.0.8", name="x", domain="localhost"), 422, "domain_not_ownable")
    answer(reserve("10.77.0.10", mac=card, name="node-1"), 201)  # the machine's own
    answer(reserve("10.77.0.140", mac="52:54:00:bb:00:01"), 201)  # who has it on lease
    refused(client.patch("/api/v1/reservations/10.77.0.140", json={"mac": MAC}), 409, "mac_reserved")
    answer(client.post("/api/v1/subnets", json={"name": "six", "cidr": "2001:db8::/64"}), 201)
    other = client.patch("/api/v1/reservations/10.77.0.140", json={"address": "2001:db8::5"})
    assert "of the other family" in refused(other, 422, "address_invalid")


def test_a_machine_is_not_called_what_a_reservation_is(client: FlaskClient, add_machine: Any) -> None:
    answer(client.post("/api/v1/subnets", json=SUBNET), 201)
    answer(client.post("/api/v1/reservations", json={"mac": MAC, "address": "10.77.0.5", "name": "printer"}), 201)
    body = {"name": "printer", "macs": ["52:54:00:cc:00:01"]}
    message = refused(client.post("/api/v1/machines", json=body), 409, "name_taken")
    assert message == f"The name printer is taken by the reservation of 10.77.0.5 for {MAC}."
    answer(client.post("/api/v1/machines", json={**body, "macs": [MAC]}), 201)  # it is that card's machine
    add_machine("node-1")
    refused(client.patch("/api/v1/machines/node-1", json={"name": "printer"}), 409, "name_taken")


# -- addresses -----------------------------------------------------------------------------------------------------------------


def test_who_has_which_address(client: FlaskClient, store: Store, add_machine: Any, clock: Any) -> None:
    answer(client.post("/api/v1/subnets", json=SUBNET), 201)
    node = add_machine("node-1", hostname="web")
    give(store, node, "10.77.0.10")
    since, until = clock().isoformat(), (clock() + timedelta(hours=1)).isoformat()
    with store.write() as session:
        card = session.scalars(select(Interface.mac).where(Interface.machine_id == node)).one()
        for address, mac in (("10.77.0.10", card), ("10.77.0.140", "52:54:00:bb:00:01"), ("192.0.2.9", None)):
            leases_seen.seen(session, address, mac, clock() + timedelta(hours=1), clock())
        leases_seen.seen(session, "10.77.0.141", "52:54:00:bb:00:02", clock(), clock() - timedelta(hours=1))
    answer(client.post("/api/v1/reservations", json={"mac": MAC, "address": "10.77.0.5", "name": "printer"}), 201)
    lease = {"since": since, "until": until}
    items = answer(client.get("/api/v1/addresses"), 200)["items"]
    assert items == [
        {
            "address": "10.77.0.5",
            "subnet": "lab",
            "source": "reservation",
            "mac": MAC,
            "machine": None,
            "name": "printer",
            "since": since,
            "lease": None,
        },
        {
            "address": "10.77.0.10",
            "subnet": "lab",
            "source": "machine",
            "mac": card,
            "machine": "node-1",
            "name": "web",
            "since": None,
            "lease": {"mac": card, **lease},
        },
        {
            "address": "10.77.0.140",
            "subnet": "lab",
            "source": "dhcp",
            "mac": "52:54:00:bb:00:01",
            "machine": None,
            "name": None,
            "since": since,
            "lease": {"mac": "52:54:00:bb:00:01", **lease},
        },
        {
            "address": "192.0.2.9",
            "subnet": None,
            "source": "dhcp",
            "mac": None,
            "machine": None,
            "name": None,
            "since": since,
            "lease": {"mac": None, **lease},
        },
    ]
    first = answer(client.get("/api/v1/addresses?limit=3&fields=address"), 200)
    assert [each["address"] for each in first["items"]] == ["10.77.0.5", "10.77.0.10", "10.77.0.140"]
    rest = answer(client.get(f"/api/v1/addresses?limit=3&fields=address&cursor={first['next']}"), 200)
    assert rest == {"items": [{"address": "192.0.2.9"}], "next": None}
    for query, expected in (
        ("subnet=lab&source=dhcp", "10.77.0.140"),
        ("machine=node-1", "10.77.0.10"),
        (f"mac={MAC}", "10.77.0.5"),
    ):
        found = answer(client.get(f"/api/v1/addresses?fields=address&{query}"), 200)["items"]
        assert found == [{"address": expected}]
