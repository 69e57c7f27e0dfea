# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a site from one file, against a real controller: made once, left alone, and changed where it was edited."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from collection.rack import Rack
from sqlalchemy import func, select

from metalwright.store.models import DhcpOption, Domain, Event, IpRange, Record, Reservation, Subnet

SITE = """
resolver: {forwarders: [192.0.2.1, 192.0.2.2], recurse_from: [10.0.0.0/8]}
vlans:
  - {name: storage, vid: 42, mtu: 9000}
subnets:
  - name: rack1
    cidr: 10.0.0.0/24
    gateway: 10.0.0.254
    dns_servers: [10.0.0.1]
    domain: rack1.example.internal
    ranges:
      - {kind: static, start: 10.0.0.10, end: 10.0.0.89}
      - {kind: dynamic, start: 10.0.0.100, end: 10.0.0.149}
      - {kind: reserved, start: 10.0.0.250, end: 10.0.0.254, comment: routers}
  - name: storage
    cidr: 10.42.0.0/24
    vlan: storage
    dhcp: false
    ranges: [{kind: static, start: 10.42.0.10, end: 10.42.0.199}]
  - name: rack1-v6
    cidr: 2001:db8:0:1::/64
    gateway: fe80::1
    ranges: [{kind: static, start: "2001:db8:0:1::10", end: "2001:db8:0:1::ff"}]
reservations:
  - {address: 10.0.0.5, mac: "52:54:00:AA:00:01", name: printer, comment: 2nd floor}
  - {address: "2001:DB8:0:1::5", mac: "52:54:00:aa:00:01"}
domains:
  - name: rack1.example.internal
    ttl: 600
  - name: example.internal
    records:
      - {name: shop, type: CNAME, data: host1}
      - {type: MX, data: 10 mail}
      - {type: TXT, data: v=spf1 mx -all, ttl: 3600}
      - {name: _ldap._tcp, type: SRV, data: 0 5 389 host2}
options:
  - {subnet: rack1, option: log-servers, value: [10.0.0.4]}
  - {subnet: rack1, option: 150, value: [10.0.0.3, 10.0.0.4]}
  - {reservation: 10.0.0.5, option: boot-size, value: 512}
"""
HOSTS = [{"name": f"host{number}", "type": "A", "data": f"10.0.0.{150 + number}"} for number in range(1, 37)]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def site() -> dict[str, Any]:
    """Three subnets, two domains, forty records, reservations and options."""
    described: dict[str, Any] = yaml.safe_load(SITE)
    described["domains"][1]["records"] += copy.deepcopy(HOSTS)
    return described


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    with Rack(tmp_path / "controller") as rack:
        yield rack


@pytest.fixture
def network(tmp_path: Path, rack: Rack, collections: Path) -> Run:
    """Run the playbook with a site in its file."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "METALWRIGHT_URL": rack.url,
        "METALWRIGHT_TOKEN": rack.token,
        **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
    }

    def run(site: dict[str, Any], *flags: str, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
        (tmp_path / "network.yml").write_text(yaml.safe_dump({"metalwright_network": site}, sort_keys=False))
        command = ["ansible-playbook", "metalwright.fleet.network", "-e", "@network.yml", *flags]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr)
        assert (done.returncode == 0) is succeeds
        return done

    return run


def changed(done: subprocess.CompletedProcess[str]) -> int:
    recap = re.search(r"changed=(\d+)", done.stdout)
    assert recap is not None
    return int(recap[1])


def edits(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines that its difference shows as gone or new."""
    lines = [line for line in done.stdout.splitlines() if re.match(r"[-+] ", line)]
    return [line[0] + line[1:].strip(' ,"') for line in lines]


def count(rack: Rack, *models: type) -> list[int]:
    with rack.store.session() as session:
        return [session.scalar(select(func.count()).select_from(model)) or 0 for model in models]


def test_a_site_is_made_once_and_changed_where_it_was_edited(network: Run, rack: Rack, site: dict[str, Any]) -> None:
    things = (Subnet, IpRange, Reservation, Domain, Record, DhcpOption)
    empty = count(rack, *things, Event)
    plan = network(site, "--check", "--diff")
    assert changed(plan) == 6
    assert '+        "host36 A 10.0.0.186"' in plan.stdout.replace(",", "")
    assert count(rack, *things, Event) == empty

    first = network(site)
    assert (changed(first), first.stderr) == (6, "")
    assert count(rack, *things) == [3, 5, 2, 2 + empty[3], 40, 3]

    events = count(rack, Event)
    second = network(site, "--diff")
    assert (changed(second), edits(second)) == (0, [])
    assert count(rack, Event) == events

    record = next(each for each in site["domains"][1]["records"] if each.get("name") == "host7")
    record["data"] = "10.0.0.207"
    checked = network(site, "--check", "--diff")
    assert (changed(checked), edits(checked)) == (1, ["-host7 A 10.0.0.157", "+host7 A 10.0.0.207"])
    assert count(rack, Event) == events


def test_what_is_to_be_gone_makes_place_for_what_comes(network: Run, rack: Rack, site: dict[str, Any]) -> None:
    network(site)
    site["vlans"] = [{"name": "storage", "state": "absent"}, {"name": "san", "vid": 42}]
    site["subnets"][1:] = [
        {"name": "storage", "state": "absent"},
        {"name": "rack1-v6", "state": "absent"},
        {"name": "san", "cidr": "10.42.0.0/16", "vlan": "san"},
    ]
    site["reservations"] = [
        {"address": "10.0.0.6", "mac": "52:54:00:aa:00:01"},
        {"address": "2001:db8:0:1::5", "state": "absent"},
    ]
    site["options"] = [{"reservation": "10.0.0.6", "option": "boot-size", "state": "absent"}]
    site["resolver"] = {"state": "absent"}
    site["domains"] = [{"name": "example.internal", "records": []}]
    network(site)
    site["domains"][0] = {"name": "example.internal", "state": "absent"}
    assert changed(network(site)) == 1
    with rack.store.session() as session:
        assert sorted(session.scalars(select(Subnet.name))) == ["rack1", "san"]
        kept = session.scalars(select(Reservation)).one()
        assert (kept.address, kept.name) == ("10.0.0.6", "printer")
    assert count(rack, Record, DhcpOption) == [0, 2]


def test_a_typing_mistake_is_refused_before_anything_is_done(network: Run, rack: Rack, site: dict[str, Any]) -> None:
    site["subnets"][0]["gatway"] = "10.0.0.254"
    told = network(site, succeeds=False).stdout
    assert "gatway" in told
    assert "metalwright_network" in network({}, "-e", "metalwright_network=", succeeds=False).stdout
    assert count(rack, Subnet, Record) == [0, 0]
