# SPDX-License-Identifier: GPL-3.0-or-later
"""The webhook driver against a real HTTP server that plays a smart plug."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError
from redfish_service import authority

from metalwright.errors import Invalid
from metalwright.power import PowerDriver, PowerError, PowerState, create, redact
from metalwright.power.webhook import WebhookParameters

KEY = "s3cret&key"


class Plug(ThreadingHTTPServer):
    """Switches by GET or POST ``/power?to=on``, tells its state at ``/state``, lets in who has the key."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = "off"
        self.stuck = False
        self.asked: list[tuple[str, str, str]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Plug

    def do_GET(self) -> None:
        self._answer("")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

    def _answer(self, body: str) -> None:
        where, plug = urlsplit(self.path), self.server
        plug.asked.append((self.command, self.path, body))
        query = parse_qs(where.query)
        if where.path == "/elsewhere":
            return self._send(302, "", Location=query["to"][0])
        if where.path == "/drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:  # never comes to an end, and never stops
                self.wfile.write(b"X: y\r\n")
                time.sleep(0.2)
        if KEY not in (query.get("key", [""])[0], self.headers.get("X-Key")):
            return self._send(403, "who are you")
        if where.path == "/power" and not plug.stuck:
            plug.state = "on" if query["to"][0] == "restart" else query["to"][0]
        return self._send(200, f'{{"POWER":"{plug.state.upper()}"}}' if where.path == "/state" else "done")

    def _send(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def plug() -> Iterator[Plug]:
    server = Plug()
    yield server
    server.shutdown()
    server.server_close()


def parameters(plug: Plug, **other: Any) -> dict[str, Any]:
    given = {
        "on_url": f"{plug.url}/power?to=on",
        "off_url": f"{plug.url}/power?to=off",
        "query_url": f"{plug.url}/state",
        "query_on": '"POWER":"ON"',
        "query_off": '"POWER":"OFF"',
        "headers": "X-Key: {secret}\nAccept: application/json",
        "secret": KEY,
    }
    return {name: value for name, value in {**given, **other}.items() if value is not None}


def driver(plug: Plug, timeout: float = 10.0, **other: Any) -> PowerDriver:
    return create("webhook", parameters(plug, **other), timeout)


def test_on_and_off_are_sent_once_and_only_when_needed(plug: Plug) -> None:
    machine = driver(plug)
    assert machine.query() is PowerState.OFF
    machine.on()
    machine.on()
    assert machine.query() is PowerState.ON
    machine.off()
    assert [(method, path) for method, path, _ in plug.asked if path.startswith("/power")] == [
        ("POST", "/power?to=on"),
        ("POST", "/power?to=off"),
    ]


def test_cycle_is_off_and_on_where_nothing_else_is_said(plug: Plug) -> None:
    plug.state = "on"
    driver(plug).cycle()
    driver(plug, cycle_url=f"{plug.url}/power?to=restart").cycle()
    plug.state = "off"
    driver(plug, cycle_url=f"{plug.url}/power?to=restart").cycle()
    assert [path for _, path, _ in plug.asked if path.startswith("/power")] == [
        "/power?to=off",
        "/power?to=on",
        "/power?to=restart",
        "/power?to=on",
    ]


def test_the_secret_goes_to_its_places_and_is_never_shown(plug: Plug) -> None:
    given = parameters(
        plug,
        on_url=f"{plug.url}/power?to=on&key={{secret}}",
        on_method="POST",
        on_body='{"token": "{secret}"}',
        headers=None,
        query_url=None,
    )
    create("webhook", given).on()
    assert plug.asked == [("POST", "/power?to=on&key=s3cret%26key", '{"token": "s3cret&key"}')]
    assert plug.state == "on"
    shown = redact("webhook", {**given, "headers": "X-Key: also-secret"})
    assert (shown["secret"], shown["headers"]) == ("********", "********")
    assert shown["on_body"] == '{"token": "{secret}"}'


def test_without_a_query_the_state_is_unknown_and_nothing_is_asked(plug: Plug) -> None:
    assert driver(plug, query_url=None).query() is PowerState.UNKNOWN
    assert plug.asked == []


def refusal(machine: PowerDriver) -> PowerError:
    with pytest.raises(PowerError) as caught:
        machine.on()
    assert caught.value.hint
    assert KEY not in str(caught.value.as_dict())
    return caught.value


def test_a_wrong_key(plug: Plug) -> None:
    error = refusal(driver(plug, secret="wrong"))
    assert error.code == "bmc_auth_failed"
    assert f"127.0.0.1:{plug.server_port}" in error.message


def test_a_plug_that_does_not_obey(plug: Plug) -> None:
    plug.stuck = True
    error = refusal(driver(plug, timeout=3))
    assert error.code == "power_refused"
    assert "still off" in error.message


def test_an_answer_that_no_pattern_fits(plug: Plug) -> None:
    error = refusal(driver(plug, query_on="running", query_off="stopped"))
    assert error.code == "power_misconfigured"
    assert "neither query_on nor query_off fits" in error.message and "(status 200, 15 bytes)" in error.message
    assert "POWER" not in str(error.as_dict()), "the answer may be what only the controller can read"
    both = refusal(driver(plug, query_on="POWER", query_off="POWER"))
    assert "both query_on and query_off fit" in both.message


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[fe80::1%lo]", "[::ffff:169.254.169.254]"])
def test_a_link_local_address_is_refused_where_it_is_written(host: str) -> None:
    with pytest.raises(ValidationError, match="link-local"):
        WebhookParameters.model_validate({"on_url": f"http://{host}/", "off_url": "http://192.0.2.1/"})


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nothing_is_sent_to_link_local_addresses(plug: Plug, scheme: str, host: str) -> None:
    asked = driver(plug, query_url=f"{scheme}://{host}/latest/meta-data")
    with pytest.raises(PowerError) as of_a_check:
        driver(plug, query_url=None, on_url=f"{scheme}://{host}/", off_url=f"{scheme}://{host}/").check()
    for error in (refusal(asked), of_a_check.value):
        assert (error.code, "link-local" in error.message) == ("power_refused", True)


def test_redirects_are_followed_to_the_same_server_only(plug: Plug) -> None:
    other = Plug()
    inside = f"{plug.url}/elsewhere?to=/state"
    assert driver(plug, query_url=inside).query() is PowerState.OFF
    error = refusal(driver(plug, query_url=f"{plug.url}/elsewhere?to={other.url}/state"))
    assert error.code == "power_refused"
    assert "another server" in error.message
    assert other.asked == []
    other.shutdown()
    other.server_close()


def test_a_server_that_never_comes_to_an_end(plug: Plug) -> None:
    started = time.monotonic()
    assert refusal(driver(plug, timeout=2, query_url=f"{plug.url}/drip")).code == "bmc_unreachable"
    assert time.monotonic() - started < 3


def test_nobody_listens(plug: Plug) -> None:
    machine = driver(plug, query_url=None)
    plug.shutdown()
    plug.server_close()
    assert refusal(machine).code == "bmc_unreachable"
    with pytest.raises(PowerError):
        machine.check()


def test_certificates_are_verified(plug: Plug, tmp_path: Path) -> None:
    ca = authority(tmp_path / "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca / "server.crt", ca / "server.key")
    secure = Plug()
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    url = f"https://localhost:{secure.server_port}/state"
    assert driver(plug, query_url=url, verify=str(ca / "ca.crt")).query() is PowerState.OFF
    assert driver(plug, query_url=url, verify="false").query() is PowerState.OFF
    error = refusal(driver(plug, query_url=url))
    assert error.code == "power_misconfigured"
    assert "certificate is not trusted" in error.message
    secure.shutdown()
    secure.server_close()


def test_soft_off_is_refused_and_cuts_nothing(plug: Plug) -> None:
    plug.state = "on"
    with pytest.raises(PowerError) as caught:
        driver(plug).off(soft=True)
    assert caught.value.code == "power_refused"
    assert plug.state == "on"


@pytest.mark.parametrize(
    ("wrong", "parameter"),
    [
        ({"on_url": "file:///etc/passwd"}, "on_url"),
        ({"off_url": "http://user:pass@plug/"}, "off_url"),
        ({"query_on": "("}, "query_on"),
        ({"query_on": "a{99999999999999999999}"}, "query_on"),
        ({"query_off": "(" * 1000}, "query_off"),
        ({"headers": "no colon"}, "headers"),
        ({"on_method": "BREW"}, "on_method"),
        ({"secret": ""}, "secret"),
    ],
)
def test_parameters_that_can_not_work(plug: Plug, wrong: dict[str, str], parameter: str) -> None:
    with pytest.raises(Invalid) as caught:
        driver(plug, **wrong)
    assert parameter in caught.value.message
