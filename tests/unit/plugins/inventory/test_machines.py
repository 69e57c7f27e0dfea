# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory: hosts, variables, groups, cache, and host keys that SSH may believe."""

from __future__ import annotations

import shlex

import pytest
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible_collections.metalwright.fleet.plugins.inventory.machines import FIELDS, address_of, known_hosts_lines

QUERY = {"limit": "1000", "fields": ",".join(("name", *FIELDS))}
NODE1 = {
    "name": "node1",
    "id": "m1",
    "state": "deployed",
    "failed_from": None,
    "failure": None,
    "former_state": None,
    "note": "",
    "test_status": "passed",
    "locked": False,
    "arch": "amd64",
    "firmware": "uefi",
    "pool": "default",
    "zone": "north",
    "tags": ["ssd"],
    "description": "",
    "power": {"driver": "manual", "state": "on", "parameters": {}},
    "interfaces": [{"mac": "52:54:00:00:00:01", "name": "eno1", "boot": True, "address": "10.0.0.10", "subnet": "lab"}],
    "hardware": {"cpu": {"model": "{{ lookup('pipe', 'id') }}"}},
    "cpu_count": 4,
    "memory_mib": 65536,
    "disk_gib": 100,
    "allocation": None,
    "deployed": {"image": "debian/12", "address": "10.0.0.10"},
    "host_keys": ["ssh-ed25519 AAAA root@node1"],
    "rescue": None,
}
NODE2 = {
    **NODE1,
    "name": "node2",
    "state": "new",
    "tags": [],
    "interfaces": [],
    "hardware": None,
    "memory_mib": None,
    "deployed": None,
    "host_keys": [],
}


@pytest.fixture
def inventory(controller, tmp_path):
    """Read an inventory file of the plugin with these lines; returns the inventory."""

    def read(*lines, cache=True):
        file = tmp_path / "machines.yml"
        file.write_text("\n".join(["plugin: metalwright.fleet.machines", "url: " + controller.url, *lines]))
        data = InventoryData()
        plugin = inventory_loader.get("metalwright.fleet.machines")
        assert plugin.verify_file(str(file))
        plugin.parse(data, DataLoader(), str(file), cache=cache)
        if plugin.get_option("cache"):
            plugin.update_cache_if_changed()
        data.reconcile_inventory()
        return data

    return read


def test_machines_are_hosts_with_variables(controller, inventory):
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [NODE1, NODE2], "next": None})
    hosts = inventory().hosts
    assert set(hosts) == {"node1", "node2"}
    assert hosts["node1"].vars["ansible_host"] == "10.0.0.10"
    assert hosts["node1"].vars["metalwright_state"] == "deployed"
    assert hosts["node1"].vars["metalwright_hardware"] == {"cpu": {"model": "{{ lookup('pipe', 'id') }}"}}
    assert "ansible_host" not in hosts["node2"].vars
    assert "ansible_ssh_common_args" not in hosts["node1"].vars


def test_groups_are_constructed(controller, inventory):
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [NODE1, NODE2], "next": None})
    data = inventory(
        "keyed_groups:",
        "  - {key: metalwright_tags, prefix: tag}",
        "  - {key: metalwright_zone, prefix: zone}",
        "groups:",
        "  large: (metalwright_memory_mib or 0) >= 65536",
        "compose:",
        "  ansible_user: \"'debian'\"",
    )
    members = {name: [host.name for host in group.hosts] for name, group in data.groups.items()}
    assert (members["tag_ssd"], members["zone_north"], members["large"]) == (["node1"], ["node1", "node2"], ["node1"])
    assert data.hosts["node2"].vars["ansible_user"] == "debian"


def test_the_controller_filters(controller, inventory):
    filters = {"state": "ready", "pool": "lab", "tag": "ssd", "allocation": "hadoop"}
    controller.hears("GET", "/machines", query={**QUERY, **filters}, answers={"items": [], "next": None})
    inventory("state: ready", "pool: lab", "tags: [ssd]", "allocation: hadoop")


def test_what_is_cached_is_not_asked_for(controller, inventory, tmp_path):
    cache = ("cache: true", "cache_plugin: ansible.builtin.jsonfile", f"cache_connection: {tmp_path}/cache", "cache_timeout: 600")
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [NODE1], "next": None})
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [NODE2], "next": None})
    assert [set(inventory(*cache).hosts) for _time in range(2)] == [{"node1"}, {"node1"}]
    assert [set(inventory(*cache, cache=flush).hosts) for flush in (False, True)] == [{"node2"}, {"node2"}]


