# SPDX-License-Identifier: GPL-3.0-or-later
"""From power-on to what the machine is told to boot: DHCP, loader, DHCP again, the start script, the boot script.

Of iPXE's language it understands what ``node/scripts.py`` writes.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass
from urllib.parse import urlencode

from metalwright.sim import tftp
from metalwright.sim.dhcp import Lease, NoLease, Relay
from metalwright.sim.hardware import Hardware
from metalwright.sim.http import Cable, NoAnswer, Refused
from metalwright.sim.tally import Tally

_KERNEL = re.compile(r"^kernel --name \S+ (\S+) (.*?)(?: \|\| .*)?$", re.MULTILINE)
_INITRD = re.compile(r"^initrd --name \S+ (\S+)", re.MULTILINE)
_AGENT = re.compile(r"metalwright\.url=(\S+)")
_WAIT = re.compile(r"^sleep (\d+)$\n^chain --replace", re.MULTILINE)
TRIES, PAUSE = 10, 3.0
"""Of the scripts: how often they try again, and after how many seconds."""


class BootFailed(Exception):
    """The firmware goes on with its next boot entry: the disk."""


@dataclass(frozen=True)
class Kernel:
    """What a boot script loads: files by URL, and where the agent is to call."""

    files: tuple[str, ...]
    agent_url: str


def read_script(text: str) -> Kernel | float | None:
    """What a boot script says: a kernel; seconds to wait before asking again; or None, the machine's own disk."""
    kernel, agent = _KERNEL.search(text), _AGENT.search(text)
    if kernel and agent:
        return Kernel((kernel[1], *_INITRD.findall(text)), agent[1])
    wait = _WAIT.search(text)
    return float(wait[1]) if wait else None


class Firmware:
    """The firmware of one machine. ``relay``: how it asks DHCP; None: it has an address and knows the controller already."""

    def __init__(
        self, hardware: Hardware, cable: Cable, dice: random.Random, tally: Tally, relay: Relay | None, url: str
    ) -> None:
        self._hardware = hardware
        self._cable = cable
        self._dice = dice
        self._tally = tally
        self._relay = relay
        self._url = url

    async def loader(self) -> None:
        """As far as iPXE: an address and the loader. Raises ``BootFailed``."""
        if self._relay is None:
            return
        lease = await self._lease(self._relay, ipxe=False)
        with self._tally.timed("TFTP loader"):
            try:
                self._tally.bytes += await tftp.download(lease.server, lease.file, self._cable)
            except (tftp.NoFile, OSError) as error:
                raise BootFailed(str(error)) from None

    async def script(self) -> Kernel | None:
        """What it is to boot; None: its disk. Raises ``BootFailed``."""
        start = f"{self._url}/boot/start.ipxe"
        if self._relay is not None:
            start = (await self._lease(self._relay, ipxe=True)).file
        await self._fetch("start script", start)
        base = start.removesuffix("/boot/start.ipxe")
        platform = "efi" if self._hardware.firmware == "uefi" else "pcbios"
        asked = {"mac": self._hardware.mac(), "uuid": self._hardware.uuid, "serial": self._hardware.serial, "platform": platform}
        while True:
            said = read_script(await self._fetch("boot script", f"{base}/boot/ipxe?{urlencode(asked)}"))
            if not isinstance(said, float):
                return said
            await asyncio.sleep(said)

    async def load(self, kernel: Kernel) -> None:
        """Fetch kernel and initrds. Raises ``BootFailed``."""
        with self._tally.timed("kernel and root"):
            for url in kernel.files:
                await self._fetch("", url, keep=False)

    async def _lease(self, relay: Relay, *, ipxe: bool) -> Lease:
        hardware = self._hardware
        with self._tally.timed("DHCP"):
            try:
                lease = await relay.lease(hardware.mac(), hardware.firmware, ipxe=ipxe, cable=self._cable, dice=self._dice)
            except NoLease as error:
                raise BootFailed(str(error)) from None
        self._cable.source = lease.address
        return lease

    async def _fetch(self, name: str, url: str, *, keep: bool = True) -> str:
        for _ in range(TRIES):
            try:
                if name:
                    with self._tally.timed(name):
                        answer = await self._cable.get(url, keep=keep)
                else:
                    answer = await self._cable.get(url, keep=keep)
            except (NoAnswer, Refused):
                self._tally.events["fetched again"] += 1
                await asyncio.sleep(PAUSE)
                continue
            self._tally.bytes += answer.size
            return answer.body.decode("latin-1")
        raise BootFailed(f"{url.partition('?')[0]} is not answered")
