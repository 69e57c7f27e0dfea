# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's network on the command line, against a real controller."""

from __future__ import annotations

import json

from running_controller import RunningController


def told(controller: RunningController, *command: str) -> str:
    """What a command printed that has done it."""
    done = controller.cli(*command)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_layer_two_and_addresses(controller: RunningController) -> None:
    assert told(controller, "vlan", "add", "blue", "7", "--mtu", "9000") == "blue: added\n"
    ranges = ("--dynamic", "10.9.0.100-10.9.0.199", "--static", "10.9.0.10-10.9.0.19", "--reserved", "10.9.0.1")
    told(controller, "subnet", "add", "rack1", "10.9.0.0/24", *ranges, "--vlan", "blue", "--ntp-server", "10.9.0.1")
    assert "ranges       reserved 10.9.0.1-10.9.0.1\n             static 10.9.0.10-10.9.0.19" in told(
        controller, "subnet", "show", "rack1"
    )
    listed = told(controller, "subnet", "list").splitlines()[1].split()
    assert listed[:6] == ["rack1", "10.9.0.0/24", "blue", "-", "10.9.0.100-10.9.0.199", "10.9.0.10-10.9.0.19"]
    assert told(controller, "vlan", "edit", "blue", "--number", "8") == "blue: changed\n"
    assert told(controller, "vlan", "list").splitlines()[1].split() == ["blue", "8", "9000", "rack1", "-"]
    assert controller.cli("vlan", "delete", "blue", "--yes").returncode == 4
    assert told(controller, "range", "add", "rack1", "static", "10.9.0.30-10.9.0.39") == "10.9.0.30: added\n"
    assert told(controller, "range", "edit", "10.9.0.30", "--end", "10.9.0.49") == "10.9.0.30: changed\n"
    refused = controller.cli("range", "edit", "10.9.0.30", "--end", "10.9.0.110")
    assert (refused.returncode, "overlaps the dynamic range" in refused.stderr) == (5, True)
    assert controller.cli("range", "edit", "10.9.0.30").stderr.startswith("error: Nothing to change was named.")
    assert [each["start"] for each in controller.json("range", "list", "--subnet", "rack1")] == [
        "10.9.0.1",
        "10.9.0.10",
        "10.9.0.30",
        "10.9.0.100",
    ]
    assert told(controller, "range", "delete", "10.9.0.30", "--yes") == "10.9.0.30: deleted\n"
    card = ("52:54:00:AA:00:01", "10.9.0.5")
    assert told(controller, "reservation", "add", *card, "--name", "printer") == "10.9.0.5: added\n"
    assert told(controller, "reservation", "edit", "10.9.0.5", "--comment", "2nd floor") == "10.9.0.5: changed\n"
    assert "10.9.0.5  52:54:00:aa:00:01  printer" in told(controller, "reservation", "list", "--subnet", "rack1")
    assert "10.9.0.5  reservation" in told(controller, "address", "list", "--subnet", "rack1")
    assert controller.json("address", "list", "--source", "dhcp") == []
    assert told(controller, "reservation", "delete", "10.9.0.5", "--yes") == "10.9.0.5: deleted\n"


def test_names(controller: RunningController) -> None:
    assert told(controller, "domain", "add", "lab.example", "--ttl", "60") == "lab.example: added\n"
    assert told(controller, "domain", "add", "corp.local", "--forward-to", "192.0.2.53") == "corp.local: added\n"
    assert told(controller, "domain", "edit", "lab.example", "--ttl", "60") == "lab.example: unchanged\n"
    assert "metalwright.internal" in told(controller, "domain", "list")
    mail = json.loads(told(controller, "record", "add", "lab.example", "@", "MX", "10", "mail", "--json"))
    assert (mail["name"], mail["data"]) == ("@", "10 mail.lab.example")
    assert told(controller, "record", "edit", mail["id"], "--ttl", "30") == f"{mail['id']}: changed\n"
    assert controller.cli("record", "edit", mail["id"], "--ttl", "-1").returncode == 5
    assert "10 mail.lab.example" in told(controller, "record", "list", "--domain", "lab.example")
    assert told(controller, "record", "delete", mail["id"], "--yes") == f"{mail['id']}: deleted\n"
    assert told(controller, "domain", "delete", "lab.example", "--yes") == "lab.example: deleted\n"
    assert told(controller, "dns", "set", "--forwarder", "192.0.2.53", "--recurse-from", "10.0.0.0/8") == "dns: changed\n"
    assert "forwarders      192.0.2.53" in told(controller, "dns", "show")
    assert controller.json("dns", "show")["set"] == ["forwarders", "recurse_from"]


def test_dhcp_options(controller: RunningController) -> None:
    told(controller, "subnet", "add", "rack2", "10.10.0.0/24")
    made = controller.json("dhcp-option", "add", "log-servers", "10.10.0.4,10.10.0.5", "--subnet", "rack2")
    assert (made["code"], made["value"]) == (7, "10.10.0.4,10.10.0.5")
    refused = controller.cli("dhcp-option", "add", "routers", "10.10.0.1", "--subnet", "rack2")
    assert (refused.returncode, "field gateway" in refused.stderr) == (5, True)
    assert told(controller, "dhcp-option", "edit", made["id"], "10.10.0.4") == f"{made['id']}: changed\n"
    assert "subnet rack2  v4    7       log-servers  10.10.0.4" in told(controller, "dhcp-option", "list", "--subnet", "rack2")
    assert told(controller, "dhcp-option", "delete", made["id"], "--yes") == f"{made['id']}: deleted\n"
