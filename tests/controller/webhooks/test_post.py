# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server can do to a delivery: bad certificates, trickling, hanging up, speaking something else."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from receiver import Receiver

from metalwright.lifecycle import webhook_post
from metalwright.lifecycle.webhook_post import Poster, Undelivered

EVENT = {"id": 7, "kind": "test"}
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def reason(url: str, **options: Any) -> str:
    with Poster(url, **{"verify_tls": True, **options}) as poster, pytest.raises(Undelivered) as refused:
        poster.post(EVENT, "secret", NOW)
    return refused.value.reason


@pytest.fixture
def tls_receiver(receiver: Receiver, tmp_path: Path) -> Receiver:
    """With a certificate for localhost that it has signed itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    more = ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *more], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    return receiver


def test_a_certificate_is_verified_unless_it_is_said_not_to(
    tls_receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://localhost:{tls_receiver.port}/"
    assert reason(url) == "its certificate is not trusted: self-signed certificate"
    assert tls_receiver.deliveries == []
    with Poster(url, verify_tls=False) as poster:
        assert poster.post(EVENT, "secret", NOW) == 200
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with Poster(url, verify_tls=True) as poster:
        assert poster.post(EVENT, "secret", NOW) == 200
    assert reason(url.replace("localhost", "127.0.0.1")).startswith("its certificate is not trusted: IP address mismatch")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1%lo]", "[::ffff:169.254.169.254]"])
def test_nothing_is_sent_to_link_local_addresses(scheme: str, host: str) -> None:
    assert "link-local address" in reason(f"{scheme}://{host}/latest/meta-data")


def test_nothing_waits_for_an_acknowledgement_of_what_was_sent_before(receiver: Receiver) -> None:
    with Poster(f"http://127.0.0.1:{receiver.port}/", verify_tls=True) as poster:
        assert poster.post(EVENT, "secret", NOW) == 200
        assert poster._connection is not None
        assert poster._connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.fixture
def serve() -> Callable[[Callable[[socket.socket], None]], str]:
    """A server that does with each connection what the test says."""

    def start(talk: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            with listener:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    talk(connection)

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    return start


def test_a_server_that_says_nothing_is_not_waited_for_longer_than_allowed(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_post, "ANSWER_SECONDS", 0.2)
    over = threading.Event()
    assert reason(serve(lambda _connection: over.wait(20) and None)) == "it did not answer in time"
    over.set()


@pytest.mark.parametrize(("first", "taken"), [(b"HTTP/1.1 ", False), (b"HTTP/1.1 200 OK\r\nX-Slow: ", True)])
def test_a_server_that_trickles_is_cut_off(serve: Any, monkeypatch: pytest.MonkeyPatch, first: bytes, taken: bool) -> None:
    """It has taken the event if it had said so by then."""
    monkeypatch.setattr(webhook_post, "ANSWER_SECONDS", 0.3)
    over = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.sendall(first)
        try:
            while not over.wait(0.05):
                connection.sendall(b"x")
        except OSError:
            return

    url = serve(trickle)
    if taken:
        with Poster(url, verify_tls=True) as poster:
            assert poster.post(EVENT, "secret", NOW) == 200
    else:
        assert reason(url) == "it did not answer in time"
    over.set()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"", "it closed the connection without an answer"),
        (b"220 mail.example.com ESMTP\r\n", "what answers there does not speak HTTP (BadStatusLine)"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "it answered 404"),
    ],
)
def test_what_is_no_yes_has_its_reason(serve: Any, said: bytes, expected: str) -> None:
    assert reason(serve(lambda connection: connection.sendall(said))) == expected


def test_an_endless_answer_is_not_read_to_its_end(serve: Any) -> None:
    def talk(connection: socket.socket) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * (1 << 20))
        except OSError:
            return

    with Poster(serve(talk), verify_tls=True) as poster:
        assert poster.post(EVENT, "secret", NOW) == 200


def test_a_name_that_is_not_known() -> None:
    assert reason("http://nowhere.invalid/").startswith("the name nowhere.invalid is not known")
