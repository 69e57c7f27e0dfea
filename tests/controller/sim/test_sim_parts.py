# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the simulator that can be wrong by themselves: dice, inventories, scripts, options."""

from __future__ import annotations

from collections import Counter

import pytest

from metalwright.errors import Invalid, MetalwrightError
from metalwright.node import scripts
from metalwright.node.inventory import Inventory
from metalwright.sim.cli import sim
from metalwright.sim.firmware import Kernel, read_script
from metalwright.sim.hardware import Hardware
from metalwright.sim.http import Answer, checked
from metalwright.sim.tally import percentile
from metalwright.sim.wishes import Wishes

URL = "http://10.77.0.1:5248"


def test_the_same_seed_gives_every_machine_the_same_fate() -> None:
    first, again = (Wishes(count=200, flaky_bmcs=0.3, dies_at={"kernel": 0.2, "write": 0.2}, seed=7) for _ in range(2))
    fates = [(first.mood(number), first.death(number)) for number in range(200)]
    assert fates == [(again.mood(number), again.death(number)) for number in range(200)]
    assert fates != [(other.mood(number), other.death(number)) for other in [Wishes(seed=8)] for number in range(200)]
    deaths = Counter(death for _, death in fates)
    assert set(deaths) == {"kernel", "write", None}
    assert 20 < deaths["kernel"] < 60


def test_the_controller_takes_the_inventory_of_every_machine() -> None:
    found = [Inventory.model_validate(Hardware(number, 3).inventory()) for number in range(50)]
    assert {(len(each.disks), len(each.nics)) for each in found} == {(6, 5)}
    assert all(nic.lldp is not None for each in found for nic in each.nics if nic.link)
    for unique in (
        {nic.mac for each in found for nic in each.nics},
        {disk.id for each in found for disk in each.disks},
    ):
        assert len(unique) in (250, 300)


def test_boot_scripts_are_understood_as_ipxe_does() -> None:
    initrds = [("initrd.img", f"{URL}/initrd"), ("code.cpio", f"{URL}/code")]
    agent = scripts.agent("efi", f"{URL}/vmlinuz?o=1", initrds, f"metalwright.url={URL}/agent/T BOOTIF=01-aa", "a note")
    assert read_script(agent) == Kernel((f"{URL}/vmlinuz?o=1", f"{URL}/initrd", f"{URL}/code"), f"{URL}/agent/T")
    assert read_script(scripts.wait(URL, "another was first")) == scripts.WAIT
    assert read_script(scripts.local("pcbios", URL)) is None
    assert read_script(scripts.local("efi", URL)) is None


def test_percentiles() -> None:
    assert percentile([], 0.99) == 0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(list(map(float, range(100))), 0.99) == 99.0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--dies-at", "kernel=60", "--dies-at", "agent=60"], "sim_impossible"), (["--count", "3"], "sim_incomplete")],
)
def test_wishes_that_can_not_be_are_refused_before_anything_is_done(arguments: list[str], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        sim.main(arguments, standalone_mode=False)
    assert refused.value.code == code
    assert refused.value.hint


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"code": "subnet_overlap", "message": "They overlap.", "hint": "Take another."}', ("They overlap.", "Take another.")),
        (b"<html>", ("The controller answered HTTP 409.", "")),
    ],
)
def test_what_the_controller_refuses_is_told_in_its_words(body: bytes, told: tuple[str, str]) -> None:
    """As of every command: two lines and an exit code, no traceback."""
    with pytest.raises(MetalwrightError) as refused:
        checked(Answer(409, body, len(body), ""))
    assert (refused.value.message, refused.value.hint, refused.value.status) == (*told, 409)
