# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with a bond of two cards, a tagged VLAN and a bridge on it, deployed for real. The tests follow one another."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest
from lab_under_test import LabUnderTest, Recap

from metalwright.lab.spec import LabSpec, MachineSpec, VlanSpec

NODE = "node-1"
STORAGE = VlanSpec(vid=42, subnet=IPv4Network("10.42.0.0/24"))
SUBNETS: list[dict[str, Any]] = [
    {
        "name": "storage",
        "cidr": str(STORAGE.subnet),
        "ranges": [{"kind": "static", "start": "10.42.0.10", "end": "10.42.0.19"}],
    },
    {"name": "storage6", "cidr": "fd42::/64", "ranges": [{"kind": "static", "start": "fd42::10", "end": "fd42::1f"}]},
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabUnderTest]:
    under_test = LabUnderTest("interfaces", tmp_path_factory.mktemp("interfaces"))
    under_test.down()
    try:
        machine = MachineSpec(name=NODE, nics=3, memory_mib=1536, disk_gib=4)
        patient: Any = {"deadlines": {"netboot": 300, "boot": 400}}  # an emulated machine beside other work
        under_test.up(LabSpec(name=under_test.name, machines=(machine,), vlans=(STORAGE,), settings=patient))
        yield under_test
    finally:
        under_test.down()


def cards(lab: LabUnderTest) -> list[str]:
    """The names of its three cards, the one it boots from first."""
    names = {each["mac"]: each["name"] for each in lab.machine(NODE)["interfaces"]}
    return [names[mac] for mac in lab.spec.macs(NODE)]


def interfaces(lab: LabUnderTest) -> list[dict[str, Any]]:
    first, second, third = cards(lab)
    auto6 = {"mode": "auto", "subnet": "storage6"}
    return [
        {
            "name": "bond0",
            "type": "bond",
            "members": [first, second],
            "mode": "active-backup",
            "primary": first,
            "mii_monitor_interval": 50,
        },
        {"name": "br0", "type": "bridge", "members": ["bond0"], "links": [{"mode": "auto", "subnet": lab.name}]},
        {
            "name": "bond0.42",
            "type": "vlan",
            "parent": "bond0",
            "vlan": "storage",
            "mtu": 1400,
            "links": [{"mode": "static", "subnet": "storage", "address": "10.42.0.7"}, auto6],
            "routes": [{"to": "10.43.0.0/16", "via": "10.42.0.1", "metric": 50}],
        },
        {"name": third, "type": "physical", "mtu": 1450, "links": [{"mode": "link"}]},
    ]


def deploy(lab: LabUnderTest, *arguments: str, declared: list[dict[str, Any]] | None = None, check: bool = True) -> Recap:
    told = json.dumps({"metalwright_interfaces": declared or interfaces(lab)})
    return lab.playbook("deploy", "-e", told, *arguments, check=check)


def seen(lab: LabUnderTest, command: str) -> Any:
    return json.loads(lab.ansible(NODE, command))


def test_it_is_deployed_with_what_was_declared(lab: LabUnderTest) -> None:
    lab.api("POST", "/vlans", {"name": "storage", "vid": STORAGE.vid, "mtu": 1500})
    for subnet in SUBNETS:
        lab.api("POST", "/subnets", {**subnet, "vlan": "storage", "dhcp": False})
    lab.playbook("enlist")
    lab.playbook("commission")
    planned = deploy(lab, "--check", "--diff")
    assert "bond0.42" in planned.output
    began = time.monotonic()
    assert deploy(lab).changed > 0
    print(f"\ndeployed in {time.monotonic() - began:.0f} s")
    assert lab.machine(NODE)["state"] == "deployed"
    assert deploy(lab).changed == 0


def test_what_can_not_be_is_refused_before_anything_is_powered(lab: LabUnderTest) -> None:
    before = lab.api("GET", "/events?after=latest")["cursor"]
    wrong = [{**each, "mtu": 9000} if each["name"] == "bond0.42" else each for each in interfaces(lab)]
    refused = deploy(lab, declared=wrong, check=False)
    assert "bond0.42 has an MTU of 9000, and bond0, which carries it, one of 1500" in refused.output
    assert lab.api("GET", "/events?after=latest")["cursor"] == before


