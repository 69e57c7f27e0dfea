# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine that boots from the network is answered: its own disk, unless an operation waits for it.

The answer is decided anew at each request from the database, whatever the machine's boot order says. So a deployed machine
with network first in its boot order is never installed twice.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from metalwright.errors import NotFound, Unavailable
from metalwright.images import agent_code
from metalwright.lifecycle import tokens
from metalwright.lifecycle.held import WITHOUT_INVENTORY, take
from metalwright.lifecycle.operations import Signal
from metalwright.lifecycle.waiting import wants_netboot
from metalwright.node import files, scripts, telling, who
from metalwright.node.plane import Plane, Seldom
from metalwright.node.turn import Asker, Turn, turn
from metalwright.store.events import record
from metalwright.store.models import Event, Interface, Machine, Operation, Subnet

_LOADER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_BUILD = re.compile(r"[0-9a-f]{16}")
_CONSOLES = "console=tty0 console=ttyS0,115200"
_ONE_HOUR = 3600
_BETWEEN_REBOOTS = 10


def routes(plane: Plane) -> Blueprint:
    """``/boot/...``: scripts, loaders, and the agent's kernel, root and code."""
    room = Blueprint("boot", __name__, url_prefix="/boot")
    answers = Answers(plane)

    @room.get("/start.ipxe")
    def start() -> Response:
        answers.fetched("boot.start", "the start script")
        return _script(scripts.start(plane.url))

    @room.get("/ipxe")
    def ipxe() -> Response:
        return _script(answers.script())

    @room.get("/loaders/<name>")
    def loader(name: str) -> Response:
        answers.fetched("boot.loader", name)
        return files.send(_inside(plane.settings.boot_dir / "loaders", name, _LOADER))

    @room.get("/agent/<build>/<name>")
    def agent(build: str, name: str) -> Response:
        path = _inside(plane.settings.boot_dir / "agent", build, _BUILD)
        if name not in ("vmlinuz", "initrd.img"):
            raise NotFound("not_found", "There is nothing here.")
        if name == "vmlinuz" and request.method == "GET" and (operation := request.args.get("o")):
            answers.kernel_fetched(operation)
        return files.send(path / name)

    @room.get("/agent/code.cpio")
    def code() -> Response:
        content, digest = _agent_code()
        response = Response(content, mimetype="application/octet-stream")
        response.set_etag(digest)
        response.make_conditional(request)
        return response

    return room


