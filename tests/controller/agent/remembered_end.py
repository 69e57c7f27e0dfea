# SPDX-License-Identifier: GPL-3.0-or-later
"""How an agent's work ends, where it must not end this host."""

from __future__ import annotations

from pathlib import Path


class End:
    """A machine that only remembers how the agent ended. ``kexec`` works when ``loads`` is true."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.loads = True
        self.login: list[str] = []

    def load(self, devices: list[Path]) -> bool:
        self.calls.append("load")
        return self.loads

    def kexec(self) -> None:
        self.calls.append("kexec")

    def reboot(self) -> None:
        self.calls.append("reboot")

    def restart(self, firmware: str) -> None:
        self.calls.append(f"restart {firmware}")

    def power_off(self) -> None:
        self.calls.append("power_off")

    def stay(self, login: list[str]) -> None:
        self.calls.append("stay")
        self.login = login
