# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab that can not be made says why and what to do, before it touches anything."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from metalwright.errors import Conflict, MetalwrightError, Unavailable
from metalwright.lab import daemon, host
from metalwright.lab.cli import lab
from metalwright.lab.spec import LabSpec, Places
from metalwright.lab.up import keep_spec


def test_only_root_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for arguments in (["up"], ["down"], ["status"], ["exec", "true"], ["console", "node-1"]):
        caught = CliRunner().invoke(lab, arguments).exception
        assert isinstance(caught, MetalwrightError)
        assert caught.code == "root_needed"
        assert "sudo" in caught.hint


def test_what_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "NEEDED", {"sh": "dash", "no-such-tool": "tool-package", "/no/such/*/file": "file-package"})
    with pytest.raises(Unavailable) as caught:
        host.check()
    assert caught.value.code == "tools_missing"
    assert "no-such-tool" in caught.value.message
    assert caught.value.hint == "apt-get install file-package tool-package"


def test_a_taken_port_is_said_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(Conflict) as caught:
            daemon.check_port(LabSpec(port=other.getsockname()[1]))
    assert caught.value.code == "port_in_use"
    assert "--port" in caught.value.hint


def test_two_commands_do_not_make_and_remove_a_lab_at_once(tmp_path: Path) -> None:
    places = Places(tmp_path / "lab", tmp_path / "cache")
    with host.alone(places), pytest.raises(Conflict) as caught, host.alone(places):
        raise AssertionError("not reached")
    assert caught.value.code == "lab_busy"


def test_a_lab_is_not_turned_into_another(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path / "cache")
    keep_spec(LabSpec(), places)
    keep_spec(LabSpec(), places)
    with pytest.raises(Conflict) as caught:
        keep_spec(LabSpec(port=5241), places)
    assert caught.value.code == "lab_differs"


@pytest.mark.parametrize(
    ("content", "said"),
    [("machines: 3", "machines"), ("[]", "mapping"), ("a: [", "YAML"), ("machines: [{name: a, ram: 1}]", "ram")],
)
def test_a_bad_description_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, said: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "lab.yml").write_text(content)
    caught = CliRunner().invoke(lab, ["up", "--spec", str(tmp_path / "lab.yml")]).exception
    assert isinstance(caught, MetalwrightError)
    assert caught.code == "spec_invalid"
    assert said in caught.message
    assert not (tmp_path / ".local").exists()
