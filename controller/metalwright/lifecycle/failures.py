# SPDX-License-Identifier: GPL-3.0-or-later
"""Every failure by its code: what happened, and what usually causes it. ``docs/reference/failures.md`` is made of this.

A failure record is ``{code, message, phase, last_seen, log_tail, hint, docs}``: ``message`` names the machine and what happened
to it, ``last_seen`` is the last sign of life with its time, ``docs`` where this code is explained.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Cause(NamedTuple):
    """What a code means to a person."""

    what: str
    """What happened, as a sentence without the machine's name."""
    hint: str
    """What usually causes it, and what to do."""


CAUSES: dict[str, Cause] = {
    # power
    "bmc_unreachable": Cause(
        "The BMC did not answer.",
        "Check the address, that its port is open from the controller, and that remote management is enabled in the BMC.",
    ),
    "bmc_auth_failed": Cause(
        "The BMC answered but did not let the controller in.",
        "Check user name and password, and that the user may control power.",
    ),
    "power_refused": Cause(
        "The BMC let the controller in and refused the call, or said yes and did nothing.",
        "Does its user have the right (operator at least)? Look at the BMC's own event log, then try again.",
    ),
    "power_misconfigured": Cause(
        "The power parameters can never work.",
        "Mend them: metalwright machine validate MACHINE says what is missing.",
    ),
    "power_timeout": Cause(
        "The power driver gave no answer.",
        "Is a worker running (metalwright status)?",
    ),
    "power_off_failed": Cause(
        "The machine's work is done but it could not be turned off.",
        "Turn it off by hand and look at its BMC.",
    ),
    # from power-on to the agent
    "no_dhcp": Cause(
        "The machine was turned on, but it never asked for an address.",
        "Check that network boot is enabled in its firmware, that its boot NIC is on the provisioning network, and that the MAC "
        "address known here is that NIC's.",
    ),
    "no_address": Cause(
        "The machine asked for an address, but took none from here.",
        "Another DHCP server may have been faster, or its subnet has no free address: the event log has what was answered.",
    ),
    "no_loader": Cause(
        "DHCP was answered, but the machine fetched no boot loader.",
        "Another DHCP server may have been faster, the firmware may not do network boot on this NIC (check option 60 and 93), or "
        "TFTP (UDP port 69) is blocked on the way. Firmware that is iPXE itself needs the node plane's HTTP port instead.",
    ),
    "no_boot_script": Cause(
        "The boot loader was fetched, but it never asked for its boot script.",
        "The loader may have no driver for the NIC, or HTTP to the node plane is blocked. Look at the machine's console.",
    ),
    "no_netboot": Cause(
        "The machine was told to boot from the network but never asked for its boot script.",
        "Check that network boot is enabled in its firmware, that its boot NIC is on the provisioning network, and that nobody "
        "else answers DHCP.",
    ),
    "boot_refused": Cause(
        "Its boot script was asked for from another address than the one it was given.",
        "Somebody else uses this machine's MAC address, or another DHCP server answers.",
    ),
    "agent_missing": Cause(
        "The agent that machines boot was never built on this controller.",
        "Run on the controller's host: metalwright agent build. Then start the operation again.",
    ),
    "agent_outdated": Cause(
        "The agent that booted speaks another protocol than this controller.",
        "It was built by another version. Run on the controller's host: metalwright agent build. Then start the operation again.",
    ),
    "no_kernel": Cause(
        "The boot script was fetched, but the kernel was not.",
        "The boot loader ran out of memory or lost the network. Look at the machine's console.",
    ),
    "agent_no_hello": Cause(
        "The kernel was fetched, but the agent never reported.",
        "The kernel may lack a driver for the NIC, or the machine has less than 1 GiB of memory. Look at the machine's console.",
    ),
    "agent_silent": Cause(
        "The agent stopped reporting.",
        "Look at the machine's console and its power state, then start the operation again.",
    ),
    "boot_loop": Cause(
        "The machine booted the agent again and again.",
        "It restarts while the agent works: look at its console, its temperature and its memory.",
    ),
    "identity_mismatch": Cause(
        "Another machine answered with this one's token.",
        "Two machines may share a MAC address, or a NIC has moved. Commission the machine again once that is settled.",
    ),
    "identity_conflict": Cause(
        "Two machines claim the same identity.",
        "If it is one machine entered twice, or a NIC or mainboard that has moved, delete the entry that is wrong or change its "
        "MAC addresses. If they are two whose vendor gave both the same UUID, set it with the vendor's tool, or list it in the "
        "setting shared_uuids of [node].",
    ),
    # the agent's work
    "no_disk": Cause(
        "No disk fits what the deployment asks for.",
        "Commission the machine again if its disks have changed, or loosen the disk hints.",
    ),
    "disk_too_small": Cause("The image is larger than the disk.", "Choose a smaller image, another disk or another machine."),
    "image_download_failed": Cause(
        "The image could not be fetched.",
        "Check that the machine reaches the controller's node plane, then deploy again.",
    ),
    "image_corrupt": Cause(
        "What arrived is not what was stored.",
        "It was changed on the way or on the controller's disk: deploy again; if that does not help, import the image again, and "
        "test the machine's memory.",
    ),
    "write_failed": Cause("The disk did not take what was written.", "It may be failing: look at its SMART data."),
    "no_root_filesystem": Cause(
        "The image has no Linux root file system that the agent can mount.",
        "Deploy an image of a whole disk with a root file system of ext4, xfs or btrfs.",
    ),
    "no_bootloader": Cause(
        "The image does not boot on this machine's firmware.",
        "It lacks an EFI system partition or a BIOS loader: build or import one that has it.",
    ),
    "seed_failed": Cause(
        "The root file system of the image could not be written to.",
        "Is there room in it, and is it clean?",
    ),
    "wipe_failed": Cause("A disk could not be wiped.", "It may be failing or locked: look at the log, then release again."),
    "disk_missing": Cause(
        "Disks that the machine had when it was commissioned were not there to be wiped.",
        "What was on them is still on them. Look at the controller card and the cables; commission the machine again if a disk "
        "was taken out on purpose, then release it again.",
    ),
    "wipe_stalled": Cause(
        "Erasing a disk made no progress any more.",
        "The disk may be failing. Look at its SMART data, or release with erase=quick.",
    ),
    "script_failed": Cause(
        "A script that is required failed.",
        "Its output is kept: metalwright script output MACHINE NAME.",
    ),
    "test_failed": Cause(
        "A required test failed.",
        "Its output is kept: metalwright script output MACHINE NAME. Mend the machine and test again, or override the test.",
    ),
    "agent_error": Cause("The agent met a fault of its own.", "The log says where."),
    "too_many_events": Cause(
        "The machine caused more events than an operation may have.",
        "What runs on it repeats itself without end: the operation's last events say what. If that is as it should be, raise "
        "[limits] operation_events.",
    ),
    # the first boot
    "installed_system_silent": Cause(
        "The disk was written, but nothing was ever heard of the installed system.",
        "It did not start, or it came up without network. Look at the machine's console: does it boot from its disk, and is its "
        "NIC up?",
    ),
    "installed_no_network": Cause(
        "The installed system started, but its network did not come up.",
        "Look at the network settings in the log: the image may lack the NIC's driver or firmware, or the user-data set the "
        "network otherwise.",
    ),
    "installed_system_dead": Cause(
        "The disk was written, but the system on it never started.",
        "The firmware may not boot from that disk, or the image's loader does not fit this machine.",
    ),
    "first_boot_silent": Cause(
        "The installed system started and then stopped reporting.",
        "cloud-init may hang in a command of the user-data. Look at the machine's console or log in.",
    ),
    "cloud_init_failed": Cause(
        "A module of cloud-init failed.",
        "The machine runs: log in and read /var/log/cloud-init-output.log. Mend the user-data and deploy again.",
    ),
    "package_install_failed": Cause(
        "Packages could not be installed.",
        "Are their names right for this system, and does the machine reach the package cache or a mirror?",
    ),
    "seed_ignored": Cause(
        "cloud-init did not read its seed.",
        "The image's cloud-init lacks the NoCloud data source, or its kernel command line names another one.",
    ),
    # playbooks of the controller
    "playbook_failed": Cause(
        "The playbook that the controller ran on the machine failed.",
        "Its output is kept: metalwright operation console ID --source playbook. Mend the playbook or its variables.",
    ),
    "playbook_unreachable": Cause(
        "The controller could not log in to the machine to run the playbook.",
        "Is its SSH server up, does it let the controller's key in ([runs] ssh_key, ssh_user), and is its host key still the one "
        "that it was deployed with?",
    ),
    "playbook_timeout": Cause(
        "The playbook did not end in time.",
        "Give it more time (playbook_timeout, or [deadlines] playbook), or look in its output at what it waited for: metalwright "
        "operation console ID --source playbook.",
    ),
    "playbook_gone": Cause(
        "The playbook was removed from the controller after it was asked for.",
        "Put it back into [runs] playbooks_dir and try again.",
    ),
    # people and the controller
    "aborted": Cause("A person ended the operation.", "If the disk was being written it is unusable: deploy or release again."),
    "engine_missing": Cause(
        "A program that serves DHCP, DNS or router advertisements is not on the controller's host.",
        "Install the package that the message names (docs/reference/network-engines.md lists them), or set [dhcp] engine = none "
        "where the site answers DHCP itself.",
    ),
    "engine_unreachable": Cause(
        "A server of DHCP, DNS or router advertisements could not be told of the machine.",
        "It is started again by the controller: look at the controller's log, then start the operation again.",
    ),
    "engine_silent": Cause(
        "A server of DHCP and DNS was started with a new configuration and has not come up.",
        "Its host may be overloaded: look at the controller's log, then start the operation again.",
    ),
    "engine_can_not": Cause(
        "The network asks for something that the DHCP and DNS engine can not do.",
        "The message says what, and what to do instead; docs/reference/network-engines.md compares the engines.",
    ),
    "network_rolled_back": Cause(
        "A server of DHCP and DNS did not come up with its new configuration and goes on with the last good one.",
        "The message has its own words. Mend what they name; 'metalwright network apply' tries the same once more.",
    ),
    "hook_failed": Cause(
        "The command that tells the site's own DHCP and DNS servers of changes failed.",
        "Mend it ([dhcp] hook): the message has its last words. 'metalwright network apply' runs it at once.",
    ),
    "address_in_use": Cause(
        "Another network card uses the address that the machine is to have.",
        "Find the card that the message names and free the address, or give the machine another one.",
    ),
    "interface_missing": Cause(
        "The network interface that DHCP and DNS are served on is not there, or has no address.",
        "Bring it up, or mend [dhcp] interface.",
    ),
    "dns_config_refused": Cause(
        "BIND refused the configuration or a zone that was made for it.",
        "Look at the domains and their records, and at [dns]; the message has BIND's words.",
    ),
    "dns_update_refused": Cause(
        "BIND refused to change a zone.",
        "Look at the controller's log. Does something else answer DNS at the address of [dhcp] interface?",
    ),
    "dhcp_config_refused": Cause(
        "The DHCP server refused the configuration that was made for it.",
        "Look at the subnets and at the settings of [dhcp] and [dns]; the log names the line.",
    ),
    "lease_stuck": Cause(
        "The machine's address is still on lease to another one.",
        "Restart the controller's DHCP server, then start the operation again.",
    ),
    "task_lost": Cause(
        "The controller's workers died over a task again and again.",
        "Look at the controller's log, and tell the makers.",
    ),
    "internal": Cause("A fault of the controller.", "Its log says where; tell the makers."),
}


def failure(
    code: str, message: str, *, phase: str | None = None, last_seen: str = "", log_tail: str = "", hint: str = ""
) -> dict[str, Any]:
    """Return a failure record; ``hint`` only where there is a better one than the code's own."""
    cause = CAUSES.get(code)
    return {
        "code": code,
        "message": message[:1024],
        "phase": phase,
        "last_seen": last_seen,
        "log_tail": log_tail[-4096:],
        "hint": hint or (cause.hint if cause else ""),
        "docs": f"docs/reference/failures.md#{code}" if cause else "docs/reference/failures.md",
    }
