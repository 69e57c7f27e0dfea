# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright serve`` as its users meet it: it starts, survives the death of each part, ends clean, and says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from processes import children, descendants, lives, name, until
from running_controller import RunningController

SERVICES = ["mw-admin", "mw-node", "mw-tftp", "mw-worker"]


def services(controller: RunningController) -> dict[str, int]:
    """The children by name, once all are there."""

    def look() -> dict[str, int]:
        found = {name(pid): pid for pid in children(controller.pid)}
        return found if sorted(found) == SERVICES else {}

    return until(look, "all services run")


def kill(controller: RunningController, service: str) -> None:
    """Kill a service, and wait until another process has its place."""
    killed = services(controller)[service]
    os.kill(killed, signal.SIGKILL)
    until(lambda: services(controller)[service] != killed, f"{service} is back")


def tftp_answers(controller: RunningController) -> bool:
    """A read request for a file that is not there is answered with an error packet (RFC 1350)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.sendto(b"\0\1nothing\0octet\0", ("127.0.0.1", controller.tftp_port))
        try:
            return client.recv(100)[:2] == b"\0\5"
        except TimeoutError:
            return False


def restarts(controller: RunningController) -> list[dict[str, str]]:
    return [event["data"] for event in controller.json("event", "list", "--kind", "service.restarted")]


def test_each_service_comes_back_when_it_is_killed(controller: RunningController) -> None:
    controller.start()
    for service in SERVICES:
        kill(controller, service)
        assert requests.get(f"{controller.url}/healthz", timeout=10).ok
        assert requests.get(f"{controller.node_url}/agent/nothing/image", timeout=10).status_code == 404
        assert until(lambda: tftp_answers(controller), "TFTP answers")
    told = until(lambda: found if len(found := restarts(controller)) == len(SERVICES) else [], "all restarts are events")
    assert sorted(each["service"] for each in told) == ["admin", "node", "tftp", "worker"]
    assert {each["how"] for each in told} == {"was killed by SIGKILL"}


def test_a_request_in_the_moment_of_death_waits_and_is_answered(controller: RunningController) -> None:
    controller.start()
    before = services(controller)["mw-admin"]
    os.kill(before, signal.SIGSTOP)  # it can accept nothing: the connection stays in the backlog
    with socket.create_connection(("127.0.0.1", controller.admin_port), timeout=20) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        os.kill(before, signal.SIGKILL)
        assert client.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_nothing_is_left_of_a_killed_controller_and_the_next_starts_at_once(controller: RunningController) -> None:
    controller.start()
    services(controller)
    below = descendants(controller.pid)
    controller.stop()
    until(lambda: not any(lives(pid) for pid in below), "all processes are gone")
    controller.start()
    services(controller)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_clean_when_it_is_told_to(controller: RunningController, number: signal.Signals) -> None:
    controller.start()
    below = list(services(controller).values())
    assert controller.process is not None
    controller.process.send_signal(number)
    assert controller.process.wait(15) == 0
    assert not [pid for pid in below if lives(pid)]
    assert "Traceback" not in controller.log
    assert json.loads(controller.log.splitlines()[-1])["event"] == "stopped"


def test_a_taken_port_is_one_clear_line(controller: RunningController) -> None:
    with socket.create_server(("127.0.0.1", controller.node_port)):
        done = controller.cli("serve", "--config", str(controller.config), timeout=60)
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error == f"error: TCP port {controller.node_port} of 127.0.0.1 ([node] listen) is taken by another program."
    assert hint.startswith("hint: ")


def test_bad_settings_are_one_clear_line(controller: RunningController) -> None:
    controller.config.write_text("[node]\nlissen = 1\n")
    done = controller.cli("serve", "--config", str(controller.config), timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"error: {controller.config}: node.lissen: Extra inputs are not permitted"


def test_a_data_directory_that_can_not_be_made_is_one_clear_line(controller: RunningController, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = controller.cli(
        "serve", "--config", str(controller.config), environ={"METALWRIGHT_DATA_DIR": str(tmp_path / "file" / "data")}, timeout=60
    )
    assert done.returncode == 1
    assert "(data_dir) can not be made: Not a directory." in done.stderr.splitlines()[0]


def test_a_database_that_is_none_is_one_clear_line(controller: RunningController) -> None:
    (controller.data / "metalwright.db").write_bytes(b"this is no database" * 100)
    done = controller.cli("serve", "--config", str(controller.config), timeout=60)
    assert done.returncode == 1
    assert "can not be used: file is not a database." in done.stderr.splitlines()[0]


def test_a_missing_database_is_made(controller: RunningController) -> None:
    (controller.data / "metalwright.db").unlink()
    controller.start()
    assert controller.cli("token", "list", "--config", str(controller.config)).stderr.startswith("There are no tokens.")


def test_passed_sockets_are_served_and_readiness_is_told(controller: RunningController, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
    ):
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(30)
        ports = [each.getsockname()[1] for each in (one, two)]
        high = [os.dup(each.fileno()) for each in (one, two)]

        def place() -> None:
            for number, descriptor in enumerate(high):
                os.dup2(descriptor, 3 + number, inheritable=True)

        environ = {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "admin:admin", "NOTIFY_SOCKET": str(tmp_path / "notify")}
        command = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]
        controller.start_with(command, environ=environ, preexec_fn=place, pass_fds=(3, 4))
        for descriptor in high:
            os.close(descriptor)
        assert notified.recv(200).startswith(b"READY=1\n")
    for port in ports:
        assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).ok
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{controller.url}/healthz", timeout=10)


def test_no_token_of_a_machine_is_logged(controller: RunningController) -> None:
    controller.start()
    token = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF"
    for path in (f"agent/{token}/hello", f"seed/{token}/meta-data", f"files/{token}/image", f"report/{token}"):
        requests.get(f"{controller.node_url}/{path}", timeout=10)
    until(lambda: "/report/***" in controller.log, "the last request is in the log")
    assert token not in controller.log


def test_machines_have_their_ipv4_address_where_the_node_plane_listens_on_ipv6(controller: RunningController) -> None:
    """By it commissioned machines are let in, and others are enlisted by the subnet they are in."""
    controller.start_with([], environ={"METALWRIGHT_NODE__LISTEN": f"[::]:{controller.node_port}"})
    until(controller.answers, "the first answer of the API")
    requests.get(f"{controller.node_url}/boot/ipxe?mac=52:54:00:00:00:0a", timeout=10).raise_for_status()
    told = until(lambda: controller.json("event", "list", "--kind", "boot.unknown"), "the machine is an event")
    assert [event["data"]["address"] for event in told] == ["127.0.0.1"]
    assert "::ffff:" not in controller.log


def test_clients_that_never_close_their_end_hold_nobody_up(controller: RunningController) -> None:
    """gunicorn alone would wait 2 s for each of them in the loop that serves everybody."""
    controller.start()
    with ExitStack() as clients:
        for _ in range(20):
            silent = clients.enter_context(socket.create_connection(("127.0.0.1", controller.node_port)))
            silent.sendall(b"GET /boot/start.ipxe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert silent.recv(12) == b"HTTP/1.1 200"
        assert requests.get(f"{controller.node_url}/boot/start.ipxe", timeout=15).ok
