# SPDX-License-Identifier: GPL-3.0-or-later
"""A program: a BMC at 127.0.0.1 that lets its user in and refuses to switch power. Arguments: port, user name, password.

It answers Chassis Control with completion code D4h, insufficient privilege level (IPMI 2.0, table 5-2): what a user without
the operator's role meets.
"""

from __future__ import annotations

import sys
from typing import Any

from metalwright.lab.bmc import BootFlags, LabBmc, LabSession, PowerAction, listen

INSUFFICIENT_PRIVILEGE = 0xD4


class Off:
    """A machine that is off and stays so."""

    def powered(self) -> bool:
        return False

    def power(self, action: PowerAction) -> None:
        raise AssertionError(f"{action} was not refused")

    def boot_flags(self) -> BootFlags:
        return BootFlags()

    def set_boot_flags(self, flags: BootFlags) -> None:
        pass


class RefusingBmc(LabBmc):
    """Refuses."""

    def control_chassis(self, request: dict[str, Any], session: LabSession) -> None:
        session.send_ipmi_response(code=INSUFFICIENT_PRIVILEGE)


if __name__ == "__main__":
    RefusingBmc(Off(), sys.argv[2], sys.argv[3], "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    listen()
