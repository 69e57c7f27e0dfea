# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kea's servers are given to read, as Kea's own checker sees it where that says more than a look at the text."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from metalwright.config import Dhcp, Dns, HotStandby, Node, Settings, Tftp
from metalwright.network.engines import kea_config
from metalwright.network.engines.kea_config import Family
from metalwright.network.engines.own_addresses import Interfaces
from metalwright.network.model import Host, Network, NetworkState, Option

OURS = [ip_interface("10.99.0.1/24"), ip_interface("2001:db8:99::1/64")]
LAB = Network("sub1", "lab", "10.99.0.0/24", gateway="10.99.0.254", dynamic=(("10.99.0.100", "10.99.0.149"),))
LAB_6 = Network("sub6", "lab6", "2001:db8:99::/64", dynamic=(("2001:db8:99::100", "2001:db8:99::1ff"),))
FAR = Network("far", "far", "10.98.0.0/24", relays=("192.0.2.1",))


def settings(directory: Path, interface: str = "server") -> Settings:
    return Settings(
        data_dir=directory,
        node=Node(url="http://10.99.0.1:5248"),
        dhcp=Dhcp(engine="kea+bind", interface=interface),
        dns=Dns(domain="metal.example"),
        tftp=Tftp(listen="0.0.0.0:69"),
    )


def rendered(
    directory: Path, *networks: Network, hosts: tuple[Host, ...] = (), family: Family = 4, ours: Interfaces = OURS
) -> dict[str, Any]:
    state = NetworkState(networks, hosts)
    text = kea_config.text(settings(directory), state, family, ours, directory)
    return json.loads(text.partition("\n")[2])[f"Dhcp{family}"]  # type: ignore[no-any-return]


