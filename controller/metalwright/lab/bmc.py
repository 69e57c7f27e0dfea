# SPDX-License-Identifier: GPL-3.0-or-later
"""The BMC of one machine: IPMI 2.0 over UDP by pyghmi's server side, so that any IPMI client can drive the lab.

One process a BMC, because pyghmi knows a session by the client's address alone: with two BMCs in one process, a client that
talks to both from one socket (as pyghmi's own client does) would have its sessions mixed up.

Section numbers in this file are those of the IPMI 2.0 specification, revision 1.1.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pyghmi.ipmi.bmc import Bmc
from pyghmi.ipmi.private import constants
from pyghmi.ipmi.private.serversession import ServerSession
from pyghmi.ipmi.private.session import Session

from metalwright.lab import control

PowerAction = Literal["on", "off", "cycle", "reset", "soft"]
BootDevice = Literal["none", "network", "disk"]

# Completion codes (table 5-2).
OK, INVALID_FIELD, NOT_NOW, UNSPECIFIED = 0x00, 0xCC, 0xD5, 0xFF
# Boot device selectors (table 28-14, parameter 5, data 2).
SELECTORS: dict[int, BootDevice] = {0: "none", 1: "network", 2: "disk"}
VALID, PERSISTENT, UEFI = 0x80, 0x40, 0x20
# RMCP+ status codes (table 13-15).
UNAUTHORIZED_NAME, NO_CIPHER_SUITE = 0x0D, 0x11
HMAC_SHA1 = 1
SESSIONS = 50


@dataclass(frozen=True)
class BootFlags:
    """What the next start boots from: ``persistent`` is every start, otherwise only one."""

    device: BootDevice = "none"
    persistent: bool = False
    uefi: bool = False


class Host(Protocol):
    """The machine that a BMC sits in."""

    def powered(self) -> bool:
        """Return whether it has power now."""

    def power(self, action: PowerAction) -> None:
        """Begin the action and return; a BMC answers before the power supply has done anything."""

    def boot_flags(self) -> BootFlags:
        """Return what the next start boots from."""

    def set_boot_flags(self, flags: BootFlags) -> None:
        """Set what the next start boots from."""


class LabSession(ServerSession):  # type: ignore[misc]
    """pyghmi's session, with the refusals it leaves out: a client learns at once what is wrong, as from a real BMC."""

    def create_open_session_response(self, request: bytearray) -> bytearray:
        """Refuse cipher suites other than 3, the only one pyghmi's server can speak (13.18)."""
        if len(request) >= 13 and request[12] != HMAC_SHA1:
            self.clientsessionid = request[4:8]
            return bytearray([request[0], NO_CIPHER_SUITE, 0, 0]) + self.clientsessionid
        return bytearray(super().create_open_session_response(request))

    def _got_rakp1(self, data: bytearray) -> None:
        """Refuse user names that nobody knows (13.21), instead of saying nothing."""
        name = bytes(data[28 : 28 + data[27]]).decode(errors="replace")
        if self.authdata.get(name) is None:
            refusal = bytearray([data[0], UNAUTHORIZED_NAME, 0, 0]) + self.clientsessionid
            self.send_payload(refusal, constants.payload_types["rakp2"], retry=False)
            return
        super()._got_rakp1(data)

    def close_server_session(self) -> None:
        """Forget the session, which pyghmi keeps for ever."""
        self.bmc.forget(self.sockaddr)


