# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that stop on the way, restart, fall silent, are not who they should be, or are not wanted any more."""

from __future__ import annotations

import os
import signal

from processes import until
from site_under_test import Site
from tiny_disks import MIB
from verdicts import now

from metalwright.agent.disks import Disk


def test_the_boot_script_is_fetched_and_no_kernel(site: Site, image: str, disk: Disk) -> None:
    machine = site.machine("no-kernel", disk)
    operation, cause = site.start("no-kernel", "deploy", image=image), now()
    for times in (1, 2):
        site.turned_on(operation, times)
        machine.boot_script()
    site.failed(
        "boot script fetched, no kernel",
        operation,
        "no_kernel",
        cause=cause,
        says=("2 times in a row",),
        after="ready",
        back=site.release(machine),
    )


def test_the_kernel_is_fetched_and_no_agent_reports(site: Site, image: str, disk: Disk) -> None:
    machine = site.machine("no-agent", disk)
    operation, cause = site.start("no-agent", "deploy", image=image), now()
    for times in (1, 2):
        site.turned_on(operation, times)
        machine.fetch_kernel()
    site.failed(
        "kernel fetched, no agent",
        operation,
        "agent_no_hello",
        cause=cause,
        after="ready",
        back=site.release(machine),
    )


def test_the_machine_restarts_again_and_again(site: Site, image: str, disk: Disk) -> None:
    """The first restart is forgiven."""
    machine = site.machine("loop", disk)
    site.cable.hangs_at = 3 * MIB
    operation = site.start("loop", "deploy", image=image)
    for _ in range(2):
        site.boot(machine, operation)
        site.in_phase(operation, "install")
        until(site.cable.hanging.is_set, "the image is on its way")
        machine.turn_off()
        site.cable.hanging.clear()
    cause = now()
    assert "metalwright.url=" not in machine.ask()
    site.cable.mend()
    site.failed("boot loop", operation, "boot_loop", cause=cause, back=site.release(machine))


def test_the_agent_falls_silent(site: Site, image: str, disk: Disk) -> None:
    machine = site.machine("silent", disk)
    site.cable.hangs_at = 3 * MIB
    operation = site.start("silent", "deploy", image=image)
    agent = site.boot(machine, operation)
    until(site.cable.hanging.is_set, "the image is on its way")
    os.kill(agent.pid, signal.SIGSTOP)
    cause = now()
    ended = site.failed("agent silent", operation, "agent_silent", cause=cause, back=site.release(machine))
    assert "write" in ended["failure"]["last_seen"]


def test_a_person_ends_the_operation(site: Site, image: str, disk: Disk) -> None:
    machine = site.machine("unwanted", disk)
    site.cable.hangs_at = 3 * MIB
    operation = site.start("unwanted", "deploy", image=image)
    agent = site.boot(machine, operation)
    until(site.cable.hanging.is_set, "the image is on its way")
    cause = now()
    site.api("POST", f"/operations/{operation['id']}/abort", {})
    assert agent.wait(20) == 0
    assert b"END poweroff" in machine.log.read_bytes()
    site.failed(
        "aborted by a person",
        operation,
        "aborted",
        cause=cause,
        says=("aborted by", "in install"),
        back=site.release(machine),
    )


def test_another_machine_answers_with_this_ones_token(site: Site, image: str, disk: Disk) -> None:
    machine = site.machine("taken", disk)
    operation = site.start("taken", "deploy", image=image)
    stranger = {"system_uuid": "aaaaaaaa-0000-4000-8000-000000000001", "serial": "other", "macs": ["52:54:00:fa:12:01"]}
    cause = now()
    site.boot(machine, operation, identity=stranger)
    site.failed(
        "another machine with this one's token",
        operation,
        "identity_mismatch",
        cause=cause,
        after="ready",
        back=site.release(machine),
    )
    refused = [event for event in site.events(operation) if event["kind"] == "agent.refused"]
    assert refused[0]["data"]["identity"]["serial"] == "other"
    assert b"does not want this machine" in machine.log.read_bytes()


def test_two_machines_claim_the_same_identity(site: Site, image: str, disk: Disk) -> None:
    """As after a mainboard was replaced by one whose firmware says the same as another's."""
    twin = site.machine("twin-1")
    machine = site.machine("twin-2", disk, like="twin-1")
    operation = site.start("twin-2", "deploy", image=image)
    cause = now()
    site.boot(machine, operation)

    def told_apart() -> str:
        site.api("DELETE", f"/machines/{twin.name}")
        return f"the other one deleted; {site.release(machine)()}"

    site.failed(
        "two machines claim the same identity",
        operation,
        "identity_conflict",
        cause=cause,
        says=("twin-1", twin.uuid),
        after="ready",
        back=told_apart,
    )
