# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures that need a machine, made for real: each ends in its own code, and the machine is brought back. All at once.

The table that is printed at the end tells of each failure what it was called, how long that took, and what brought it back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "controller/failures"))

from failing_lab import Ended, FailingLab, now
from lab_under_test import LabUnderTest
from tiny_disks import make_image
from verdicts import Verdicts
from wall import DHCP, EVERYTHING, NODE_PLANE, TFTP

from metalwright.lab.spec import MachineSpec

UNPLUGGED, NO_AGENT, RESTARTING, DEAD, BY_UEFI = MACHINES = ("unplugged", "no-agent", "restarting", "dead", "by-uefi")
DEAD_IMAGE = "dead/1"

FAILING_COMMAND = """\
#cloud-config
runcmd:
  - echo the licence server is down >&2
  - [sh, -c, exit 3]
"""
NO_SUCH_PACKAGE = """\
#cloud-config
packages: [no-such-package-anywhere]
"""
NETWORK_DOWN = """\
#cloud-config
bootcmd:
  - for nic in /sys/class/net/e*; do ip link set ${nic##*/} down; done
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailingLab]:
    """All stories, under way."""
    base = tmp_path_factory.mktemp("failures")
    made = FailingLab(LabUnderTest("failures", base))
    made.lab.down()
    try:
        firmware = {BY_UEFI: "uefi"}  # BIOS machines of the lab have iPXE in their card, and need no loader
        made.up(
            *(
                MachineSpec.model_validate(
                    {"name": name, "firmware": firmware.get(name, "bios"), "memory_mib": 1024, "disk_gib": 4}
                )
                for name in MACHINES
            )
        )
        made.add_image(DEAD_IMAGE, make_image(base / "dead.raw"))
        begin(made)
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def verdicts() -> Iterator[Verdicts]:
    found = Verdicts()
    yield found
    print(f"\n\n{found.table()}\n")


def begin(lab: FailingLab) -> None:
    """The stories. Machines that fail on the way to the agent are commissioned afterwards, and fail at something else."""

    def commissioned(machine: str) -> str:
        return lab.succeeds(machine, "commission", tests=[])

    def released(machine: str) -> str:
        return lab.succeeds(machine, "release", erase="quick")

    def blocked(machine: str, cause: str, back: Callable[[], str], *matches: str) -> Ended:
        lab.wall.block(lab.mac(machine), *matches)
        with lab.on(machine):
            operation = lab.start(machine, "commission")
            lab.ended(operation)

        def through() -> str:
            lab.wall.open(lab.mac(machine))
            return back()

        return lab.failed(operation, cause=cause, back=through)

    def no_agent() -> Ended:
        """What the firmware has fetched gets no address any more, as with a card that its kernel does not know."""
        mac = lab.mac(NO_AGENT)
        operation = lab.start(NO_AGENT, "commission")  # takes no place: most of the time it only waits
        lab.heard(operation, "boot.kernel")
        lab.wall.block(mac, DHCP)
        lab.heard(operation, "operation.retry")
        lab.wall.open(mac)
        lab.heard(operation, "boot.kernel", 2)
        lab.wall.block(mac, DHCP)

        def back() -> str:
            lab.wall.open(mac)
            return f"DHCP let through; {commissioned(NO_AGENT)}"

        return lab.failed(operation, cause="boot.kernel", back=back)

    def boot_loop() -> Ended:
        """Reset by its BMC each time when the agent begins to write, as a watchdog would do it, or a power supply."""
        commissioned(RESTARTING)
        with lab.on(RESTARTING):
            operation = lab.deploy(RESTARTING)
            for times in (1, 2):
                lab.heard(operation, "agent.step", times, step="write", status="started")
                cause = now()
                lab.lab.ipmitool(RESTARTING, "chassis", "power", "reset")
            lab.ended(operation)
        return lab.failed(operation, cause=cause, back=lambda: released(RESTARTING))

    def silent() -> Ended:
        """Its cable is pulled while the image is written."""
        with lab.on(RESTARTING):
            operation = lab.deploy(RESTARTING)
            lab.heard(operation, "agent.step", step="write", status="started")
            lab.wall.block(lab.mac(RESTARTING), EVERYTHING)
            cause = now()
            lab.ended(operation)

        def back() -> str:
            lab.wall.open(lab.mac(RESTARTING))
            return f"cable plugged in; {released(RESTARTING)}"

        return lab.failed(operation, cause=cause, back=back)

    def dead() -> Ended:
        commissioned(DEAD)
        with lab.on(DEAD):
            operation = lab.deploy(DEAD, image=DEAD_IMAGE)
            lab.ended(operation)
        return lab.failed(operation, cause="agent.handover", back=lambda: released(DEAD))

    def no_network() -> Ended:
        with lab.on(UNPLUGGED):
            operation = lab.deploy(UNPLUGGED, user_data=NETWORK_DOWN)
            lab.ended(operation)
        return lab.failed(operation, cause="agent.handover", back=lambda: released(UNPLUGGED))

    def first_boot(machine: str, user_data: str) -> Ended:
        with lab.on(machine):
            operation = lab.deploy(machine, user_data=user_data)
            lab.ended(operation)
        return lab.failed(operation, cause="cloudinit.stage", result="FAIL", back=lambda: released(machine))

    lab.tell(
        RESTARTING,
        boot_loop=boot_loop,
        silent=silent,
        cloud_init=lambda: first_boot(RESTARTING, FAILING_COMMAND),
    )
    lab.tell(
        DEAD,
        dead=dead,
        package=lambda: first_boot(DEAD, NO_SUCH_PACKAGE),
    )
    lab.tell(
        UNPLUGGED,
        no_dhcp=lambda: blocked(UNPLUGGED, "power.netboot", lambda: f"cable plugged in; {commissioned(UNPLUGGED)}", EVERYTHING),
        no_network=no_network,
    )
    lab.tell(NO_AGENT, no_agent=no_agent)
    # Not TFTP alone: firmware that gets nothing by it for a minute goes on to UEFI's HTTP boot, and arrives.
    lab.tell(
        BY_UEFI,
        no_loader=lambda: blocked(
            BY_UEFI, "boot.dhcp", lambda: "TFTP let through; it comes to the next failure", TFTP, NODE_PLANE
        ),
        no_script=lambda: blocked(BY_UEFI, "boot.loader", lambda: f"node plane let through; {commissioned(BY_UEFI)}", NODE_PLANE),
    )


def check(verdicts: Verdicts, ended: Ended, name: str, code: str, after: str) -> str:
    """Note the verdict; returns the failure's message."""
    said = ended.failure
    assert (said.get("code"), ended.after) == (code, after), said
    assert said["message"].startswith(f"{ended.operation['machine']['name']}: ")
    assert said["hint"]
    assert said["docs"].endswith(f"#{code}")
    verdicts.add(name, ended.operation, cause=ended.cause, after=ended.after, back=ended.back)
    message: str = said["message"]
    return message


