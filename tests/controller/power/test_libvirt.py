# SPDX-License-Identifier: GPL-3.0-or-later
"""The libvirt driver against libvirt's in-memory hypervisor, which begins anew with each call: one domain, "test", running."""

from __future__ import annotations

import pytest

from metalwright.errors import Invalid
from metalwright.power import PowerError, PowerState, create


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
    "uri",
    [
        "qemu+ext:///system?command=/tmp/evil.sh",
        "qemu+ext:///system?comm%61nd=/tmp/evil.sh",
        "qemu+EXT:///system",
        "qemu+ssh://host/system?netcat=/tmp/evil.sh",
        "qemu+ssh://host/system?net%63at=/tmp/evil.sh",
        "qemu+ssh://host/system?no_verify=1;command=/tmp/evil.sh",
        "qemu+ssh://host/system?COMMAND=/tmp/evil.sh",
        "qemu+unix:///system?socket=/tmp/evil",
        "qemu+ssh://-oProxyCommand=evil/system",
        "qemu+ssh://me@%2DoProxyCommand=evil/system",
        "qemu:///system#?command=/tmp/evil.sh",
        "qemu:///system?\x1bcommand=x",
    ],
)
def test_no_uri_runs_a_program_on_the_controller(uri: str) -> None:
    with pytest.raises(Invalid) as refused:
        create("libvirt", {"uri": uri, "domain": "test"})
    assert refused.value.code == "power_misconfigured"


@pytest.mark.parametrize(
    "uri", ["qemu:///system", "qemu+ssh://me@host:22/system?no_verify=1&keyfile=/k", "qemu:///embed?root=/x"]
)
def test_usual_uris_are_let_through(uri: str) -> None:
    assert create("libvirt", {"uri": uri, "domain": "test"})