def assert_as_declared(lab: LabUnderTest) -> None:
    names, macs = cards(lab), lab.spec.macs(NODE)
    links = {link["ifname"]: link for link in seen(lab, "ip -d -j link")}
    assert set(links) == {"lo", *names, "bond0", "bond0.42", "br0"}
    assert {link.get("operstate") for name, link in links.items() if name != "lo"} == {"UP"}
    for name, mac in zip(names[:2], macs, strict=False):
        assert (links[name]["master"], links[name]["permaddr" if name == names[1] else "address"]) == ("bond0", mac)
        assert links[name]["linkinfo"]["info_slave_kind"] == "bond"
    bond, vlan, bridge = links["bond0"], links["bond0.42"], links["br0"]
    assert (bond["linkinfo"]["info_kind"], bond["master"], bond["address"]) == ("bond", "br0", macs[0])
    told = bond["linkinfo"]["info_data"]
    assert (told["mode"], told["primary"], told["active_slave"], told["miimon"]) == ("active-backup", names[0], names[0], 50)
    assert (vlan["linkinfo"]["info_kind"], vlan["link"], vlan["mtu"]) == ("vlan", "bond0", 1400)
    assert (vlan["linkinfo"]["info_data"]["id"], vlan["linkinfo"]["info_data"]["protocol"]) == (42, "802.1Q")
    assert (bridge["linkinfo"]["info_kind"], bridge["linkinfo"]["info_data"]["stp_state"]) == ("bridge", 0)
    assert (links[names[2]]["mtu"], links[names[2]]["address"]) == (1450, macs[2])
    addresses = {
        (link["ifname"], f"{each['local']}/{each['prefixlen']}")
        for link in seen(lab, "ip -j address")
        for each in link["addr_info"]
        if each["scope"] == "global"
    }
    main = lab.machine(NODE)["deployed"]["address"]
    assert addresses == {("br0", f"{main}/24"), ("bond0.42", "10.42.0.7/24"), ("bond0.42", "fd42::10/64")}
    routes = {(route["dst"], route["dev"], route.get("gateway"), route.get("metric")) for route in seen(lab, "ip -j route")}
    assert routes == {
        ("default", "br0", lab.spec.gateway, None),
        (str(lab.spec.subnet), "br0", None, None),
        (str(STORAGE.subnet), "bond0.42", None, None),
        ("10.43.0.0/16", "bond0.42", "10.42.0.1", 50),
    }


def test_the_machine_shows_exactly_that(lab: LabUnderTest) -> None:
    for command in ("ip -d -br link", "ip -br address", "ip route"):
        print(f"\n$ {command}\n{lab.ansible(NODE, command)}")
    assert_as_declared(lab)
    assert "degraded" not in lab.ansible(NODE, "networkctl --no-pager status bond0.42 | grep State; cloud-init status")


def test_it_is_reached_over_bridge_and_vlan_with_its_host_key_verified(lab: LabUnderTest) -> None:
    main = lab.machine(NODE)["deployed"]["address"]
    assert main == next(each["address"] for each in lab.api("GET", f"/machines/{NODE}/network")["addresses"] if each["main"])
    told = lab.inside("ansible-inventory", "--host", NODE).stdout
    assert main in told
    assert "StrictHostKeyChecking=yes" in told
    assert "SUCCESS" in lab.inside("ansible", NODE, "-m", "ansible.builtin.ping").stdout
    tagged = ("-e", "ansible_host=10.42.0.7", "-e", f"ansible_ssh_extra_args='-o HostKeyAlias={NODE}'")
    assert "SUCCESS" in lab.inside("ansible", NODE, *tagged, "-m", "ansible.builtin.ping").stdout
    name = f"{NODE}.{lab.name}.metalwright.internal"
    assert lab.inside("dig", "+short", f"@{lab.spec.gateway}", name).stdout.split() == [main]


def test_it_boots_from_the_card_that_is_a_member_and_is_the_same_again(lab: LabUnderTest) -> None:
    print(f"\nreboot through the BMC: {lab.reboot_by_bmc(NODE):.0f} s")
    assert_as_declared(lab)
