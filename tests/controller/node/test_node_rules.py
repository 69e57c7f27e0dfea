# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules at the moment they matter: the agent of a machine that is being commissioned sends its inventory."""

from __future__ import annotations

from node_world import World, inventory

from metalwright.store.models import Rule, Task


def test_commissioning_applies_rules_and_goes_on_under_the_new_name(world: World) -> None:
    actions = {"hostname_pattern": "{rack}-{serial}", "add_tags": ["virtual"], "zone": "west", "power_driver": "ipmi"}
    world.add(Rule(name="sort", when="nic.vendor ~ virtio and chassis = ENC-4 and not disk.rotational", actions=actions))
    machine = world.machine(state="new")
    operation = world.start(machine, "commission")
    token = world.token()
    assert world.hello(token).status_code == 200
    sent = inventory(chassis={"vendor": "QEMU", "type": "other", "serial": "ENC-4", "asset_tag": ""})
    sent["nics"][0]["pci_id"] = "1af4:1000"
    assert world.post(f"/agent/{token}/inventory", {"inventory": sent}).json == {"continue": True}
    now = world.reload(machine)
    assert (now.name, now.tags, now.zone, now.power_driver) == ("default-s1", ["virtual"], "west", "manual")
    (applied,) = world.events("machine.rules_applied")
    assert applied.message == "node-1: rules sort set name default-s1, tag +virtual, zone west"
    assert (applied.machine_name, applied.data["rules"]) == ("default-s1", ["sort"])
    (refused,) = world.events("machine.rule_refused")
    assert (refused.data["action"], refused.data["code"]) == ("power_driver", "power_misconfigured")
    with world.store.session() as session:
        assert session.query(Task).filter_by(kind="network.apply").count() == 1
    assert world.done(token).json == {"action": "poweroff"}
    assert world.operation(operation).machine.name == "default-s1"
    assert now.hardware is not None and (now.hardware["schema"], now.hardware["chassis"]["serial"]) == (1, "ENC-4")
