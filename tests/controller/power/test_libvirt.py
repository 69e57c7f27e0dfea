# SPDX-License-Identifier: GPL-3.0-or-later
"""The libvirt driver against libvirt's in-memory hypervisor, which begins anew with each call: one domain, "test", running."""

from __future__ import annotations

import pytest

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
