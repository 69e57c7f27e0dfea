# SPDX-License-Identifier: GPL-3.0-or-later
"""A site with something of everything in it, made through the admin plane, and the words by which its things are known."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.lifecycle.engine import Engine
from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import Image, Machine, Operation, ScriptRun

GIB = 1 << 30
SHA = "5" * 64
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ ops@example.com"
SCRIPT = "#!/bin/sh\n# --- metalwright\n# name: look\n# kind: test\n# title: Looks\n# timeout: 60\n# ---\nexit 0\n"
MACHINES = ("node-1", "node-2", "node-3", "node-4", "node-5")
STATES = ("new", "ready", "deployed", "failed", "ready")
DEPLOYED = {"image": "debian/12", "content_sha256": SHA, "hostname": "web-9", "address": "auto", "network": [], "options": {}}
DISK = {"name": "vda", "path": "/dev/vda", "id": "virtio-1", "size_bytes": 20 * GIB, "rotational": False, "removable": False}

Words = dict[str, list[Any]]


def mac(number: int) -> str:
    """Of the boot interface of a machine."""
    return f"52:54:00:77:00:{number:02x}"


def populate(client: FlaskClient, store: Store, engine: Engine) -> Words:
    """Fill an empty controller; answers what its things are called, by the name of a field or the first part of a path."""
    made: dict[str, Any] = {}
    for path, body in _bodies():
        put = path.split("/")[1] in ("pools", "rules", "scripts", "webhooks", "allocations") or path.endswith("/network")
        answer = (client.put if put else client.post)(f"/api/v1{path}", json=body)
        assert answer.status_code < 300, (path, answer.text)
        made[path] = answer.json
    with store.write() as session:
        operations, run = _history(session, engine)
    listed = {name: client.get(f"/api/v1/{name}").json["items"] for name in ("ranges", "records", "reservations", "dhcp-options")}
    return _words(listed, operations, run)


def _bodies() -> list[tuple[str, Any]]:
    power = {"driver": "webhook", "parameters": {"on_url": "http://127.0.0.1:9/on", "off_url": "http://127.0.0.1:9/off"}}
    machines = [{"name": name, "macs": [mac(number)], "tags": ["rack"]} for number, name in enumerate(MACHINES, start=1)]
    machines[0]["power"] = power
    ranges = [
        {"kind": "dynamic", "start": "10.77.0.100", "end": "10.77.0.149"},
        {"kind": "static", "start": "10.77.0.10", "end": "10.77.0.89"},
    ]
    subnet = {"name": "lab", "cidr": "10.77.0.0/24", "gateway": "10.77.0.1", "ranges": ranges, "vlan": "storage"}
    return [
        ("/vlans", {"name": "storage", "vid": 30}),
        ("/domains", {"name": "lab.example"}),
        ("/subnets", subnet),
        ("/subnets", {"name": "six", "cidr": "fd00:77::/64"}),
        ("/pools/rack", {"description": "one"}),
        *(("/machines", machine) for machine in machines),
        ("/reservations", {"mac": "52:54:00:88:00:01", "address": "10.77.0.90", "name": "printer"}),
        ("/records", {"domain": "lab.example", "name": "www", "type": "A", "data": "10.77.0.91"}),
        ("/dhcp-options", {"subnet": "lab", "option": "100", "value": "UTC0"}),
        ("/scripts/look", {"source": SCRIPT}),
        ("/rules/rack", {"when": "memory > 1GiB", "actions": {"pool": "rack", "add_tags": ["large"]}}),
        ("/webhooks/hook", {"url": "http://127.0.0.1:9/hook", "events": ["operation.*"]}),
        ("/tokens", {"name": "other"}),
    ]


def _history(session: Session, engine: Engine) -> tuple[list[str], str]:
    """Machines in all kinds of states, with operations under way and ended; identifiers of operations and of a script's run."""
    image = Image(name="debian/12", firmware=["bios", "uefi"], format="raw.zst", content_sha256=SHA)
    image.stored_bytes, image.image_bytes, image.status = 9, 2 * GIB, "ready"
    session.add(image)
    found = {machine.name: machine for machine in session.scalars(select(Machine))}
    for name, state in zip(MACHINES, STATES, strict=True):
        machine = found[name]
        machine.state = state
        if state != "new":
            machine.hardware = {"schema": 1, "memory": {"bytes": 2 * GIB}, "disks": [DISK], "nics": []}
            machine.memory_mib, machine.cpu_count, machine.disk_gib = 2048, 2, 20
    found["node-3"].deployed = {**DEPLOYED, "at": engine.clock().isoformat()}
    found["node-3"].hostname = DEPLOYED["hostname"]
    under_way = engine.start(session, found["node-5"], "commission", {}, by="test")
    silent = engine.start(session, found["node-4"], "commission", {}, by="test")
    engine.fail(session, silent, {"code": "agent_silent", "message": "node-4: silence"})
    found["node-4"].state, found["node-4"].failed_from = "failed", "commissioning"
    ended = Operation(kind="test", machine_id=found["node-2"].id, from_state="ready", parameters={}, state="succeeded")
    ended.requested_by, ended.created_at, ended.ended_at = "test", engine.clock(), engine.clock()
    session.add(ended)
    session.flush()
    run = ScriptRun(operation_id=ended.id, machine_id=ended.machine_id, script_name="look", kind="test", position=0)
    run.source, run.timeout_seconds, run.status, run.output, run.parameters = SCRIPT, 60, "passed", "well", {}
    run.required, run.parallel, run.may_reboot, run.created_at = True, False, False, engine.clock()
    session.add(run)
    record(session, "agent.hello", "node-2: the agent reports", operation=ended, at=engine.clock())
    session.flush()
    return [under_way.id, ended.id, silent.id], run.id


