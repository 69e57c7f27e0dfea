# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab seen from outside: commands, playbooks, API calls, ipmitool. Made and removed by the commands a user would type."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import yaml

from metalwright.lab import files
from metalwright.lab.spec import BMC_USER, LabSpec, Places

METALWRIGHT = str(Path(sys.executable).with_name("metalwright"))
PATIENCE = 900.0


def wait_for(what: str, true: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Return the first true answer; fails saying what was waited for."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        answer = true()
        if answer:
            return answer
        time.sleep(0.5)
    raise AssertionError(f"waited {patience:.0f} s in vain for: {what}")


class Recap:
    """What a playbook said of itself."""

    def __init__(self, output: str, status: int) -> None:
        self.output = output
        self.status = status
        self.changed = sum(int(number) for number in re.findall(r"\bchanged=(\d+)", output))
        self.failed = sum(int(number) for number in re.findall(r"\b(?:failed|unreachable)=(\d+)", output))


class LabUnderTest:
    """The lab, from outside: commands, playbooks, API calls, ipmitool."""

    def __init__(self, name: str, base: Path) -> None:
        self.name = name
        self.base = base
        self.places = Places.of(name)

    def up(self, spec: LabSpec | None = None) -> None:
        """Make the lab: the usual one, or the one of ``spec``."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        wished = []
        if spec is not None:
            path = self.base / "spec.yml"
            path.write_text(yaml.safe_dump(json.loads(spec.model_dump_json(exclude={"name", "port"}))))
            wished = ["--spec", str(path)]
        self._lab("up", "--port", str(port), *wished)
        self.spec = LabSpec.model_validate_json(self.places.spec.read_text())
        self.fleet: dict[str, Any] = yaml.safe_load(self.places.machines.read_text())
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {files.read_environment(self.places)['METALWRIGHT_TOKEN']}"

    def down(self) -> None:
        self._lab("down")

    def _lab(self, act: str, *options: str) -> None:
        """What it prints is for people: the standard output is for tables."""
        subprocess.run([METALWRIGHT, "lab", act, "--name", self.name, *options], check=True, stdout=sys.stderr)

    def inside(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the lab's network."""
        argv = [METALWRIGHT, "lab", "exec", "--name", self.name, "--", *command]
        environment = {
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_TIMEOUT": "300",
            "ANSIBLE_DEPRECATION_WARNINGS": "0",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def playbook(self, name: str, *arguments: str, deploy: dict[str, dict[str, Any]] | None = None, check: bool = True) -> Recap:
        """Run a playbook of the collection; ``deploy`` replaces or extends the deploy options of single machines."""
        fleet = json.loads(json.dumps(self.fleet))["metalwright_machines"]
        for machine, options in (deploy or {}).items():
            fleet["hosts"][machine]["metalwright_deploy"] = {**fleet["vars"]["metalwright_deploy"], **options}
        path = self.base / "fleet.yml"
        path.write_text(yaml.safe_dump({"metalwright_machines": fleet}, sort_keys=False))
        done = self.inside("ansible-playbook", "-i", str(path), f"metalwright.fleet.{name}", *arguments, check=False)
        recap = Recap(done.stdout + done.stderr, done.returncode)
        assert not check or (recap.status, recap.failed) == (0, 0), recap.output
        return recap

    def ansible(self, host: str, command: str) -> str:
        """Run a command on a deployed machine through the inventory plugin, as root; returns what it printed."""
        done = self.inside("ansible", host, "--become", "-o", "-m", "ansible.builtin.raw", "-a", command, check=False)
        assert done.returncode == 0, f"{host}: {command}: {done.stdout}\n{done.stderr}"
        return done.stdout.split("(stdout)", 1)[-1].split("(stderr)")[0].replace("\\r\\n", "\n").replace("\\n", "\n").strip()

    def api(self, method: str, path: str, body: Any = None, status: int | None = None) -> Any:
        """Call the admin API from the host, through its loopback; waits while the controller is being restarted."""

        def call() -> requests.Response | None:
            try:
                return self.session.request(method, f"{self.spec.url}/api/v1{path}", json=body, timeout=30)
            except requests.ConnectionError:
                return None

        answer = wait_for(f"{method} {path}", lambda: (call(),), 60)[0]
        while answer is None:
            time.sleep(0.2)
            answer = call()
        assert answer.status_code == status if status else answer.ok, f"{answer.status_code}: {answer.text}"
        return answer.json() if answer.content else None

    def machine(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api("GET", f"/machines/{name}")
        return found

    def ipmitool(self, machine: str, *words: str) -> str:
        password = self.places.bmc_password.read_text().strip()
        target = ("-I", "lanplus", "-H", self.spec.bmc_address(machine), "-U", BMC_USER, "-P", password)
        return self.inside("ipmitool", *target, *words).stdout.strip()

    def boot_id(self, machine: str) -> str:
        """Which boot this is, empty while the machine does not answer."""
        read = ("-m", "ansible.builtin.raw", "-a", "cat /proc/sys/kernel/random/boot_id")
        found = re.search(
            r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", self.inside("ansible", machine, *read, check=False).stdout
        )
        return found[0] if found else ""

    def reboot_by_bmc(self, machine: str) -> float:
        """Power-cycle a machine through its BMC; returns the seconds until it has booted anew and answers."""
        before = self.boot_id(machine)
        self.ansible(machine, "sync")
        began = time.monotonic()
        self.ipmitool(machine, "chassis", "power", "reset")
        wait_for(f"{machine} to boot anew", lambda: self.boot_id(machine) not in ("", before), 600)
        return time.monotonic() - began
