# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening sockets: every way in which it fails is told in one line, and sockets passed by systemd are taken."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from metalwright.config import Admin, Node, Settings, Tftp
from metalwright.errors import Invalid, MetalwrightError
from metalwright.serve.sockets import open_all, take_passed


def settings(admin: str = "127.0.0.1:0", node: str = "127.0.0.1:0", tftp: str = "") -> Settings:
    return Settings(admin=Admin(listen=admin), node=Node(listen=node), tftp=Tftp(listen=tftp))


def failure(wanted: Settings) -> MetalwrightError:
    with pytest.raises(MetalwrightError) as caught:
        open_all(wanted, {})
    return caught.value


def test_opens_what_is_asked_for() -> None:
    opened = open_all(settings(tftp="127.0.0.1:0"), {})
    assert opened.tftp is not None
    assert opened.tftp.type == socket.SOCK_DGRAM
    for listener in [*opened.admin, *opened.node]:
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        assert not listener.get_inheritable()
    opened.close_all_but()


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = failure(settings(node=f"127.0.0.1:{port}"))
    assert error.code == "port_taken"
    assert error.message == f"TCP port {port} of 127.0.0.1 ([node] listen) is taken by another program."
    assert f"ss -tlnp sport = :{port}" in error.hint


def test_an_address_of_another_host_is_named() -> None:
    error = failure(settings(admin="192.0.2.1:5240"))
    assert error.code == "address_missing"
    assert "192.0.2.1" in error.message


def test_tftp_over_ipv6_is_refused_at_the_start() -> None:
    error = failure(settings(tftp="[::]:0"))
    assert error.code == "config_invalid"
    assert error.message.startswith("UDP port 0 of :: ([tftp] listen): Address family")


PASSED = """
import os, sys
from metalwright.config import Admin, Node, Settings
from metalwright.serve.sockets import open_all
os.environ["LISTEN_PID"] = str(os.getpid())
opened = open_all(Settings(admin=Admin(listen="127.0.0.1:1"), node=Node(listen="127.0.0.1:0")), os.environ)
print(*(listener.getsockname()[1] for listener in opened.admin))
print([name for name in os.environ if name.startswith("LISTEN_")])
"""


def test_sockets_passed_under_the_name_admin_replace_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
        high = [os.dup(one.fileno()), os.dup(two.fileno())]

        def place() -> None:
            for number, descriptor in enumerate(high):
                os.dup2(descriptor, 3 + number, inheritable=True)

        environ = {**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "admin:admin"}
        run = subprocess.run(
            [sys.executable, "-c", PASSED],
            env=environ,
            preexec_fn=place,
            pass_fds=(3, 4),
            capture_output=True,
            text=True,
            check=True,
        )
        for descriptor in high:
            os.close(descriptor)
    assert run.stdout.splitlines() == [f"{ports[0]} {ports[1]}", "[]"]


def test_descriptors_meant_for_another_process_are_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "admin"}
    assert take_passed(environ) == {}
    assert environ == {}


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        monkeypatch.setattr("metalwright.serve.sockets._FIRST_PASSED", os.dup(given.fileno()))
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
        with pytest.raises(Invalid, match="'web'"):
            open_all(settings(), environ)
