# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory of 10,000 machines costs, beside the bare floor. Run: tests/bench/inventory.py [MACHINES [TRIES]]

The controller is a real one on loopback. The floor is curl fetching the very same pages into a file, and Python parsing that; the
size of what came over the wire is printed. ``ansible-inventory`` itself takes its time before it reads anything; it is measured
with an inventory of one host in the same run, and taken off the ratios, for which the aim is 2. Each figure is the best of three
tries.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "controller/serve"))

from running_controller import RunningController

from metalwright.store import Store, sealed
from metalwright.store.base import utcnow
from metalwright.store.models import Interface, Machine, Subnet

CHECKOUT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
MACHINES, TRIES = 10_000, 3
GROUPS = """
keyed_groups:
  - {key: metalwright_machine_tags, prefix: tag}
  - {key: metalwright_machine_zone, prefix: zone}
  - {key: metalwright_machine_deployed.image, prefix: image}
groups:
  large: metalwright_machine_memory_mib >= 65536
compose:
  ansible_user: "'debian'"
"""
USED = "fields: [tags, zone, deployed, memory_mib]\n"
SOURCES = {
    "all fields": "",
    "fields that are used, grouped": USED + GROUPS,
    "and one of the hardware": USED + "hardware: [system.serial]\n" + GROUPS,
    "all fields, grouped": GROUPS,
    "all fields and all of the hardware": "hardware: [all]\n",
}


def hardware(number: int) -> dict[str, Any]:
    """The inventory of a server with eight disks and four network cards."""
    disk = {"path": "/dev/sda", "model": "Samsung SSD 860", "size_bytes": 500107862016, "rotational": False, "transport": "sata"}
    nic = {"driver": "tg3", "speed_mbps": 10000, "link": True, "pci": "0000:01:00.0", "pci_id": "14e4:165f"}
    lldp = {"chassis": "00:1c:73:00:00:01", "port": "Ethernet7", "system": "leaf-1"}
    return {
        "schema": 1,
        "system": {"vendor": "Dell Inc.", "product": "PowerEdge R640", "serial": f"S{number:07}", "uuid": f"{number:032x}"},
        "firmware": {"type": "uefi", "vendor": "Dell Inc.", "version": "2.19.1", "date": "06/04/2023", "secure_boot": False},
        "cpu": {"model": "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz", "sockets": 2, "cores": 32, "threads": 64, "mhz": 3700},
        "memory": {"bytes": 206158430208},
        "disks": [{**disk, "name": f"sd{each}", "serial": f"D{number}{each}", "wwn": f"0x{number:016x}"} for each in "abcdefgh"],
        "nics": [{**nic, "name": f"eno{each}", "mac": mac(number, each), "lldp": lldp} for each in range(4)],
    }


def mac(number: int, each: int) -> str:
    """An address of a machine's network card."""
    return f"52:54:{each:02x}:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def fill(store: Store, count: int) -> None:
    """Have that many deployed machines."""
    at, key = utcnow(), "ssh-{} AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ root@node"
    with store.write() as session:
        subnet = Subnet(name="lab", cidr="10.0.0.0/16")
        for number in range(count):
            address = f"10.0.{number >> 8}.{number & 255}"
            facts = {
                "hardware": hardware(number),
                "cpu_count": 64,
                "memory_mib": 196608 if number % 3 else 32768,
                "disk_gib": 465,
            }
            options = {"packages": ["htop"], "timezone": "Europe/Paris", "ssh_keys": [key.format("ed25519")]}
            deployed = {"image": f"debian/{12 + number % 2}", "content_sha256": "a" * 64, "hostname": f"node-{number:05}"}
            machine = Machine(name=f"node-{number:05}", state="deployed", firmware="uefi", zone=f"row-{number % 20}", **facts)
            machine.tags = ["ssd", f"rack-{number // 40}"]
            machine.deployed = {**deployed, "address": address, "at": at.isoformat(), "options": options}
            machine.host_keys = [key.format(kind) for kind in ("ed25519", "rsa", "ecdsa")]
            machine.interfaces = [Interface(mac=mac(number, 0), boot=True, address=address, subnet=subnet, name="eno0")]
            session.add(machine)


def seconds(act: Callable[[], Any], tries: int) -> float:
    """The best of a few tries: what else runs on the host only adds to it."""
    times = []
    for _try in range(tries):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return min(times)


