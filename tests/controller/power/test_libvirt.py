# SPDX-License-Identifier: GPL-3.0-or-later
"""The libvirt driver against libvirt's in-memory hypervisor, which begins anew with each call: one domain, "test", running."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalwright.errors import Invalid
from metalwright.power import PowerError, PowerState, create, probe


def test_a_running_domain() -> None:
    domain = create("libvirt", {"uri": "test:///default", "domain": "test"})
    assert domain.query() is PowerState.ON
    domain.on()
    domain.cycle()
    domain.off(soft=True)
    domain.off()
    domain.boot_once("network", "bios")
    domain.boot_once("disk", "uefi")


def test_an_unknown_domain_is_named() -> None:
    with pytest.raises(PowerError) as caught:
        create("libvirt", {"uri": "test:///default", "domain": "nowhere"}).query()
    assert caught.value.code == "power_misconfigured"
    assert "nowhere" in caught.value.message


def test_a_host_that_does_not_answer() -> None:
    with pytest.raises(PowerError) as caught:
        create("libvirt", {"uri": "qemu+tcp://127.0.0.1:1/system", "domain": "test"}).query()
    assert caught.value.code == "bmc_unreachable"
    assert "127.0.0.1:1" in caught.value.message


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("qemu+ext:///system?command={program}", "ext"),
        ("qemu+ext:///system?comm%61nd={program}", "ext"),
        ("qemu+ext:///system", "ext"),
        ("QEMU+EXT:///system", "uri"),
        ("qemu+EXT:///system", "uri"),
        ("qemu+ssh+ext://host/system", "ssh+ext"),
        ("qemu+://host/system", "transport"),
        ("qemu+ssh://host/system?command={program}", "command"),
        ("qemu+ssh://host/system?comm%61nd={program}", "command"),
        ("qemu+ssh://host/system?COMMAND={program}", "COMMAND"),
        ("qemu+ssh://host/system?%43ommand={program}", "Command"),
        ("qemu+ssh://host/system?+command={program}", "command"),
        ("qemu+ssh://host/system?mode=auto&command={program}", "command"),
        ("qemu+ssh://host/system?mode=auto;command={program}", "semicolons"),
        ("qemu+ssh://host/system?command", "command"),
        ("qemu+ssh://host/system?netcat={program}", "netcat"),
        ("qemu+ssh://host/system?net%63at={program}", "netcat"),
        ("qemu+libssh2://host/system?proxy=native", "proxy"),
        ("qemu+tls://host/?name=qemu%2Bext:///system", "name"),
        ("qemu:///embed?root=/tmp", "root"),
        ("qemu+ssh://host/system#?command={program}", "fragments"),
        (" qemu+ssh://host/system", "uri"),
        ("qemu+ssh://host/system?\tcommand={program}", "uri"),
        ("qemu+ssh://host/system\x01", "control characters"),
        ("qemu+ssh://host/system?mode=auto%0acommand={program}", "control characters"),
        ("qemu+ssh://-oProxyCommand={program}/system", "hyphen"),
        ("qemu+ssh://%2DoProxyCommand=x@host/system", "hyphen"),
        ("qemu+unix:///system?socket=/tmp/evil", "socket"),
        ("qemu+ssh://host/system?keyfile=here", "keyfile"),
        ("qemu:///system?mode=auto&mode=direct", "mode"),
        ("qemu+libssh://host/system?known_hosts=/tmp/keys&known_hosts_verify=AUTO", "known_hosts"),
    ],
)
def test_a_uri_that_could_run_something_here_is_refused(tmp_path: Path, uri: str, named: str) -> None:
    program, mark = tmp_path / "program", tmp_path / "mark"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    uri = uri.replace("{program}", str(program))
    with pytest.raises(Invalid) as caught:
        create("libvirt", {"uri": uri, "domain": "test"}).query()
    with pytest.raises(Invalid) as of_a_host:
        probe("libvirt", {"uri": uri}, 10)
    for error in (caught.value, of_a_host.value):
        assert error.details["parameters"] == ["uri"]
        assert named in error.message
    assert not mark.exists()


@pytest.mark.parametrize(
    "uri",
    [
        "qemu:///system",
        "qemu:///session",
        "qemu+unix:///system?mode=direct",
        "qemu+ssh://root@host:2222/system?keyfile=/etc/keys/a&no_tty=1&no_verify=1",
        "qemu+libssh://host/system?sshauth=privkey,agent&known_hosts=/etc/hosts.known&known_hosts_verify=normal",
        "qemu+libssh2://[fd00::5]/system?known_hosts_verify=auto",
        "qemu+tls://host/system?pkipath=/etc/pki/rack",
        "qemu+tcp://host/system?no%5Fverify=1",
        "xen+ssh://host",
        "test:///default",
    ],
)
def test_uris_of_every_day_are_taken(uri: str) -> None:
    assert create("libvirt", {"uri": uri, "domain": "test"}).lane() == uri
