# SPDX-License-Identifier: GPL-3.0-or-later
"""Things that are written whole: what is not wished stays, what is secret is never seen, the controller says what changed."""

from __future__ import annotations

import pytest

DRY = {"dry_run": "true"}
MISSING = {"code": "not_found", "message": "There is none.", "details": {}, "hint": ""}
POOL = {"name": "lab", "description": "for tests", "erase": "quick", "defined": True, "machines": {}}
HOOK = {"name": "chat", "url": "https://a.example/", "events": ["a.*"], "verify_tls": True, "enabled": True, "cursor": 7}
SCRIPT = "#!/bin/sh\n# \u00fc\r\n"


@pytest.mark.parametrize("check", [False, True])
def test_what_is_not_wished_stays(controller, run_module, check):
    controller.hears("GET", "/pools/lab", answers=POOL)
    body = {"description": "for tests", "erase": "full"}
    controller.hears("PUT", "/pools/lab", body, query=DRY if check else {}, answers={**POOL, "erase": "full", "changed": True})
    result = run_module("pool", check=check, name="lab", erase="full")
    assert (result["changed"], result["pool"]["erase"]) == (True, "full")
    assert (result["diff"]["before"]["erase"], result["diff"]["after"]["erase"]) == ("quick", "full")
    assert "changed" not in result["pool"]


def test_a_pool_that_is_only_a_name_is_not_there(controller, run_module):
    named = {**POOL, "description": "", "defined": False, "machines": {"new": 1}}
    controller.hears("GET", "/pools/lab", answers=named)
    controller.hears("PUT", "/pools/lab", {"erase": "full"}, answers={**POOL, "erase": "full", "changed": True})
    controller.hears("GET", "/pools/lab", answers=named)
    made, absent = run_module("pool", name="lab", erase="full"), run_module("pool", name="lab", state="absent")
    assert (made["changed"], made["diff"]["before"]) == (True, {})
    assert (absent["changed"], absent["pool"]) == (False, None)


def test_a_rule_tells_which_machines_fit(controller, run_module):
    rule = {"name": "fast", "when": "memory >= 1GiB", "actions": {"add_tags": ["x"]}, "position": 100, "enabled": True}
    controller.hears("GET", "/rules/fast", status=404, answers=MISSING)
    body = {"when": "memory >= 1GiB", "actions": {"add_tags": ["x"]}}
    controller.hears("PUT", "/rules/fast", body, answers={**rule, "changed": True, "matches": ["node1"]})
    result = run_module("rule", name="fast", **body)
    assert (result["changed"], result["matches"]) == (True, ["node1"])
    assert result["rule"] == rule


@pytest.mark.parametrize(
    "module,options,lacks",
    [
        ("rule", {"name": "x", "when": "memory >= 1GiB"}, "actions"),
        ("webhook", {"name": "x", "target_url": "https://a.example/"}, "secret"),
        ("script", {"name": "x"}, "source"),
    ],
)
def test_what_is_needed_is_asked_for_before_anything_is_sent(controller, run_module, module, options, lacks):
    controller.hears("GET", f"/{module}s/x", status=404, answers=MISSING)
    result = run_module(module, **options)
    assert result["failed"] is True
    assert result["msg"] == f"There is no {module} x, and one can not be made without {lacks}. Give {lacks}, or check the name."


def test_the_secret_of_a_webhook_is_sent_and_never_seen(controller, run_module):
    body = {"url": "https://a.example/", "secret": "a-secret-word-1234"}
    controller.hears("GET", "/webhooks/chat", status=404, answers=MISSING)
    controller.hears("PUT", "/webhooks/chat", body, answers={**HOOK, "changed": True, "secret": None})
    result = run_module("webhook", name="chat", target_url="https://a.example/", secret="a-secret-word-1234")
    assert result["changed"] is True
    assert "a-secret-word" not in str(result)
    assert "secret" not in result["webhook"]


@pytest.mark.parametrize("differs", [True, False])
def test_only_the_controller_knows_whether_a_secret_is_another(controller, run_module, differs):
    body = {"url": "https://a.example/", "events": ["a.*"], "verify_tls": True, "enabled": True, "secret": "a-secret-word-1234"}
    controller.hears("GET", "/webhooks/chat", answers=HOOK)
    controller.hears("PUT", "/webhooks/chat", body, answers={**HOOK, "changed": differs, "secret": None})
    result = run_module("webhook", name="chat", secret="a-secret-word-1234")
    assert result["changed"] is differs
    assert (result["diff"]["before"] != result["diff"]["after"]) is differs


def test_a_script_from_a_file_arrives_byte_for_byte(controller, run_module, tmp_path):
    file = tmp_path / "script.sh"
    file.write_bytes(SCRIPT.encode())
    controller.hears("GET", "/scripts/x", answers={"name": "x", "source": "#!/bin/sh\n"})
    controller.hears("PUT", "/scripts/x", {"source": SCRIPT}, answers={"name": "x", "source": SCRIPT})
    assert run_module("script", name="x", source_file=str(file))["changed"] is True
    result = run_module("script", name="x", source_file=str(tmp_path / "nothing"))
    assert (result["failed"], result["error"]["code"]) == (True, "bad_file")


@pytest.mark.parametrize("check", [False, True])
def test_what_is_removed_is_gone(controller, run_module, check):
    controller.hears("GET", "/webhooks/chat", answers=HOOK)
    controller.hears("DELETE", "/webhooks/chat", query=DRY if check else {}, status=204)
    controller.hears("GET", "/webhooks/chat", status=404, answers=MISSING)
    first, second = (run_module("webhook", check=check, name="chat", state="absent") for _time in range(2))
    assert (first["changed"], first["webhook"], first["diff"]["after"]) == (True, None, {})
    assert second["changed"] is False