def test_turned_on_and_no_dhcp_seen(failing: FailingLab, verdicts: Verdicts) -> None:
    check(verdicts, failing.of("no_dhcp"), "turned on, no DHCP seen", "no_dhcp", "new")


def test_dhcp_answered_and_no_loader_fetched(failing: FailingLab, verdicts: Verdicts) -> None:
    ended = failing.of("no_loader")
    check(verdicts, ended, "DHCP answered, no loader fetched (UEFI, TFTP blocked)", "no_loader", "new")
    assert "DHCP" in ended.failure["last_seen"]


def test_loader_fetched_and_no_boot_script(failing: FailingLab, verdicts: Verdicts) -> None:
    ended = failing.of("no_script")
    check(verdicts, ended, "loader fetched, no boot script (node plane blocked)", "no_boot_script", "new")


def test_kernel_fetched_and_no_agent(failing: FailingLab, verdicts: Verdicts) -> None:
    ended = failing.of("no_agent")
    check(verdicts, ended, "kernel fetched, no agent", "agent_no_hello", "new")
    assert "kernel" in ended.failure["last_seen"]


def test_the_machine_restarts_again_and_again(failing: FailingLab, verdicts: Verdicts) -> None:
    check(verdicts, failing.of("boot_loop"), "boot loop", "boot_loop", "failed")


def test_the_agent_falls_silent(failing: FailingLab, verdicts: Verdicts) -> None:
    ended = failing.of("silent")
    check(verdicts, ended, "agent silent", "agent_silent", "failed")
    assert "write" in ended.failure["last_seen"]


def test_the_installed_system_never_comes_up(failing: FailingLab, verdicts: Verdicts) -> None:
    check(verdicts, failing.of("dead"), "installed system never came up", "installed_system_dead", "failed")


def test_the_installed_system_comes_up_without_network(failing: FailingLab, verdicts: Verdicts) -> None:
    ended = failing.of("no_network")
    check(verdicts, ended, "installed system came up without network", "installed_no_network", "failed")
    assert "nreachable" in ended.failure["log_tail"]


def test_a_module_of_cloud_init_fails(failing: FailingLab, verdicts: Verdicts) -> None:
    message = check(verdicts, failing.of("cloud_init"), "cloud-init module failed", "cloud_init_failed", "failed")
    assert "scripts-user" in message.replace("_", "-")  # cloud-init has written it both ways
    assert "licence server" in failing.of("cloud_init").failure["log_tail"]


def test_a_package_can_not_be_installed(failing: FailingLab, verdicts: Verdicts) -> None:
    message = check(verdicts, failing.of("package"), "package install failed", "package_install_failed", "failed")
    assert "no-such-package-anywhere" in message
