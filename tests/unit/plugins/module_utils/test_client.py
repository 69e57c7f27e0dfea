# SPDX-License-Identifier: GPL-3.0-or-later
"""The client: whom it trusts, what it sends, what it says when it gets no sensible answer."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError, Client


def test_the_token_is_sent_and_a_password_of_netrc_is_not(controller, monkeypatch, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login root password wrong\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    controller.hears("GET", "/status", answers={})
    Client(controller.url, "secret").get("/status")
    assert controller.heard[0][4] == "Bearer secret"


def test_lists_are_read_to_their_end(controller):
    controller.hears("GET", "/machines", query={"limit": "1000", "state": "ready"}, answers={"items": [1, 2], "next": "abc"})
    controller.hears(
        "GET", "/machines", query={"limit": "1000", "state": "ready", "cursor": "abc"}, answers={"items": [3], "next": None}
    )
    assert Client(controller.url).items("/machines", state="ready", pool=None) == [1, 2, 3]


def test_a_redirect_is_not_followed(controller):
    controller.hears("GET", "/status", status=302, answers=b"")
    with pytest.raises(ApiError) as caught:
        Client(controller.url, "secret").get("/status")
    assert caught.value.status == 302


def test_an_answer_of_somebody_else_is_named(controller):
    controller.hears("GET", "/status", answers=b"<html>It works!</html>")
    with pytest.raises(ApiError, match=r"is not JSON: b'<html>It works!</html>'"):
        Client(controller.url).get("/status")


def test_an_error_of_somebody_else_is_named(controller):
    controller.hears("GET", "/status", status=502, answers=b"Bad Gateway")
    with pytest.raises(ApiError, match=r"HTTP status 502 from http://127\.0\.0\.1:.*: Bad Gateway") as caught:
        Client(controller.url).get("/status")
    assert caught.value.code == "http_error"


def test_silence_is_named():
    with pytest.raises(ApiError, match=r"No answer from the controller at http://127.0.0.1:1/: .*refused") as caught:
        Client("http://127.0.0.1:1").get("/status")
    assert (caught.value.code, caught.value.status) == ("unreachable", 0)


def test_a_certificate_is_always_verified(controller, tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "2", *made, *names], check=True, capture_output=True)
    controller.speak_tls(certificate, key)
    with pytest.raises(ApiError, match=r"certificate verify failed|Failed to validate the SSL certificate") as caught:
        Client(controller.url, "secret").get("/status")
    assert caught.value.code == "unreachable"
    assert controller.heard == []
    controller.hears("GET", "/status", answers={"ok": True})
    assert Client(controller.url, "secret", ca_path=str(certificate)).get("/status") == {"ok": True}


def test_a_name_is_one_part_of_a_path(controller):
    controller.hears("GET", "/machines/a%3Fb", status=404, answers={"code": "machine_not_found", "message": "no"})
    from ansible_collections.metalwright.fleet.plugins.module_utils._client import segment

    assert Client(controller.url).find("/machines/" + segment("a?b")) is None