class LabBmc(Bmc):  # type: ignore[misc]
    """A BMC for one ``Host``: chassis status and control, boot flags once and for good, with and without the UEFI bit."""

    def __init__(self, host: Host, username: str, password: str, address: str, port: int = 623) -> None:
        """Bind the UDP port; ``OSError`` if the address is not there or the port is taken."""
        super().__init__({username: password}, port=port, address=address)
        self.host = host
        self.clients: dict[tuple[Any, ...], None] = {}

    def sessionless_data(self, data: bytes, sockaddr: tuple[Any, ...]) -> None:
        """Begin sessions of our own class; leave all else to pyghmi."""
        message = bytearray(data)
        if len(message) < 22 or not (message[4] == 6 and message[5] == constants.payload_types["rmcpplusopenreq"]):
            super().sessionless_data(data, sockaddr)
            return
        self.clients[sockaddr] = None
        if len(self.clients) > SESSIONS:
            self.forget(next(iter(self.clients)))
        LabSession(self.authdata, self.kg, sockaddr, self.serversocket, message[16:], self.uuid, bmc=self)

    def forget(self, client: tuple[Any, ...]) -> None:
        """Drop what is kept about a client's session."""
        self.clients.pop(client, None)
        Session.bmc_handlers.pop(client, None)

    def get_power_state(self) -> str:
        """Answer Get Chassis Status (28.2)."""
        return "on" if self.host.powered() else "off"

    def control_chassis(self, request: dict[str, Any], session: LabSession) -> None:
        """Carry out Chassis Control (28.3). Cycle and reset are not supported while it is off, says the specification."""
        actions: dict[int, PowerAction] = {0: "off", 1: "on", 2: "cycle", 3: "reset", 5: "soft"}
        action = actions.get(request["data"][0])
        if action is None:
            session.send_ipmi_response(code=INVALID_FIELD)
        elif action in ("cycle", "reset") and not self.host.powered():
            session.send_ipmi_response(code=NOT_NOW)
        else:
            self.host.power(action)
            session.send_ipmi_response()

    def set_system_boot_options(self, request: dict[str, Any], session: LabSession) -> None:
        """Carry out Set System Boot Options (28.12): boot flags are kept, the other parameters are taken and ignored."""
        data = request["data"]
        code = OK
        if data[0] & 0x7F == 5:
            device = SELECTORS.get((data[2] >> 2) & 0xF)
            if device is None:
                code = INVALID_FIELD
            else:
                kept = device if data[1] & VALID else "none"
                self.host.set_boot_flags(BootFlags(kept, bool(data[1] & PERSISTENT), bool(data[1] & UEFI)))
        session.send_ipmi_response(code=code)

    def get_system_boot_options(self, request: dict[str, Any], session: LabSession) -> None:
        """Answer Get System Boot Options (28.13) for the boot flags; other parameters are not supported (80h)."""
        if request["data"][0] & 0x7F != 5:
            session.send_ipmi_response(code=0x80)
            return
        flags = self.host.boot_flags()
        bits = VALID if flags.device != "none" else 0
        bits |= (PERSISTENT if flags.persistent else 0) | (UEFI if flags.uefi else 0)
        selector = next(number for number, device in SELECTORS.items() if device == flags.device)
        session.send_ipmi_response(data=[1, 5, bits, selector << 2, 0, 0, 0])


def listen() -> None:
    """Answer requests to every BMC of this process, for ever. A packet that can not be read is logged and forgotten."""
    while True:
        try:
            Session.wait_for_rsp(30)
        except Exception:  # noqa: BLE001 - whatever a malformed packet does to the parser, the BMC goes on
            traceback.print_exc()


class RackHost:
    """A machine of the rack daemon, spoken to over its control socket."""

    def __init__(self, socket: Path, machine: str) -> None:
        self.socket = socket
        self.machine = machine

    def powered(self) -> bool:
        """Ask the daemon."""
        return bool(control.ask(self.socket, "powered", machine=self.machine))

    def power(self, action: PowerAction) -> None:
        """Tell the daemon, which does it in the background."""
        control.ask(self.socket, "power", machine=self.machine, action=action)

    def boot_flags(self) -> BootFlags:
        """Ask the daemon."""
        return BootFlags(**control.ask(self.socket, "boot_flags", machine=self.machine))

    def set_boot_flags(self, flags: BootFlags) -> None:
        """Tell the daemon."""
        control.ask(self.socket, "set_boot_flags", machine=self.machine, flags=vars(flags))


def main() -> None:
    """Run one BMC: arguments SOCKET MACHINE ADDRESS USERNAME; the password is the first line of standard input."""
    socket, machine, address, username = sys.argv[1:]
    password = sys.stdin.readline().rstrip("\n")
    LabBmc(RackHost(Path(socket), machine), username, password, address)
    listen()


if __name__ == "__main__":
    main()