class Answers:
    """Decides what a machine that boots is told."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._seldom = Seldom(_ONE_HOUR)
        self._reboots = Seldom(_BETWEEN_REBOOTS)

    def script(self) -> str:
        """The script for the machine that asks, by MAC and UUID of the request."""
        mac = who.mac_address(request.args.get("mac", ""))
        uuid = who.system_uuid(request.args.get("uuid", ""))
        platform = "efi" if request.args.get("platform") == "efi" else "pcbios"
        with self._plane.store.session() as session:
            found = who.find(session, mac, uuid)
            operation = _operation(session, found.machine) if found else None
            subnet = None if found else who.subnet_of(session, request.remote_addr)
        if found is None:
            return self._unknown(platform, mac, subnet)
        if not wants_netboot(operation):
            return self._from_disk(platform, found.machine, operation)
        return self._begin(platform, mac, uuid)

    def _begin(self, platform: str, mac: str | None, uuid: str | None) -> str:
        """Hand out the agent for the operation that waits, with a token that was never seen before."""
        build = self._agent_build()
        with self._plane.store.write() as session:
            found = who.find(session, mac, uuid)
            operation = _operation(session, found.machine, lock=True) if found else None
            if found is None or operation is None or not wants_netboot(operation):
                return scripts.local(platform, self._plane.url)
            machine = found.machine
            if build is None:
                return self._without_agent(session, platform, operation)
            asker = Asker(request.remote_addr, mac)
            if not self._asks_from_its_address(found):
                return self._refuse(session, platform, operation, asker)
            whose = turn(session, operation, asker, self._plane.settings, self._plane.clock())
            if whose in (Turn.WAIT, Turn.NEVER):
                return self._not_its_turn(session, platform, operation, asker, whose)
            if whose is Turn.GIVEN and telling.is_full(self._plane, operation):
                return scripts.wait(self._plane.url, f"{machine.name}: its boot script is asked for too often, waiting")
            what = _what(operation)
            data = {"mac": mac, "platform": platform, "address": request.remote_addr}
            if whose is Turn.GIVEN:
                message = f"{machine.name} fetched the boot script"
                telling.tell(self._plane, session, operation, "boot.script", message, data)
            self._plane.engine.signal(session, operation, Signal.BOOT_SCRIPT, {"message": f"boot script sent to {mac}"})
            if not wants_netboot(operation):  # it has restarted once too often and the operation has failed
                return scripts.local(platform, self._plane.url, f"{machine.name}: {what} has failed")
            token = tokens.mint(session, operation, self._plane.clock, self._plane.settings.deadlines.token)
            note = f"{machine.name}: {what} (operation {operation.id}) is starting"
            return self._agent(platform, build, f"{self._plane.url}/agent/{token}", mac, note, operation.id)

    def _without_agent(self, session: Session, platform: str, operation: Operation) -> str:
        message = f"{operation.machine.name} asked for the agent, but it was never built"
        self._record(session, operation, "boot.agent_missing", "asked for the agent, which was never built", {})
        self._plane.engine.fail(session, operation, {"code": "agent_missing", "message": message})
        return scripts.local(platform, self._plane.url, message)

    def _agent(self, platform: str, build: str, url: str, mac: str | None, note: str, operation: str = "") -> str:
        base = f"{self._plane.url}/boot/agent"
        boot_nic = f"BOOTIF=01-{mac.replace(':', '-')} " if mac else ""
        arguments = f"metalwright.url={url} {boot_nic}{_CONSOLES} ip=dhcp-by-init quiet loglevel=4 panic=15"
        kernel = f"{base}/{build}/vmlinuz" + (f"?o={operation}" if operation else "")
        initrds = [("initrd.img", f"{base}/{build}/initrd.img"), ("code.cpio", f"{base}/code.cpio")]
        return scripts.agent(platform, kernel, initrds, arguments, note)

    def _agent_build(self) -> str | None:
        try:
            build = (self._plane.settings.boot_dir / "agent" / "current").readlink().name
        except OSError:
            return None
        return build if _BUILD.fullmatch(build) else None

    def _asks_from_its_address(self, found: who.Found) -> bool:
        """Whether the request comes from the address that our own DHCP gives this machine's boot interface.

        A machine that was never commissioned may boot from another interface than the one guessed: it is let through, and its
        inventory then says which one it is.
        """
        interface = found.machine.boot_interface
        ours = self._plane.settings.dhcp.runs_here and interface is not None and interface.address is not None
        if not ours or interface is None or found.machine.hardware is None:
            return True
        return interface.address == request.remote_addr

    def _refuse(self, session: Session, platform: str, operation: Operation, asker: Asker) -> str:
        interface = operation.machine.boot_interface
        expected = f"{interface.mac} has {interface.address}" if interface else ""
        message = f"was not given its boot script: asked for by {_told(asker)}, but its boot interface {expected}"
        data = {**asker._asdict(), "expected": interface.address if interface else None}
        self._once_an_attempt(session, operation, asker, "boot.refused", message, data)
        note = f"{operation.machine.name}: refused, {asker.address} is not its address"
        return scripts.local(platform, self._plane.url, note)

    def _not_its_turn(self, session: Session, platform: str, operation: Operation, asker: Asker, whose: Turn) -> str:
        name = operation.machine.name
        if whose is Turn.NEVER:
            return scripts.local(platform, self._plane.url, f"{name}: this is another machine, as its agent said")
        message = f"its boot script is asked for by {_told(asker)} too, who has to wait: another was first"
        self._once_an_attempt(session, operation, asker, "boot.contested", message, asker._asdict())
        return scripts.wait(self._plane.url, f"{name}: its boot script was given to another address, waiting")

    def _once_an_attempt(
        self, session: Session, operation: Operation, asker: Asker, kind: str, message: str, data: dict[str, Any]
    ) -> None:
        if self._seldom.allows(f"{kind} {operation.id} {operation.attempt} {asker.address}", self._plane.clock()):
            self._record(session, operation, kind, message, data)

    def _from_disk(self, platform: str, machine: Machine, operation: Operation | None) -> str:
        running = operation is not None and operation.state == "running"
        if operation and running and self._reboots.allows(operation.id, self._plane.clock()):
            with self._plane.store.write() as session:
                self._record(session, session.get_one(Operation, operation.id), "boot.local", "was sent to its own disk", {})
        return scripts.local(platform, self._plane.url, f"{machine.name} is {machine.state}")

    def _unknown(self, platform: str, mac: str | None, subnet: Subnet | None) -> str:
        if mac and subnet is not None and subnet.enlist:
            url, build = f"{self._plane.url}/agent/enlist", self._agent_build()
            if build is None:
                raise Unavailable("agent_missing", "The agent has not been built.", "Run: metalwright agent build")
            return self._agent(platform, build, url, mac, f"unknown machine {mac}: reporting its hardware")
        if mac and self._seldom.allows(f"unknown {mac}", self._plane.clock()):
            where = f"subnet {subnet.name}, which does not enlist" if subnet else "no known subnet"
            with self._plane.store.write() as session:
                message = f"unknown machine {mac} ({request.remote_addr}) was sent to its own disk: {where}"
                record(
                    session, "boot.unknown", message, data={"mac": mac, "address": request.remote_addr}, at=self._plane.clock()
                )
        return scripts.local(platform, self._plane.url, f"{mac or 'this machine'} is not known here")

    def kernel_fetched(self, operation_id: str) -> None:
        """Note on the operation that its machine fetched the kernel, once for each boot script."""
        self._once_while_booting(Operation.id == operation_id, "boot.kernel", "fetched the agent's kernel")

    def fetched(self, kind: str, what: str) -> None:
        """Note what was fetched by HTTP on the operation of the machine that has the address; by TFTP others note it."""
        if request.method == "GET":
            machine = select(Interface.machine_id).where(Interface.address == request.remote_addr)
            self._once_while_booting(Operation.machine_id.in_(machine), kind, f"fetched {what}")

    def _once_while_booting(self, which: ColumnElement[bool], kind: str, message: str) -> None:
        last = (
            select(Event.kind)
            .where(Event.operation_id == Operation.id, Event.kind.in_((kind, "boot.script", "power.netboot")))
            .order_by(Event.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        columns = (Operation.id, Operation.kind, Operation.state, Operation.phase, last.label("last"))
        with self._plane.store.session() as session:
            found = session.execute(select(*columns).where(which, Operation.state == "running")).first()
        if found is None or not wants_netboot(found) or found.last == kind:
            return
        with self._plane.store.write() as session:
            operation = session.get(Operation, found.id, options=[WITHOUT_INVENTORY])
            if operation is not None and operation.state == "running":
                self._record(session, operation, kind, message, {"address": request.remote_addr})

    def _record(self, session: Session, operation: Operation, kind: str, message: str, data: dict[str, Any]) -> None:
        text = f"{operation.machine.name} {message}"
        record(session, kind, text, operation=operation, data=data, at=self._plane.clock())


def _operation(session: Session, machine: Machine, *, lock: bool = False) -> Operation | None:
    """What the machine is doing; ``lock`` it before anything of it or its machine is written."""
    if machine.operation_id is None:
        return None
    if lock:
        return take(session, machine.operation_id)
    return session.get(Operation, machine.operation_id, options=[WITHOUT_INVENTORY])


def _told(asker: Asker) -> str:
    return f"{asker.address} with {asker.mac or 'no MAC'}"


def _what(operation: Operation) -> str:
    image = operation.parameters.get("image") if operation.kind == "deploy" else None
    return f"{operation.kind} of {image}" if image else operation.kind


def _script(text: str) -> Response:
    return Response(text, mimetype="text/plain", headers={"Cache-Control": "no-store"})


def _inside(directory: Path, name: str, allowed: re.Pattern[str]) -> Path:
    """A path right below ``directory``; a name that says anything else does not exist."""
    if not allowed.fullmatch(name):
        raise NotFound("not_found", "There is nothing here.")
    return directory / name


@cache
def _agent_code() -> tuple[bytes, str]:
    content = agent_code.cpio()
    return content, sha256(content).hexdigest()