def test_host_keys_become_known_hosts(controller, inventory, tmp_path):
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [NODE1, NODE2], "next": None})
    hosts = inventory("known_hosts: known hosts").hosts
    assert (tmp_path / "known hosts").read_text() == "10.0.0.10,node1 ssh-ed25519 AAAA\n"
    words = shlex.split(hosts["node1"].vars["ansible_ssh_common_args"])
    assert words[1] == f'UserKnownHostsFile="{tmp_path}/known hosts"'
    assert words[3:] == ["GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes"]
    assert hosts["node2"].vars["ansible_ssh_common_args"] == hosts["node1"].vars["ansible_ssh_common_args"]


@pytest.mark.parametrize(
    "key",
    ["@cert-authority * ssh-ed25519 AAAA", "* ssh-ed25519 AAAA", "", "ssh-ed25519", "ssh-ed25519 A\n* ssh-ed25519 BBBB", "# x y"],
)
def test_a_host_key_vouches_for_nobody_else(key):
    lines = known_hosts_lines([{**NODE1, "host_keys": [key]}])
    assert not any("*" in line or line.startswith("@") for line in lines)
    assert all(line.startswith("10.0.0.10,node1 ") for line in lines)


@pytest.mark.parametrize("deployed,expected", [("10.0.0.99", "10.0.0.99"), ("dhcp", "10.0.0.10"), (None, "10.0.0.10")])
def test_the_address_is_the_one_it_was_deployed_with(deployed, expected):
    assert address_of({**NODE1, "deployed": {"address": deployed}}) == expected


def test_a_machine_in_rescue_is_reached_there_and_known_by_the_keys_it_has_there(controller, inventory, tmp_path):
    rescue = {"address": "10.0.0.200", "host_keys": ["ssh-ed25519 BBBB"], "since": "2026-11-21T12:00:00+00:00"}
    inside = {**NODE1, "state": "rescue", "former_state": "deployed", "rescue": rescue}
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [inside], "next": None})
    hosts = inventory("known_hosts: known_hosts").hosts
    assert hosts["node1"].vars["ansible_host"] == "10.0.0.200"
    assert hosts["node1"].vars["metalwright_former_state"] == "deployed"
    assert (tmp_path / "known_hosts").read_text() == "10.0.0.200,node1 ssh-ed25519 BBBB\n"
    assert address_of({**inside, "state": "rescuing"}) == "10.0.0.10"


def test_a_machine_in_rescue_that_told_no_key_is_known_by_none(controller, inventory, tmp_path):
    rescue = {"address": None, "host_keys": [], "since": "2026-11-21T12:00:00+00:00"}
    inside = {**NODE1, "state": "rescue", "rescue": rescue}
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [inside], "next": None})
    hosts = inventory("known_hosts: known_hosts").hosts
    assert hosts["node1"].vars["ansible_host"] == "10.0.0.10"
    assert (tmp_path / "known_hosts").read_text() == ""


def test_why_a_machine_is_out_of_use_is_a_variable(controller, inventory):
    broken = {**NODE2, "state": "broken", "note": "{{ fan }} is dead", "test_status": "failed"}
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [broken], "next": None})
    known = inventory().hosts["node2"].vars
    assert (known["metalwright_note"], known["metalwright_test_status"]) == ("{{ fan }} is dead", "failed")


def test_a_refusal_names_its_reason(controller, inventory):
    refusal = {"code": "token_missing", "message": "This needs a token.", "details": {}, "hint": "METALWRIGHT_TOKEN."}
    controller.hears("GET", "/machines", query=QUERY, status=401, answers=refusal)
    with pytest.raises(AnsibleParserError, match=r"This needs a token\. METALWRIGHT_TOKEN\."):
        inventory()


@pytest.mark.parametrize("name,ours", [("machines.yml", True), ("lab.machines.yaml", True), ("hosts.yml", False)])
def test_files_are_known_by_their_names(tmp_path, name, ours):
    (tmp_path / name).write_text("plugin: metalwright.fleet.machines\n")
    assert inventory_loader.get("metalwright.fleet.machines").verify_file(str(tmp_path / name)) is ours
