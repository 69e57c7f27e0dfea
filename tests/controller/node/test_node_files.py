# SPDX-License-Identifier: GPL-3.0-or-later
"""Files: ranges as RFC 9110 has them, and as they leave a real server."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from node_world import BUILD, SHA, Clock, World

from metalwright.config import Settings, load
from metalwright.store.base import utcnow
from metalwright.store.models import Image

KERNEL = f"/boot/agent/{BUILD}/initrd.img"
CONTENT = b"0123456789"


@pytest.fixture
def ten(world: World) -> World:
    """A plane whose agent is ten bytes."""
    (world.settings.boot_dir / "agent" / BUILD / "initrd.img").write_bytes(CONTENT)
    return world


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        (None, 200, CONTENT, None),
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, CONTENT, "bytes 0-9/10"),
        ("bytes=8-99999999999999999", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-", 206, CONTENT, "bytes 0-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=99-100", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=5-2", 200, CONTENT, None),
        ("bytes=-", 200, CONTENT, None),
        ("bytes=0-1,3-4", 200, CONTENT, None),
        ("lines=0-1", 200, CONTENT, None),
        ("bytes=a-b", 200, CONTENT, None),
        ("bytes=\u0663-", 200, CONTENT, None),
        ("bytes=" + "9" * 5000 + "-", 200, CONTENT, None),
    ],
)
def test_ranges(ten: World, asked: str | None, status: int, body: bytes, content_range: str | None) -> None:
    answer = ten.get(KERNEL, headers={"Range": asked.encode().decode("latin-1")} if asked else {})
    assert (answer.status_code, answer.data, answer.headers.get("Content-Range")) == (status, body, content_range)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.content_length == len(body)


def test_range_only_of_the_content_that_was_begun(ten: World) -> None:
    tag = ten.get(KERNEL).headers["ETag"]
    assert tag == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert ten.get(KERNEL, headers={"Range": "bytes=2-", "If-Range": tag}).status_code == 206
    assert ten.get(KERNEL, headers={"Range": "bytes=2-", "If-Range": '"other"'}).data == CONTENT
    assert ten.get(KERNEL, headers={"If-None-Match": tag}).status_code == 304
    (ten.settings.boot_dir / "agent" / BUILD / "initrd.img").write_bytes(b"x")
    assert ten.get(KERNEL, headers={"If-None-Match": tag}).data == b"x"


def test_head_has_the_length_and_no_body(ten: World) -> None:
    answer = ten.client.head(KERNEL, headers={"Range": "bytes=2-3"})
    assert (answer.status_code, answer.content_length, answer.data) == (200, 10, b"")


def test_image_only_while_it_may_be_written(world: World) -> None:
    world.image()
    world.start(world.machine(), "deploy")
    token = world.token()
    path = f"/files/{token}/image"
    assert world.get(path, headers={"Range": "bytes=4-5"}).data == b"45"
    world.hello(token)
    answer = world.get(path)
    assert (answer.data, answer.headers["ETag"]) == (CONTENT, f'"{SHA}"')
    world.done(token)
    assert world.get(path).status_code == 404


def test_an_image_that_is_replaced_meanwhile_is_the_one_that_was_begun_with(world: World) -> None:
    image = world.image()
    world.start(world.machine(), "deploy")
    with world.store.write() as session:
        session.get_one(Image, image.id).content_sha256 = "e" * 64
    token = world.token()
    job = world.hello(token).json
    assert job is not None and job["steps"][0]["sha256"] == SHA
    assert world.get(f"/files/{token}/image").data == CONTENT


def test_image_whose_file_is_gone_is_no_void_token(world: World) -> None:
    world.image()
    world.start(world.machine(), "deploy")
    (world.settings.images_dir / f"{SHA}.raw.zst").unlink()
    answer = world.get(f"/files/{world.token()}/image")
    assert answer.json is not None and (answer.status_code, answer.json["code"]) == (503, "image_file_missing")


@dataclass(frozen=True)
class Served:
    """A plane behind a real server."""

    world: World
    port: int
    process: subprocess.Popen[bytes]

    def connect(self) -> closing[http.client.HTTPConnection]:
        return closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60))

    def get(self, path: str) -> tuple[int, bytes]:
        with self.connect() as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def calls_of_read(self) -> int:
        """System calls by which the server has read anything, sendfile included."""
        text = Path(f"/proc/{self.process.pid}/io").read_text()
        return int(next(line for line in text.splitlines() if line.startswith("syscr")).split()[1])


@pytest.fixture
def served(settings: Settings, tmp_path: Path) -> Iterator[Served]:
    """gunicorn's worker on loopback."""
    config = tmp_path / "metalwright.toml"
    config.write_text(f'data_dir = "{tmp_path}"\n[node]\nurl = "http://127.0.0.1:1"\n')
    clock = Clock()
    clock.now = utcnow()
    world = World(load(config, {}), clock)
    listener = socket.create_server(("127.0.0.1", 0))
    script = Path(__file__).parent / "served.py"
    arguments = [sys.executable, str(script), str(config), str(listener.fileno())]
    process = subprocess.Popen(arguments, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    port = listener.getsockname()[1]
    listener.close()
    yield Served(world, port, process)
    process.terminate()
    process.wait(30)
    world.store.engine.dispose()


def test_kernel_sends_the_file_whole_and_in_part(served: Served) -> None:
    size = 96 << 20
    path = served.world.settings.images_dir / f"{SHA}.raw.zst"
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size - 3)
        file.write(b"end")
    served.world.image()
    served.world.start(served.world.machine(), "deploy")
    token = served.world.token()
    assert served.get("/boot/start.ipxe")[0] == 200  # it has started: what it reads from now on are requests and files
    with served.connect() as connection:
        for asked, length in ((None, size), ("bytes=1048577-", size - 1048577), ("bytes=-3", 3)):
            before = served.calls_of_read()
            connection.request("GET", f"/files/{token}/image", headers={"Range": asked} if asked else {})
            answer = connection.getresponse()
            assert answer.status == (206 if asked else 200)
            body = answer.read()
            assert (len(body), body[-3:]) == (length, b"end")
            # 96 reads of a mebibyte, were it read; the same connection goes on, so the length was right to the byte
            assert served.calls_of_read() - before < 60