class Bench:
    """A controller with machines, and what asks it."""

    def __init__(self, place: Path, count: int, tries: int) -> None:
        self.place = place
        self.count = count
        self.tries = tries
        self.controller = RunningController(place)
        sealed.unlock(self.controller.data / "secret.key")
        fill(Store(f"sqlite:///{self.controller.data}/metalwright.db"), count)
        token = self.controller.cli("token", "create", "bench", "--config", str(self.controller.config)).stdout.split()[-1]
        collections = place / "ansible_collections/metalwright"
        collections.mkdir(parents=True)
        (collections / "fleet").symlink_to(CHECKOUT)
        known = {"METALWRIGHT_URL": self.controller.url, "METALWRIGHT_TOKEN": token, "HOME": str(place), "LC_ALL": "C.UTF-8"}
        self.environ = {**os.environ, **known, "ANSIBLE_COLLECTIONS_PATH": str(place)}
        self.token = token
        self.controller.start()

    def list_hosts(self, source: str) -> None:
        """Have Ansible read an inventory, and do nothing else with it."""
        command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", source, "--host", f"node-{self.count - 1:05}"]
        done = subprocess.run(command, cwd=self.place, env=self.environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def empty(self) -> None:
        """Have Ansible read an inventory of one host."""
        (self.place / "one.ini").write_text(f"node-{self.count - 1:05}\n")
        self.list_hosts("one.ini")

    def floor(self, fields: str) -> int:
        """Fetch the same pages with curl, and parse them; answer the number of bytes."""
        size, cursor = 0, ""
        while True:
            url = f"{self.controller.url}/api/v1/machines?limit=1000&fields={fields}{cursor}"
            command = ["curl", "-sS", "-f", "-H", f"Authorization: Bearer {self.token}", "-o", "page.json", url]
            subprocess.run(command, cwd=self.place, check=True)
            content = (self.place / "page.json").read_bytes()
            size += len(content)
            following = json.loads(content)["next"]
            if following is None:
                return size
            cursor = f"&cursor={following}"

    def asked(self, source: str) -> str:
        """The fields that the plugin asks for, told by itself."""
        script = (
            "import sys; from ansible.plugins.loader import inventory_loader, init_plugin_loader; init_plugin_loader([]);"
            "plugin = inventory_loader.get('metalwright.fleet.machines');"
            "from ansible.parsing.dataloader import DataLoader; from ansible.inventory.data import InventoryData;"
            "plugin._fetch = lambda: [];"
            f"plugin.parse(InventoryData(), DataLoader(), {str(self.place / source)!r});"
            "print(','.join(plugin._asked()))"
        )
        done = subprocess.run([sys.executable, "-c", script], env=self.environ, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def measure(self, what: str, lines: str, empty: float) -> None:
        """Print the line of one inventory: cold, then cached."""
        source = "bench.machines.yml"
        (self.place / source).write_text("plugin: metalwright.fleet.machines\n" + lines)
        fields = self.asked(source)
        size = self.floor(fields)
        floor = seconds(lambda: self.floor(fields), self.tries)
        cold = seconds(lambda: self.list_hosts(source), self.tries)
        cache = "cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: cache\ncache_timeout: 3600\n"
        (self.place / source).write_text("plugin: metalwright.fleet.machines\n" + lines + cache)
        self.list_hosts(source)
        cached = seconds(lambda: self.list_hosts(source), self.tries)
        for file in (self.place / "cache").iterdir():
            file.unlink()
        print(
            f"{what:<36} {size / MIB:>7.1f} MiB {floor:>7.2f} s {cold:>7.2f} s {(cold - empty) / floor:>6.2f}"
            f" {cached:>7.2f} s {(cached - empty) / floor:>6.2f}",
            flush=True,
        )

    def run(self) -> None:
        """Print the table."""
        empty = seconds(self.empty, self.tries)
        print(f"{self.count} machines; ansible-inventory with an inventory of one host: {empty:.2f} s, taken off the ratios")
        print(f"{'':<36} {'wire':>11} {'floor':>9} {'cold':>9} {'ratio':>6} {'cached':>9} {'ratio':>6}")
        for what, lines in SOURCES.items():
            self.measure(what, lines, empty)


def main() -> None:
    """Measure in a directory that is removed."""
    with tempfile.TemporaryDirectory() as place:
        machines, tries = (*map(int, sys.argv[1:]), *(MACHINES, TRIES)[len(sys.argv) - 1 :])
        bench = Bench(Path(place), machines, tries)
        try:
            bench.run()
        finally:
            bench.controller.stop()


if __name__ == "__main__":
    main()
