# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that is rescued lets in who holds a key, and proves who it is; with a real SSH server and a real client."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metalwright.agent.errors import StepFailed
from metalwright.agent.rescue import Door, authorize, open_door, own_address
from metalwright.agent.work import Work

Ssh = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """A door that only this test knows."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    door = Door(tmp_path / "home", tmp_path / "door", port)
    door.home.mkdir(mode=0o700)
    yield door
    pid = door.directory / "pid"
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGTERM)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Key pairs of two people: the public halves by name."""
    for name in ("owner", "stranger"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@desk", "-f", str(tmp_path / name)]
        subprocess.run(command, check=True)
    return {name: (tmp_path / f"{name}.pub").read_text().strip() for name in ("owner", "stranger")}


@pytest.fixture
def ssh(tmp_path: Path, door: Door) -> Ssh:
    """Log in as root by somebody's key, knowing the machine by these host keys."""

    def run(name: str, host_keys: list[str], command: str) -> subprocess.CompletedProcess[str]:
        known = tmp_path / "known_hosts"
        known.write_text("".join(f"[127.0.0.1]:{door.port} {key}\n" for key in host_keys))
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(known),
            "GlobalKnownHostsFile": "/dev/null",
        }
        words = [word for name_, value in options.items() for word in ("-o", f"{name_}={value}")]
        target = ["-p", str(door.port), "-i", str(tmp_path / name), "root@127.0.0.1", command]
        return subprocess.run(["ssh", "-F", "none", *words, *target], capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def rescue(door: Door, work_on: Callable[..., Work], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Open the door. The server asks the system where root's home is, so it sees ``door.home`` in that place, it alone."""
    real = subprocess.run(["sh", "-c", "command -v dropbear"], capture_output=True, text=True, check=True).stdout.strip()
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    wrapper = bin_directory / "dropbear"
    wrapper.write_text(f'#!/bin/sh\nexec unshare --mount sh -c \'mount --bind {door.home} ~root && exec {real} "$@"\' sh "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_directory}:{os.environ['PATH']}")
    return lambda *keys: open_door({"name": "rescue", "ssh_keys": list(keys)}, work_on(), door)


def test_the_owner_of_a_key_logs_in_and_knows_the_machine(
    rescue: Callable[..., tuple[list[str], dict[str, object]]], keys: dict[str, str], ssh: Ssh, door: Door
) -> None:
    login, result = rescue(keys["owner"], "")
    host_keys = result["host_keys"]
    assert isinstance(host_keys, list)
    assert [key.split()[0] for key in host_keys] == ["ssh-ed25519", "ecdsa-sha2-nistp256"]
    assert result["address"] == "127.0.0.1"
    assert login[0] == f"this machine is here for you: ssh -p {door.port} root@127.0.0.1"
    for key in host_keys:  # either proves it
        done = ssh("owner", [key], "id -un; cat")
        assert (done.returncode, done.stdout) == (0, "root\n"), done.stderr
    assert ssh("stranger", host_keys, "id").returncode == 255
    assert "Permission denied (publickey)" in ssh("stranger", host_keys, "id").stderr


def test_an_agent_that_starts_again_lets_in_the_new_keys_only(
    rescue: Callable[..., tuple[list[str], dict[str, object]]], keys: dict[str, str], ssh: Ssh
) -> None:
    _, first = rescue(keys["owner"])
    _, second = rescue(keys["stranger"])
    assert first == second
    host_keys = second["host_keys"]
    assert isinstance(host_keys, list)
    assert ssh("stranger", host_keys, "true").returncode == 0
    assert ssh("owner", host_keys, "true").returncode == 255


def test_without_a_key_it_says_that_nobody_can_log_in(rescue: Callable[..., tuple[list[str], dict[str, object]]]) -> None:
    login, _ = rescue()
    assert login[-1] == "  but no key was given, so nobody can log in"


def test_a_key_brings_no_other_one_with_it(rescue: Callable[..., object], door: Door) -> None:
    with pytest.raises(StepFailed, match="more than one line"):
        rescue("ssh-ed25519 AAAA\nssh-ed25519 BBBB")
    assert not (door.home / ".ssh").exists()


def test_a_server_that_does_not_start_is_told(
    work_on: Callable[..., Work], door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StepFailed, match="the SSH server does not start: dropbearkey can not be started") as caught:
        open_door({"name": "rescue", "ssh_keys": []}, work_on(), door)
    assert caught.value.code == "agent_error"


def test_who_was_let_in_before_is_not_any_more(tmp_path: Path) -> None:
    authorize(tmp_path, ["one", "two"])
    authorize(tmp_path, ["three"])
    file = tmp_path / ".ssh/authorized_keys"
    assert file.read_text() == "three\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_the_address_is_that_of_the_way_to_the_controller() -> None:
    assert own_address("http://127.0.0.9:5248/agent/x") == "127.0.0.1"