def test_server_refuses_large_bodies_without_reading_them(served: Served) -> None:
    served.world.start(served.world.machine(), "commission")
    token = served.world.token()
    hundred = 100 << 20
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as peer:
        peer.sendall(f"POST /agent/{token}/inventory HTTP/1.1\r\nHost: c\r\nContent-Length: {hundred}\r\n\r\n".encode())
        assert _status(peer) == 413
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as peer:
        peer.sendall(f"POST /agent/{token}/inventory HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        sent = _send_chunks(peer, hundred)
        assert sent < hundred / 2
    with served.connect() as connection:
        connection.request("POST", f"/agent/{token}/inventory", body=b"{}")
        assert connection.getresponse().status == 422


def _send_chunks(peer: socket.socket, limit: int) -> int:
    """Send until the server has had enough; answers how much it took."""
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    sent = 0
    try:
        while sent < limit:
            peer.sendall(chunk)
            sent += 65536
    except OSError:
        return sent
    return sent


def _status(peer: socket.socket) -> int:
    with peer.makefile("rb") as answer:
        return int(answer.readline().split()[1])


PACKETS = (
    b"\x00\x01\x02\xff" * 100,
    b"GET /\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /agent/x/done HTTP/1.1\r\nHost: c\r\nContent-Length: -1\r\n\r\n",
    b"POST /agent/x/done HTTP/1.1\r\nHost: c\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: c\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"GET /%ff%00%2e%2e/ HTTP/1.1\r\nHost: \xff\r\n\r\n",
)


def test_malformed_requests_are_served_on(served: Served) -> None:
    for packet in PACKETS:
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as peer:
            try:
                peer.sendall(packet)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
            except TimeoutError:
                raise
            except OSError:  # it was cut off: ECONNRESET, EPIPE, ENOTCONN
                pass
        assert served.get("/boot/start.ipxe")[0] == 200
    assert served.process.poll() is None


def test_body_that_ends_early_is_an_answer_and_no_crash(served: Served) -> None:
    served.world.start(served.world.machine(), "commission")
    token = served.world.token()
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as peer:
        peer.sendall(f"POST /agent/{token}/done HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbroken".encode())
        assert _status(peer) == 400
    status, body = served.get("/boot/ipxe?mac=")
    assert status == 200 and body.startswith(b"#!ipxe")
    status, body = served.get("/nothing")
    assert (status, json.loads(body)["code"]) == (404, "not_found")
