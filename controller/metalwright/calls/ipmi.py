# SPDX-License-Identifier: GPL-3.0-or-later
"""One IPMI conversation. Calls: ``query``; ``power`` with ``wanted`` (``on``, ``off``, ``soft``, ``cycle``); ``boot`` with
``device`` and ``uefi``.

Command and completion codes are those of the IPMI 2.0 specification, sections 28.2, 28.3 and 28.12.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from pyghmi.exceptions import IpmiException
from pyghmi.ipmi.command import Command

from metalwright.calls.conversation import Failed, arrive, within

# Get Channel Authentication Capabilities outside of a session (13.6, 22.13): every BMC answers it to anyone.
PRESENCE = bytes.fromhex("0600ff07 00 00000000 00000000 09 2018c8 8100388e04b5")
CHASSIS, STATUS, CONTROL = 0, 1, 2
OFF, ON, RESET, SOFT_OFF = 0, 1, 3, 5
PRIVILEGES = {"operator": 3, "administrator": 4}


FIND, LOGIN = 5.0, 9.0
"""Seconds for an answer of any kind, and for a session after that, at most: whatever else takes longer, these do not."""


def converse(request: dict[str, Any]) -> Any:
    """Find the BMC, log in, do the call; each of the three has its own cause of failure."""
    end = time.monotonic() + request["timeout"]
    patience = min(request["timeout"] / 2, FIND)
    with within(patience + 1, "bmc_unreachable", "no answer"):
        find(request["address"], request["port"], time.monotonic() + patience)
    silent = "it answers, but no login came about: the user name may be unknown or not allowed over the LAN"
    with within(min(end - time.monotonic(), LOGIN), "bmc_auth_failed", silent):
        bmc = login(request, silent)
    with within(end - time.monotonic(), "bmc_unreachable", "it stopped answering"):
        try:
            return CALLS[request["call"]](bmc, request, end)
        except IpmiException as error:
            if "no longer connected" in str(error) or "timeout" in str(error):
                raise Failed("bmc_unreachable", "it stopped answering") from None
            raise Failed("power_refused", f"it said: {error}") from None


def find(address: str, port: int, until: float) -> None:
    """Return when something that speaks IPMI answers at the address, raise ``bmc_unreachable`` with the reason if not."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
    except socket.gaierror as error:
        raise Failed("bmc_unreachable", f"the name does not resolve ({error.strerror})") from None
    refusals = 0
    with socket.socket(family, kind, protocol) as probe:
        probe.settimeout(0.7)
        reason = f"no answer to IPMI requests on UDP port {port}"
        while time.monotonic() < until and refusals < 3:
            try:
                probe.connect(target)
                probe.send(PRESENCE)
                if probe.recv(512)[:4] == PRESENCE[:4]:
                    return
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                refusals += 1
                reason = f"nothing listens on UDP port {port} there"
                time.sleep(0.2)
            except OSError as error:
                refusals += 1
                reason = str(error.strerror)
                time.sleep(0.2)
    raise Failed("bmc_unreachable", reason)


def login(request: dict[str, Any], silent: str) -> Command:
    """Open a session. The BMC is known to answer, so what fails here is the login."""
    try:
        return Command(
            bmc=request["address"],
            port=request["port"],
            userid=request["username"],
            password=request["password"],
            privlevel=PRIVILEGES.get(request["privilege_level"]),
        )
    except IpmiException as error:
        said = str(error)
        if "nsufficient resources" in said:
            raise Failed("power_refused", "it has no free session left") from None
        unnamed = said in ("None", "") or "timeout" in said or "no longer connected" in said
        raise Failed("bmc_auth_failed", silent if unnamed else f"login failed: {said}") from None


def ask(bmc: Command, command: int, data: tuple[int, ...] = ()) -> bytes:
    """Send one chassis command and return the data of its answer."""
    reply = bmc.raw_command(netfn=CHASSIS, command=command, data=data)
    if "error" in reply:
        raise IpmiException(reply["error"])
    return bytes(reply["data"])


def state(bmc: Command) -> str:
    """Return ``on`` or ``off``."""
    return "on" if ask(bmc, STATUS)[0] & 1 else "off"


def query(bmc: Command, _request: dict[str, Any], _end: float) -> str:
    """Return the power state."""
    return state(bmc)


def power(bmc: Command, request: dict[str, Any], end: float) -> str:
    """Bring about the wanted state and return it."""
    wanted, now = request["wanted"], state(bmc)
    if wanted == "cycle":
        ask(bmc, CONTROL, (RESET if now == "on" else ON,))
        return now
    if wanted == "soft":
        if now == "on":
            ask(bmc, CONTROL, (SOFT_OFF,))
        return now
    if now != wanted:
        ask(bmc, CONTROL, (ON if wanted == "on" else OFF,))
    return arrive(now, (wanted,), lambda: state(bmc), end)


def boot(bmc: Command, request: dict[str, Any], _end: float) -> None:
    """Set the device of the next start. pyghmi also stops the BMC from forgetting it after 60 s (parameter 3)."""
    device = "network" if request["device"] == "network" else "hd"
    bmc.set_bootdev(device, persist=False, uefiboot=request["uefi"])


CALLS = {"query": query, "power": power, "boot": boot}
