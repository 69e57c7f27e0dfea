# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller's node plane on a database of its own, with shorthands for what machines and operators do there."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from metalwright.config import Settings
from metalwright.lifecycle.deploy import written
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.operations import Signal
from metalwright.node.app import create_app
from metalwright.store import Store
from metalwright.store.migrate import upgrade
from metalwright.store.models import Event, Image, Interface, IpRange, Machine, Operation, Subnet

URL = "http://10.77.0.1:5248"
BUILD = "0123456789abcdef"
MAC = "52:54:00:77:00:01"
UUID = "4c4c4544-0042-3510-8052-b4c04f4e5332"
ADDRESS = "10.77.0.10"
SHA = "5" * 64


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class World:
    """The plane, and shorthands for what machines and operators do."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.store = Store(settings.database)
        upgrade(self.store)
        self.engine = Engine(settings, clock)
        self.app = create_app(settings, self.store, self.engine, clock)
        self.client: FlaskClient = self.app.test_client()

    def get(self, path: str, address: str = ADDRESS, **more: Any) -> TestResponse:
        return self.client.get(path, environ_overrides={"REMOTE_ADDR": address}, **more)

    def post(self, path: str, body: Any = None, address: str = ADDRESS, **more: Any) -> TestResponse:
        return self.client.post(path, json={} if body is None else body, environ_overrides={"REMOTE_ADDR": address}, **more)

    def add(self, *rows: Any) -> None:
        with self.store.write() as session:
            session.add_all(rows)

    def machine(self, name: str = "node-1", mac: str = MAC, address: str | None = ADDRESS, **more: Any) -> Machine:
        """A machine that was commissioned, on the subnet."""
        with self.store.write() as session:
            subnet = session.scalar(select(Subnet))
            if subnet is None:
                dynamic = IpRange(kind="dynamic", start="10.77.0.100", end="10.77.0.149")
                static = IpRange(kind="static", start="10.77.0.10", end="10.77.0.89")
                subnet = Subnet(name="lab", cidr="10.77.0.0/24", domain="lab.example", ranges=[dynamic, static])
                session.add(subnet)
            facts: dict[str, Any] = {
                "state": "ready",
                "hardware": inventory(mac),
                "firmware": "bios",
                "system_uuid": UUID,
                "serial": "S1",
            }
            machine = Machine(name=name, **facts | more)
            machine.interfaces = [Interface(mac=mac, name="ens3", boot=True, address=address, subnet=subnet)]
            session.add(machine)
        return machine

    def image(self, name: str = "debian/12", sha256: str = SHA, **more: Any) -> Image:
        facts: dict[str, Any] = {"firmware": ["bios", "uefi"], "format": "raw.zst", "stored_bytes": 9, "image_bytes": 1 << 30}
        image = Image(name=name, content_sha256=sha256, **facts | more)
        self.add(image)
        return image

    def start(self, machine: Machine, kind: str, **parameters: Any) -> str:
        """Start an operation; answers its identifier."""
        if kind == "deploy":
            with self.store.session() as session:
                image = session.scalar(select(Image).where(Image.name == "debian/12"))
            parameters = {**written(image or self.image()), "hostname": machine.name, **parameters}
        with self.store.write() as session:
            return self.engine.start(session, session.get_one(Machine, machine.id), kind, parameters, by="test").id

    def boot(self, mac: str = MAC, address: str = ADDRESS, **query: str) -> str:
        """What the machine is answered when it boots from the network."""
        answer = self.get("/boot/ipxe", address, query_string={"mac": mac, "platform": "pcbios", **query})
        assert answer.status_code == 200
        assert answer.text.startswith("#!ipxe\n")
        return answer.text

    def token(self, mac: str = MAC) -> str:
        """Boot and take the token out of the kernel's command line."""
        return token_in(self.boot(mac))

    def hello(self, token: str, mac: str = MAC, **more: Any) -> TestResponse:
        identity = {"system_uuid": UUID.upper(), "serial": "S1", "macs": [mac.upper()]}
        body = {"protocol": 1, "agent": "0.1.0", "identity": identity, "firmware": "bios", "boot_mac": mac}
        return self.post(f"/agent/{token}/hello", body | more)

    def done(self, token: str) -> TestResponse:
        """What an agent says that has done all steps of its job."""
        job: Any = self.hello(token).json
        for step in job["steps"]:
            self.post(f"/agent/{token}/step", {"step": step["name"], "status": "finished"})
        return self.post(f"/agent/{token}/done")

    def first_boot(self, machine: Machine, **parameters: Any) -> str:
        """Deploy up to the end of the agent's work; answers the token."""
        self.start(machine, "deploy", **parameters)
        token = self.token()
        assert self.done(token).json == {"action": "kexec"}
        return token

    def operation(self, identifier: str) -> Operation:
        with self.store.session() as session:
            return session.get_one(Operation, identifier)

    def reload(self, machine: Machine) -> Machine:
        with self.store.session() as session:
            return session.get_one(Machine, machine.id)

    def events(self, *kinds: str) -> list[Event]:
        with self.store.session() as session:
            rows = session.scalars(select(Event).order_by(Event.id)).all()
        return [event for event in rows if not kinds or event.kind in kinds]

    def signal(self, identifier: str, signal: Signal) -> None:
        with self.store.write() as session:
            self.engine.signal(session, session.get_one(Operation, identifier), signal)

    def change(self, act: Callable[[Session], Any]) -> None:
        with self.store.write() as session:
            act(session)


