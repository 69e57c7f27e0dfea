# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory: hosts, variables, groups, cache, and host keys that SSH may believe."""

from __future__ import annotations

import shlex

import pytest
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.metalwright.fleet.plugins.inventory.machines import address_of, known_hosts_lines

FIELDS = (
    "name,id,state,failed_from,failure,former_state,note,test_status,locked,arch,firmware,pool,zone,tags,description,power,"
    "interfaces,cpu_count,memory_mib,disk_gib,allocation,deployed,host_keys,rescue,created_at,updated_at"
)
QUERY = {"limit": "1000", "fields": FIELDS}
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
    "created_at": "2026-11-21T12:00:00+00:00",
    "updated_at": "2026-11-21T12:00:00+00:00",
}
STORAGE = {"mac": "52:54:00:00:01:01", "name": "eno2", "boot": False, "address": "10.1.0.10", "subnet": "storage"}
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
    query = {**QUERY, "fields": FIELDS + ",hardware"}
    controller.hears("GET", "/machines", query=query, answers={"items": [NODE1, NODE2], "next": None})
    hosts = inventory("hardware: all").hosts
    assert set(hosts) == {"node1", "node2"}
    assert hosts["node1"].vars["ansible_host"] == "10.0.0.10"
    assert hosts["node1"].vars["metalwright_machine_state"] == "deployed"
    assert hosts["node1"].vars["metalwright_machine_hardware"] == {"cpu": {"model": "{{ lookup('pipe', 'id') }}"}}
    assert "ansible_host" not in hosts["node2"].vars
    assert "ansible_ssh_common_args" not in hosts["node1"].vars


def test_only_what_is_used_is_asked_for(controller, inventory):
    fields = "name,tags,state,interfaces,deployed,rescue,hardware.system.serial,hardware.cpu"
    machine = {name: NODE1[name] for name in ("name", "tags", "state", "interfaces", "deployed", "rescue")}
    machine["hardware"] = {"system": {"serial": "{{ 1 + 1 }}"}}
    controller.hears("GET", "/machines", query={**QUERY, "fields": fields}, answers={"items": [machine], "next": None})
    known = inventory("fields: tags", "hardware: [system.serial, cpu]").hosts["node1"].vars
    assert {name for name in known if name.startswith(("metalwright", "ansible"))} == {
        "ansible_host",
        "metalwright_machine_tags",
        "metalwright_machine_hardware",
    }
    assert known["metalwright_machine_hardware"] == {"system": {"serial": "{{ 1 + 1 }}"}}


def test_host_keys_are_asked_for_where_they_are_written(controller, inventory, tmp_path):
    fields = "name,tags,state,interfaces,deployed,rescue,host_keys"
    controller.hears("GET", "/machines", query={**QUERY, "fields": fields}, answers={"items": [NODE1], "next": None})
    assert "metalwright_machine_host_keys" not in inventory("fields: tags", "known_hosts: known_hosts").hosts["node1"].vars
    assert (tmp_path / "known_hosts").read_text() == "10.0.0.10,node1 ssh-ed25519 AAAA\n"


def test_a_field_that_there_is_not_is_refused(inventory):
    with pytest.raises(AnsibleError, match="serial"):
        inventory("fields: serial")


def test_a_thousand_machines_are_one_request(controller, inventory):
    thousand = [{**NODE2, "name": f"n{number}"} for number in range(1000)]
    controller.hears("GET", "/machines", query=QUERY, answers={"items": thousand, "next": "c"})
    controller.hears("GET", "/machines", query={**QUERY, "cursor": "c"}, answers={"items": [NODE1], "next": None})
    assert len(inventory().hosts) == 1001


@pytest.mark.parametrize(
    "networks,address", [("storage", "10.1.0.10"), ("[mgmt, storage, lab]", "10.1.0.10"), ("mgmt", "10.0.0.10")]
)
def test_the_address_is_that_on_the_network_of_choice(controller, inventory, tmp_path, networks, address):
    machine = {**NODE1, "interfaces": [*NODE1["interfaces"], STORAGE]}
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [machine], "next": None})
    hosts = inventory(f"networks: {networks}", "known_hosts: known_hosts").hosts
    assert hosts["node1"].vars["ansible_host"] == address
    assert (tmp_path / "known_hosts").read_text().startswith(f"{address},node1 ")


FOOL = "{{ lookup('ansible.builtin.pipe', 'touch ' ~ fooled) }}"


