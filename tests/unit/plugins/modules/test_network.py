# SPDX-License-Identifier: GPL-3.0-or-later
"""The network's modules, where they are more than read, compare and write."""

from __future__ import annotations

import pytest

DRY = {"dry_run": "true"}
MISSING = {"code": "not_found", "message": "There is none.", "details": {}, "hint": ""}
CARD = "52:54:00:aa:00:01"
KEPT = {"address": "10.0.0.5", "mac": CARD, "name": "printer", "domain": None, "comment": "", "subnet": "lab"}
RANGE = {"start": "2001:db8::10", "end": "2001:db8::20", "subnet": "lab", "kind": "static", "comment": ""}
OPTION = {"id": "1", "subnet": None, "machine": "node1", "reservation": None, "family": 4, "code": 7, "name": "log-servers"}


def error(code, **details):
    return {"code": code, "message": "It can not be.", "details": details, "hint": ""}


@pytest.mark.parametrize("check", [False, True])
def test_a_card_that_has_another_address_there_is_given_this_one(controller, run_module, check):
    query = DRY if check else {}
    controller.hears("GET", "/reservations/10.0.0.6", status=404, answers=MISSING)
    refused = error("mac_reserved", address="10.0.0.5", mac=CARD)
    controller.hears("POST", "/reservations", {"address": "10.0.0.6", "mac": CARD}, query=query, status=409, answers=refused)
    controller.hears("GET", "/reservations/10.0.0.5", answers=KEPT)
    moved = {**KEPT, "address": "10.0.0.6", "changed": True}
    controller.hears("PATCH", "/reservations/10.0.0.5", {"address": "10.0.0.6"}, query=query, answers=moved)
    result = run_module("ip_reservation", check=check, address="10.0.0.6", mac=CARD)
    assert (result["changed"], result["diff"]["before"]["address"], result["diff"]["after"]["address"]) == (
        True,
        "10.0.0.5",
        "10.0.0.6",
    )


def test_an_empty_text_takes_a_name_away_once(controller, run_module):
    controller.hears("GET", "/reservations/10.0.0.5", answers=KEPT)
    nameless = {**KEPT, "name": None}
    controller.hears("PATCH", "/reservations/10.0.0.5", {"name": None}, answers={**nameless, "changed": True})
    controller.hears("GET", "/reservations/10.0.0.5", answers=nameless)
    assert [run_module("ip_reservation", address="10.0.0.5", name="")["changed"] for _time in range(2)] == [True, False]


def test_what_is_not_there_yet_fails_a_run_and_not_its_check(controller, run_module):
    wished = {"subnet": "lab", "kind": "static", "start": "2001:db8::10", "end": "2001:db8::20"}
    answers = error("subnet_not_found", subnet="lab")
    controller.hears("GET", "/ranges/2001%3Adb8%3A%3A10", status=404, answers=MISSING)
    controller.hears("POST", "/ranges", wished, query=DRY, status=404, answers=answers)
    controller.hears("GET", "/ranges/2001%3Adb8%3A%3A10", status=404, answers=MISSING)
    controller.hears("GET", "/ranges/2001%3Adb8%3A%3A10", status=404, answers=MISSING)
    controller.hears("POST", "/ranges", wished, status=404, answers=answers)
    checked = run_module("ip_range", check=True, **wished)
    assert (checked["changed"], checked["diff"]) == (True, {"before": {}, "after": wished})
    assert "As long as that is so, range 2001:db8::10 can not be checked further" in str(checked["warnings"])
    assert run_module("ip_range", **wished)["error"]["code"] == "subnet_not_found"


def test_a_range_is_found_however_its_address_is_written_and_stays_on_its_subnet(controller, run_module):
    for _time in range(2):
        controller.hears("GET", "/ranges/2001%3Adb8%3A%3A10", answers=RANGE)
    assert run_module("ip_range", start="2001:DB8:0::0010", kind="static")["changed"] is False
    result = run_module("ip_range", start="2001:db8::10", subnet="other")
    assert (result["failed"], result["error"]["code"]) == (True, "fixed_option")
    assert "range 2001:db8::10 has subnet lab, which can not become other" in result["msg"]


def test_an_option_is_found_by_number_or_name_in_its_family(controller, run_module):
    six = {**OPTION, "id": "2", "family": 6, "value": "2001:db8::1"}
    four = {**OPTION, "value": "10.0.0.4"}
    for wished, data in (("log-servers", {"value": "10.0.0.4"}), ("7", {"value": ["10.0.0.4"]})):
        controller.hears("GET", "/dhcp-options", query={"machine": "node1", "limit": "1000"}, answers={"items": [six, four]})
        controller.hears("PATCH", "/dhcp-options/1", data, answers={**four, "changed": False})
        assert run_module("dhcp_option", machine="node1", option=wished, **data)["changed"] is False
    controller.hears("GET", "/dhcp-options", query={"machine": "node1", "limit": "1000"}, answers={"items": [six, four]})
    controller.hears("DELETE", "/dhcp-options/2", status=204)
    gone = run_module("dhcp_option", machine="node1", option="LOG-SERVERS", family=6, state="absent")
    assert (gone["changed"], gone["diff"]["before"]["family"], gone["diff"]["after"]) == (True, 6, {})


def test_records_are_one_request(controller, run_module):
    wished = {"domain": "a.example", "name": "www", "type": "A"}
    before = [{"name": "www", "type": "A", "data": "10.0.0.5", "ttl": 60}]
    after = [{**before[0], "data": "10.0.0.6"}]
    answer = {"before": before, "records": after, "changed": True}
    controller.hears("PUT", "/record-sets", {**wished, "data": ["10.0.0.6"]}, answers=answer)
    controller.hears("PUT", "/record-sets", {**wished, "data": []}, status=404, answers=error("domain_not_found"))
    changed = run_module("dns_record", **wished, data="10.0.0.6")
    assert changed["diff"] == {"before": {"data": ["10.0.0.5"], "ttl": 60}, "after": {"data": ["10.0.0.6"], "ttl": 60}}
    absent = run_module("dns_record", **wished, state="absent")
    assert (absent["changed"], absent["records"]) == (False, [])


def test_the_resolver_is_given_back_to_the_settings(controller, run_module):
    own = {
        "forwarders": ["192.0.2.1"],
        "query_from": [],
        "recurse_from": [],
        "ttl": 300,
        "default_domain": "x",
        "set": ["forwarders"],
    }
    theirs = {**own, "forwarders": [], "set": []}
    controller.hears("GET", "/dns", answers=own)
    controller.hears("PATCH", "/dns", {"forwarders": None}, answers={**theirs, "changed": True})
    controller.hears("GET", "/dns", answers=theirs)
    first, second = (run_module("dns_settings", state="absent") for _time in range(2))
    assert (first["changed"], first["dns"], second["changed"]) == (True, theirs, False)