def settings_in(directory: Path) -> Settings:
    """Settings of a controller that runs dnsmasq itself, and the boot files and image that it has."""
    agent = directory / "boot" / "agent"
    (agent / BUILD).mkdir(parents=True)
    (agent / "current").symlink_to(BUILD)
    (agent / BUILD / "vmlinuz").write_bytes(b"kernel")
    (agent / BUILD / "initrd.img").write_bytes(b"root")
    (directory / "boot" / "loaders").mkdir()
    (directory / "boot" / "loaders" / "snponly.efi").write_bytes(b"MZ loader")
    (directory / "images").mkdir()
    (directory / "images" / f"{SHA}.raw.zst").write_bytes(b"0123456789")
    return Settings.model_validate(
        {
            "data_dir": directory,
            "node": {"url": URL},
            "dhcp": {"engine": "dnsmasq", "interface": "br0"},
            "limits": {"enlist_per_minute": 3},
        }
    )


def token_in(script: str) -> str:
    """The token in the kernel's command line that a boot script gives."""
    match = re.search(r"metalwright.url=\S+/agent/([\w-]{43}) ", script)
    assert match
    return match[1]


def inventory(mac: str = MAC, **more: Any) -> dict[str, Any]:
    """A small, good inventory."""
    disk = {
        "name": "vda",
        "path": "/dev/vda",
        "id": "virtio-1",
        "serial": "1",
        "wwn": None,
        "model": "virtio",
        "size_bytes": 20 << 30,
    }
    disk |= {"rotational": False, "transport": "virtio", "removable": False}
    nic = {
        "name": "ens3",
        "mac": mac,
        "driver": "virtio_net",
        "speed_mbps": -1,
        "link": True,
        "pci": "0000:00:03.0",
        "lldp": None,
    }
    return {
        "schema": 1,
        "system": {"vendor": "QEMU", "product": "q35", "serial": "S1", "uuid": UUID, "sku": ""},
        "firmware": {"type": "bios", "vendor": "SeaBIOS", "version": "1.16", "date": "04/01/2014", "secure_boot": None},
        "bmc": {"address": "10.77.1.11", "mac": "52:54:00:99:00:01"},
        "cpu": {"model": "QEMU", "arch": "x86_64", "sockets": 1, "cores": 2, "threads": 2, "mhz": 2000.5},
        "memory": {"bytes": 2 << 30},
        "disks": [disk],
        "nics": [nic],
    } | more