def _words(listed: dict[str, Any], operations: list[str], run: str) -> Words:
    machines = [*MACHINES, *MACHINES, "nobody"]
    ids = {name: [item.get("id") or item["name"] for item in items] for name, items in listed.items()}
    paths: Words = {
        "machines": machines,
        "subnets": ["lab", "six"],
        "images": ["debian/12"],
        "allocations": ["hadoop"],
        "pools": ["rack", "default"],
        "rules": ["rack"],
        "scripts": ["look", "memory"],
        "tokens": ["other"],
        "vlans": ["storage"],
        "webhooks": ["hook"],
        "domains": ["lab.example"],
        "operations": operations,
        "reservations": ["10.77.0.90", *ids["reservations"]],
        "ranges": ["10.77.0.100", *ids["ranges"]],
        "records": ids["records"],
        "dhcp-options": ids["dhcp-options"],
    }
    return {
        **paths,
        "run": [run],
        "action": ["deploy", "release", "commission", "test", "lock", "power-on", "abort"],
        "operation": operations,
        "machine": machines,
        "subnet": ["lab", "six"],
        "vlan": ["storage"],
        "image": ["debian/12", "debian"],
        "pool": ["rack", "default"],
        "zone": ["default"],
        "script": ["look"],
        "tests": ["look"],
        "domain": ["lab.example"],
        "hostname": ["web-1", "web-2"],
        "ssh_keys": [KEY],
        "user_data": ["#cloud-config\npackages: [htop]\n", "#!/bin/sh\ntrue\n"],
        "erase": ["quick", "full"],
        "mac": [mac(1), mac(2), "52:54:00:99:00:01"],
        "macs": [mac(9), "52:54:00:99:00:02"],
        "address": ["auto", "10.77.0.20", "10.77.0.95", "fd00:77::5"],
        "cidr": ["10.78.0.0/24", "fd00:78::/64", "10.77.0.0/25"],
        "gateway": ["10.78.0.1", "10.77.0.1"],
        "start": ["10.77.0.200", "10.78.0.10"],
        "end": ["10.77.0.210", "10.78.0.20"],
        "dns_servers": ["10.77.0.1"],
        "ntp_servers": ["10.77.0.1"],
        "forwarders": ["10.77.0.1"],
        "forward_to": ["10.77.0.1"],
        "query_from": ["10.0.0.0/8"],
        "recurse_from": ["10.0.0.0/8"],
        "relays": ["10.77.0.2"],
        "search": ["lab.example"],
        "filter": ["state = ready", "memory > 1GiB"],
        "when": ["memory > 1GiB", "name ~ node"],
        "source": [SCRIPT, "http://127.0.0.1:9/disk.raw"],
        "driver": ["manual", "webhook"],
        "tags": ["rack", "large"],
        "data": ["10.77.0.91", "www.lab.example."],
        "option": ["100", "101", "66"],
        "url": ["http://127.0.0.1:9/hook"],
        "events": ["operation.*", "*"],
        "expires_in": ["90d", "1h"],
    }