@pytest.mark.parametrize("cached", [False, True])
def test_nothing_that_a_machine_says_is_ever_evaluated(controller, inventory, tmp_path, cached):
    mark = tmp_path / "fooled"
    said = FOOL.replace("fooled", f"'{mark}'")
    machine = {**NODE1, "description": said, "note": said, "tags": [said], "zone": said, "hardware": {"system": {"serial": said}}}
    query = {**QUERY, "fields": FIELDS + ",hardware.system.serial"}
    controller.hears("GET", "/machines", query=query, answers={"items": [machine], "next": None})
    lines = (
        "hardware: system.serial",
        "strict: true",
        "compose:",
        "  serial: metalwright_machine_hardware.system.serial",
        "  twice: metalwright_machine_description ~ metalwright_machine_note",
        "groups: {odd: metalwright_machine_zone is defined}",
        "keyed_groups:",
        "  - {key: metalwright_machine_tags, prefix: tag}",
        "  - {key: metalwright_machine_hardware.system.serial, prefix: s}",
    )
    if cached:
        cache = ("cache: true", "cache_plugin: ansible.builtin.jsonfile", f"cache_connection: {tmp_path}/cache")
        inventory(*lines, *cache)
        lines = (*lines, *cache)
    known = inventory(*lines).hosts["node1"].vars
    templar = Templar(loader=DataLoader(), variables=known)
    for name in ("metalwright_machine_description", "metalwright_machine_note", "serial"):
        assert known[name] == said
        assert templar.template(known[name]) == said
        assert templar.evaluate_expression(trust_as_template(f"{name} ~ ''")) == said
    assert known["twice"] == said + said
    assert not mark.exists()


def test_groups_are_constructed(controller, inventory):
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [NODE1, NODE2], "next": None})
    data = inventory(
        "keyed_groups:",
        "  - {key: metalwright_machine_tags, prefix: tag}",
        "  - {key: metalwright_machine_zone, prefix: zone}",
        "groups:",
        "  large: (metalwright_machine_memory_mib or 0) >= 65536",
        "compose:",
        "  ansible_user: \"'debian'\"",
        "  fqdn: inventory_hostname ~ '.lan'",
    )
    members = {name: [host.name for host in group.hosts] for name, group in data.groups.items()}
    assert (members["tag_ssd"], members["zone_north"], members["large"]) == (["node1"], ["node1", "node2"], ["node1"])
    assert data.hosts["node2"].vars["ansible_user"] == "debian"
    assert data.hosts["node2"].vars["fqdn"] == "node2.lan"


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


def test_what_is_cached_answers_no_other_question(controller, inventory, tmp_path):
    cache = ("cache: true", "cache_plugin: ansible.builtin.jsonfile", f"cache_connection: {tmp_path}/cache", "cache_timeout: 600")
    controller.hears("GET", "/machines", query=QUERY, answers={"items": [NODE1], "next": None})
    controller.hears("GET", "/machines", query={**QUERY, "state": "new"}, answers={"items": [NODE2], "next": None})
    query = {**QUERY, "fields": FIELDS + ",hardware"}
    controller.hears("GET", "/machines", query=query, answers={"items": [NODE1], "next": None})
    assert set(inventory(*cache).hosts) == {"node1"}
    assert set(inventory(*cache, "state: new").hosts) == {"node2"}
    assert "metalwright_machine_hardware" in inventory(*cache, "hardware: all").hosts["node1"].vars


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
    assert hosts["node1"].vars["metalwright_machine_former_state"] == "deployed"
    assert (tmp_path / "known_hosts").read_text() == "10.0.0.200,node1 ssh-ed25519 BBBB\n"
    assert address_of({**inside, "state": "rescuing"}) == "10.0.0.10"


@pytest.mark.parametrize("said", ["fe80::1%x,*", "fe80::1%x\nnode9", "*", "10.0.0.200,*"])
def test_an_address_that_is_more_than_one_vouches_for_nobody(said):
    rescue = {"address": said, "host_keys": ["ssh-ed25519 BBBB"], "since": "2026-11-21T12:00:00+00:00"}
    inside = {**NODE1, "state": "rescue", "rescue": rescue}
    assert address_of(inside) == "10.0.0.10"
    assert known_hosts_lines([inside]) == ["10.0.0.10,node1 ssh-ed25519 BBBB\n"]


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
    assert (known["metalwright_machine_note"], known["metalwright_machine_test_status"]) == ("{{ fan }} is dead", "failed")


def test_a_refusal_names_its_reason(controller, inventory):
    refusal = {"code": "token_missing", "message": "This needs a token.", "details": {}, "hint": "METALWRIGHT_TOKEN."}
    controller.hears("GET", "/machines", query=QUERY, status=401, answers=refusal)
    with pytest.raises(AnsibleParserError, match=r"This needs a token\. METALWRIGHT_TOKEN\."):
        inventory()


@pytest.mark.parametrize("name,ours", [("machines.yml", True), ("lab.machines.yaml", True), ("hosts.yml", False)])
def test_files_are_known_by_their_names(tmp_path, name, ours):
    (tmp_path / name).write_text("plugin: metalwright.fleet.machines\n")
    assert inventory_loader.get("metalwright.fleet.machines").verify_file(str(tmp_path / name)) is ours
