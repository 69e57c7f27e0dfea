# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: what can not work is refused with the name of the setting, and nothing that is given is silently ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalwright.config import load, split_listen
from metalwright.errors import Invalid


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[admin]\nlisten = "foo"', "admin.listen"),
        ('[admin]\nlisten = "::1:5240"', "admin.listen"),
        ('[admin]\nlisten = "127.0.0.1:70000"', "admin.listen"),
        ('[node]\nurl = "notaurl"', "node.url"),
        ('[package_cache]\nlisten = "10.0.0.1:40000"', "package_cache.listen"),
        ('[node]\nurl = "http://[10.0.0.1"', "node.url"),
        ("[deadlines]\nnetboot = -5", "deadlines.netboot"),
        ("[limits]\nbody_bytes = 0", "limits.body_bytes"),
        ("[nodes]\nthreads = 3", "nodes"),
        ("[node]\nlisten = [", "can not be read"),
    ],
)
def test_what_can_not_work_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "metalwright.toml"
    path.write_text(text)
    with pytest.raises(Invalid) as refused:
        load(path, {})
    assert refused.value.code == "config_invalid"
    assert str(path) in refused.value.message
    assert named in refused.value.message


@pytest.mark.parametrize("listen", ["5240", "127.0.0.1", "127.0.0.1:http", ":80", "127.0.0.1:70000", "", "a b:1", "::1:80"])
def test_what_is_no_address_and_port(listen: str) -> None:
    with pytest.raises(ValueError, match="no address and port"):
        split_listen(listen)


def test_addresses_of_both_families_are_taken() -> None:
    assert split_listen("127.0.0.1:5240") == ("127.0.0.1", 5240)
    assert split_listen("[::1]:5240") == ("::1", 5240)


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metalwright.toml"
    path.write_text('heartbeat = 5\n[admin]\nlisten = "[::1]:5240"\nthreads = 9\n')
    settings = load(
        path,
        {
            "METALWRIGHT_HEARTBEAT": "3",
            "METALWRIGHT_ADMIN__THREADS": "17",
            "METALWRIGHT_DNS__FORWARDERS": "192.0.2.1, 192.0.2.2",
            "METALWRIGHT_URL": "http://of.the.client",
        },
    )
    assert (settings.heartbeat, settings.admin.threads, settings.admin.listen) == (3, 17, "[::1]:5240")
    assert settings.dns.forwarders == ["192.0.2.1", "192.0.2.2"]


def test_a_section_that_is_none_is_refused_in_the_environment_too(tmp_path: Path) -> None:
    path = tmp_path / "metalwright.toml"
    path.touch()
    with pytest.raises(Invalid) as refused:
        load(path, {"METALWRIGHT_NODES__URL": "http://10.0.0.1"})
    assert "METALWRIGHT_NODES__URL" in refused.value.message
    assert "node" in refused.value.hint
