# SPDX-License-Identifier: GPL-3.0-or-later
"""The NoCloud seed, and when it exists."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from node_world import MAC, World

from metalwright.config import Settings
from metalwright.store.models import Machine, Operation, Subnet

NAMES = ("meta-data", "user-data", "vendor-data", "network-config")


def seed(world: World, **parameters: Any) -> dict[str, str]:
    world.image()
    operation = world.start(world.machine(), "deploy", **parameters)
    token = world.token()
    world.hello(token)
    answers = {name: world.get(f"/seed/{token}/{name}") for name in NAMES}
    assert {answer.status_code for answer in answers.values()} == {200}
    return {name: answer.text for name, answer in answers.items()} | {"operation": operation}


def test_seed_exists_only_while_it_is_installed(world: World) -> None:
    world.image()
    world.start(world.machine(), "deploy", user_data="#cloud-config\npassword: secret\n")
    token = world.token()
    assert world.get(f"/seed/{token}/user-data").status_code == 404
    world.hello(token)
    assert world.get(f"/seed/{token}/user-data").status_code == 200
    assert world.get(f"/seed/{token}/other").status_code == 404
    world.done(token)
    assert {world.get(f"/seed/{token}/{name}").status_code for name in NAMES} == {404}


def test_user_data_is_verbatim(world: World) -> None:
    text = "#cloud-config\r\n# caf\u00e9 \n  runcmd:   [ 'a: b' ]\n\n\n"
    assert seed(world, user_data=text)["user-data"] == text


def test_nothing_given(world: World) -> None:
    got = seed(world)
    assert got["user-data"] == "#cloud-config\n{}\n"
    assert got["vendor-data"] == ""
    assert yaml.safe_load(got["meta-data"]) == {"instance-id": got["operation"], "local-hostname": "node-1.lab.example"}


def test_options_are_vendor_data_and_keys_are_meta_data(world: World) -> None:
    power = {"delay": "+30", "mode": "poweroff", "message": "Bye: Bye", "timeout": 30, "condition": True}
    options: dict[str, Any] = {
        "manage_etc_hosts": False,
        "packages": ["htop"],
        "package_update": True,
        "timezone": "Europe/Berlin",
    }
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE me@home"
    got = seed(world, **options, power_state=power, ssh_keys=[key], hostname="web-1")
    assert got["vendor-data"].startswith("#cloud-config\n")
    assert yaml.safe_load(got["vendor-data"]) == {**options, "power_state": power | {"delay": 30}}
    meta = yaml.safe_load(got["meta-data"])
    assert (meta["local-hostname"], meta["public-keys"]) == ("web-1.lab.example", [key])


def test_user_data_wins_as_a_whole(world: World) -> None:
    options = {"timezone": "Europe/Berlin", "packages": ["htop"], "power_state": {"mode": "poweroff", "delay": "+30"}}
    got = seed(world, **options, user_data="#cloud-config\npower_state: {mode: reboot}\npackages: [tree]\n")
    assert yaml.safe_load(got["vendor-data"]) == {"timezone": "Europe/Berlin"}


def test_static_address(world: World) -> None:
    network = yaml.safe_load(seed(world)["network-config"])
    assert network == {
        "version": 2,
        "ethernets": {
            "ens3": {
                "match": {"macaddress": MAC},
                "dhcp4": False,
                "addresses": ["10.77.0.10/24"],
                "nameservers": {"addresses": ["10.77.0.1"], "search": ["lab.example"]},
            }
        },
    }


def test_gateway_and_name_servers_of_the_subnet(world: World) -> None:
    def shape(session: Any) -> None:
        subnet = session.query(Subnet).one()
        subnet.gateway, subnet.dns_servers = "10.77.0.254", ["9.9.9.9"]

    world.image()
    machine = world.machine()
    world.change(shape)
    world.start(machine, "deploy")
    token = world.token()
    world.hello(token)
    ethernet = yaml.safe_load(world.get(f"/seed/{token}/network-config").text)["ethernets"]["ens3"]
    assert ethernet["routes"] == [{"to": "0.0.0.0/0", "via": "10.77.0.254"}]
    assert ethernet["nameservers"]["addresses"] == ["9.9.9.9"]


def test_address_by_dhcp(world: World) -> None:
    ethernet = yaml.safe_load(seed(world, address="dhcp")["network-config"])["ethernets"]["ens3"]
    assert ethernet == {"match": {"macaddress": MAC}, "dhcp4": True, "dhcp-identifier": "mac"}


@pytest.mark.parametrize(
    ("user_data", "vendor"),
    [
        ("#cloud-config\npackages: [tree]\n", {"apt": {"proxy": "http://10.77.0.1:3142"}}),
        ("#cloud-config\napt_sources: []\n", {"apt_proxy": "http://10.77.0.1:3142"}),
        ("#!/bin/sh\necho {: ]\n", {"apt": {"proxy": "http://10.77.0.1:3142"}}),
    ],
)
def test_package_cache_is_the_apt_proxy(settings: Settings, world: World, user_data: str, vendor: dict[str, Any]) -> None:
    cache = settings.package_cache.model_copy(update={"url": "http://10.77.0.1:3142"})
    cached = World(settings.model_copy(update={"package_cache": cache}), world.clock)
    assert yaml.safe_load(seed(cached, user_data=user_data)["vendor-data"]) == vendor
    cached.store.engine.dispose()


def test_instance_is_the_operation(world: World) -> None:
    machine = world.machine()
    world.image()
    first = world.start(machine, "deploy")
    world.change(lambda session: world.engine.abort(session, session.get_one(Operation, first), by="test"))
    assert world.reload(machine).state == "ready"
    second = world.start(world.reload(machine), "deploy")
    token = world.token()
    world.hello(token)
    assert yaml.safe_load(world.get(f"/seed/{token}/meta-data").text)["instance-id"] == second != first
    with world.store.session() as session:
        assert session.query(Machine).count() == 1