def accepted(family: int, text: str, directory: Path) -> None:
    """Kea's own opinion."""
    path = directory / "candidate.conf"
    path.write_text(text)
    environment = os.environ | {"KEA_PIDFILE_DIR": str(directory), "KEA_LOCKFILE_DIR": str(directory)}
    command = [f"/usr/sbin/kea-dhcp{family}", "-t", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def options(subnet: dict[str, Any]) -> dict[int, str]:
    return {option["code"]: option["data"] for option in subnet["option-data"]}


def test_a_subnet_is_near_or_behind_a_relay(tmp_path: Path) -> None:
    config = rendered(tmp_path, LAB, FAR)
    near, far = config["subnet4"]
    assert (near["subnet"], near["interface"], near["next-server"]) == ("10.99.0.0/24", "server", "10.99.0.1")
    assert (far["subnet"], far["relay"], far["pools"]) == ("10.98.0.0/24", {"ip-addresses": ["192.0.2.1"]}, [])
    assert config["interfaces-config"]["interfaces"] == ["server/10.99.0.1"]
    other = replace(LAB, id="sub2", cidr="10.99.1.0/24")
    (link,) = rendered(tmp_path, LAB, other, ours=[*OURS, ip_interface("10.99.1.1/24")])["shared-networks"]
    assert [subnet["next-server"] for subnet in link["subnet4"]] == ["10.99.0.1", "10.99.1.1"]
    assert rendered(tmp_path, replace(LAB, dhcp=False))["interfaces-config"]["interfaces"] == []


def test_pools_have_no_address_that_belongs_to_someone(tmp_path: Path) -> None:
    hosts = tuple(
        Host(f"m{last}", f"52:54:00:00:00:{last:02x}" if last != 120 else None, f"10.99.0.{last}", "sub1")
        for last in (10, 100, 101, 120, 149)
    )
    subnet = rendered(tmp_path, LAB, hosts=hosts)["subnet4"][0]
    assert [pool["pool"] for pool in subnet["pools"]] == ["10.99.0.102 - 10.99.0.119", "10.99.0.121 - 10.99.0.148"]
    assert [one["ip-address"] for one in subnet["reservations"]] == ["10.99.0.10", "10.99.0.100", "10.99.0.101", "10.99.0.149"]


def test_a_host_without_a_subnet_is_put_where_its_address_lies(tmp_path: Path) -> None:
    hosts = (Host("m1", "52:54:00:00:00:0a", "10.98.0.7"), Host("m1", "52:54:00:00:00:0a", "192.0.2.7"))
    config = rendered(tmp_path, LAB, FAR, hosts=hosts)
    assert config["subnet4"][0]["reservations"] == []
    assert config["subnet4"][1]["reservations"] == [{"hw-address": "52:54:00:00:00:0a", "ip-address": "10.98.0.7"}]


def test_what_clients_are_told(tmp_path: Path) -> None:
    told = replace(
        LAB,
        dns_servers=("10.0.0.53", "10.0.0.54"),
        ntp_servers=("10.0.0.123",),
        search=("lab.example", "example.com"),
        domain="lab.example",
        mtu=9000,
        options=(
            Option(4, 121, "10.1.0.0/16 10.99.0.3,0.0.0.0/0 10.99.0.254"),
            Option(4, 224, "01:02:ff"),
            Option(4, 2, "-3600"),
        ),
    )
    host = Host("m1", "52:54:00:00:00:0a", "10.99.0.10", "sub1", options=(Option(4, 17, "/srv/root"),))
    subnet = rendered(tmp_path, told, hosts=(host,))["subnet4"][0]
    assert options(subnet) == {
        3: "0a6300fe",
        6: "0a0000350a000036",
        15: b"lab.example".hex(),
        26: "2328",
        42: "0a00007b",
        119: (b"\3lab\7example\0" + b"\7example\3com\0").hex(),
        121: "100a010a630003" + "000a6300fe",
        224: "0102ff",
        2: "fffff1f0",
    }
    assert options(subnet["reservations"][0]) == {17: b"/srv/root".hex()}
    plain = rendered(tmp_path, replace(LAB, gateway=None))["subnet4"][0]
    assert options(plain) == {6: "0a630001", 15: b"metalwright.internal".hex()}


def test_what_ipv6_clients_are_told(tmp_path: Path) -> None:
    told = replace(LAB_6, ntp_servers=("2001:db8::123",))
    hosts = (
        Host("m1", "52:54:00:00:00:0a", "2001:db8:99::10", "sub6"),
        Host("m1", "52:54:00:00:00:0a", "2001:db8:99::11", "sub6", options=(Option(4, 17, "of the other family"),)),
    )
    config = rendered(tmp_path, told, hosts=hosts, family=6)
    subnet = config["subnet6"][0]
    time = "20010db8" + "0" * 20 + "0123"
    assert options(subnet) == {
        23: "20010db80099" + "0" * 19 + "1",
        24: (b"\x0bmetalwright\x08internal\0").hex(),
        31: time,
        56: "00010010" + time,
    }
    assert subnet["reservations"] == [{"hw-address": "52:54:00:00:00:0a", "ip-addresses": ["2001:db8:99::10", "2001:db8:99::11"]}]


def test_numbers_of_subnets_stay() -> None:
    six = [replace(LAB_6, id=f"six{number}", cidr=f"2001:db8:{number:x}::/64") for number in range(200)]
    numbers = kea_config.subnet_ids([LAB, *six])
    assert numbers["sub1"] == 0x0A630000
    assert len(set(numbers.values())) == 201
    assert kea_config.subnet_ids([*six[100:], LAB])["six150"] == numbers["six150"]


def test_reservations_are_what_the_skeleton_leaves_out(tmp_path: Path) -> None:
    option = (Option(4, 17, "/srv"), Option(4, 18, "/ext"))
    hosts = tuple(Host("m", f"52:54:00:00:00:{last:02x}", f"10.99.0.{last}", "sub1", options=option) for last in range(10, 20))

    def text(*of: Host) -> str:
        return kea_config.text(settings(tmp_path), NetworkState((LAB,), of), 4, OURS, tmp_path)

    assert kea_config.skeleton(text(*hosts)) == kea_config.skeleton(text(*hosts[3:7])) == kea_config.skeleton(text())
    assert len([line for line in text(*hosts).splitlines() if line.lstrip().startswith(f"{{{kea_config.RESERVATION}")]) == 10
    other = kea_config.text(settings(tmp_path), NetworkState((replace(LAB, mtu=1400),), hosts), 4, OURS, tmp_path)
    assert kea_config.skeleton(other) != kea_config.skeleton(text(*hosts))


@pytest.mark.parametrize("family", [4, 6])
def test_a_pair_in_hot_standby_is_accepted_by_kea(tmp_path: Path, family: Family) -> None:
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=127.0.0.1"]
    make += ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(make, check=True, capture_output=True)
    pair = HotStandby(
        role="standby",
        primary="127.0.0.2",
        standby="127.0.0.1",
        ca=tmp_path / "cert.pem",
        cert=tmp_path / "cert.pem",
        key=tmp_path / "key.pem",
    )
    paired = settings(tmp_path, "lo").model_copy(update={"hot_standby": pair})
    text = kea_config.text(paired, NetworkState(), family, [], tmp_path)
    accepted(family, text, tmp_path)
    port = {4: 8647, 6: 8648}[family]
    assert sorted(re.findall(r'"url": "([^"]*)"', text)) == [f"https://127.0.0.{host}:{port}/" for host in (1, 2)]
    assert '"require-client-certs": true' in text
