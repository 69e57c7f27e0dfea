# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine on the loopback: asks for its boot script as iPXE does, fetches the kernel, and runs the agent's code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from processes import until

from metalwright.agent.disks import Disk

PROGRAM = Path(__file__).with_name("played_agent.py")


@dataclass
class PlayedMachine:
    """``node_url`` is where it finds the controller; ``log`` the file that stands for its console."""

    name: str
    mac: str
    uuid: str
    serial: str
    node_url: str
    log: Path
    firmware: str = "bios"
    disks: list[Disk] = field(default_factory=list)
    agent: subprocess.Popen[bytes] | None = None

    @property
    def identity(self) -> dict[str, Any]:
        return {"system_uuid": self.uuid, "serial": self.serial, "macs": [self.mac]}

    def ask(self) -> str:
        """What the machine is told to boot."""
        query = {"mac": self.mac, "uuid": self.uuid, "serial": self.serial, "platform": "pcbios"}
        answer = requests.get(f"{self.node_url}/boot/ipxe", params=query, timeout=10)
        answer.raise_for_status()
        return answer.text

    def boot_script(self) -> str:
        """The script that starts the agent; waits until the machine is told to boot it."""
        return until(lambda: text if "metalwright.url=" in (text := self.ask()) else "", f"{self.name} gets its boot script")

    def fetch_kernel(self) -> str:
        """Go on to the kernel; returns the URL that its command line names."""
        script = self.boot_script()
        kernel = re.search(r"^kernel --name vmlinuz (\S+)", script, re.MULTILINE)
        assert kernel is not None, script
        assert requests.get(kernel[1], timeout=10).content == b"kernel"
        url = re.search(r"metalwright\.url=(\S+)", script)
        assert url is not None, script
        return url[1]

    def boot(self, **other: Any) -> subprocess.Popen[bytes]:
        """Boot until the agent runs; ``other`` replaces what it says of the machine."""
        url = self.fetch_kernel()
        said = {"firmware": self.firmware, "boot_mac": self.mac, "identity": self.identity}
        given = {**said, "url": url, "disks": [disk._asdict() for disk in self.disks], **other}
        with self.log.open("ab") as log:
            self.agent = subprocess.Popen([sys.executable, str(PROGRAM), json.dumps(given)], stdout=log, stderr=log)
        return self.agent

    def turn_off(self) -> None:
        """Cut the power, whatever the agent is doing."""
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait()
            self.agent = None
