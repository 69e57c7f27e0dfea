# SPDX-License-Identifier: GPL-3.0-or-later
"""What the spine costs, beside floors measured in the same run. Needs root. Run: make bench

Rows: start to first answer (beside importing the libraries alone), idle memory, the agent's download, power-on to the agent's
hello, a whole deploy (beside the same machine booting the same prewritten disk plus a plain write of the image), and a reboot
with network first (beside one with disk first).
"""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from lab_under_test import METALWRIGHT, LabUnderTest, wait_for

from metalwright.images import agent_code, importer
from metalwright.lab.spec import LabSpec, MachineSpec

MIB = 1 << 20
ROOT_PARTITION = 3
LIBRARIES = "import flask, sqlalchemy.orm, pydantic, gunicorn.workers.gthread, jinja2, yaml, structlog"
FINISHED = "Cloud-init v."
"""What cloud-init's module final_message says on the console, in the last stage."""


def row(what: str, measured: str, floor: str = "", ratio: float | None = None) -> None:
    """Print a line of the table."""
    print(f"{what:<44} {measured:>12} {floor:>12} {f'{ratio:.2f}' if ratio else '':>7}", flush=True)


def start_and_idle(base: Path) -> None:
    """Start to first answer, and what the processes hold when nothing happens."""
    config = base / "metalwright.toml"
    port = 5987
    config.write_text(
        f'data_dir = "{base}/data"\n[admin]\nlisten = "127.0.0.1:{port}"\n'
        f'[node]\nlisten = "127.0.0.1:{port + 1}"\nurl = "http://127.0.0.1:{port + 1}"\n'
        f'[tftp]\nlisten = "127.0.0.1:{port + 2}"\n'
    )
    subprocess.run([METALWRIGHT, "init", "--config", str(config)], check=True, capture_output=True, env=_home(base))
    seconds, memory = [], 0.0
    for _ in range(5):
        began = time.perf_counter()
        with (base / "serve.log").open("ab") as log:
            process = subprocess.Popen([METALWRIGHT, "serve", "--config", str(config)], stdout=log, stderr=log)
        while not _answers(port):
            time.sleep(0.002)
        seconds.append(time.perf_counter() - began)
        if not memory:
            time.sleep(5)
            memory = sum(_pss(pid) for pid in _family(process.pid))
        process.terminate()
        process.wait()
    floor = statistics.median(_timed(lambda: subprocess.run([sys.executable, "-c", LIBRARIES], check=True)) for _ in range(5))
    median = statistics.median(seconds)
    row("start to first answer (floor: its libraries)", f"{median:.2f} s", f"{floor:.2f} s", median / floor)
    row("idle PSS of all controller processes", f"{memory / MIB:.0f} MiB")


def _home(base: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(base), "XDG_CONFIG_HOME": str(base)}


def _timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _family(pid: int) -> list[int]:
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid, *(found for child in map(int, children) for found in _family(child))]


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def agent_download(lab: LabUnderTest) -> None:
    """Kernel, root and code of the agent."""
    build = lab.places.data / "boot/agent/current"
    total = sum((build / name).stat().st_size for name in ("vmlinuz", "initrd.img")) + len(agent_code.cpio())
    row("agent download", f"{total / 1e6:.1f} MB")


def hello(lab: LabUnderTest, name: str) -> None:
    """From power-on to the agent's hello, of the commissioning that has just been."""
    steps = lab.api("GET", f"/machines/{name}/timeline")["steps"]
    at = {step["name"]: _end(step) for step in steps}
    row(f"power-on to agent's hello, {lab.machine(name)['firmware']}", f"{at['agent.hello'] - at['power.netboot']:.1f} s")


def _end(step: dict[str, Any]) -> float:
    return datetime.fromisoformat(step["started_at"]).timestamp() + float(step["seconds"])


def deploy(lab: LabUnderTest, name: str) -> float:
    """Seconds of a whole deploy by its own timeline."""
    recap = lab.playbook("deploy", "-e", f"target={name}")
    assert recap.changed, recap.output
    told = lab.api("GET", f"/machines/{name}/timeline")
    for step in told["steps"]:
        if step["seconds"] >= 0.05:
            print(f"    {step['seconds']:7.1f} s  {step['label']}")
    return float(told["total_seconds"])


def floor_of_deploy(lab: LabUnderTest, name: str) -> tuple[float, float]:
    """Seconds of a plain write of the image, and of the machine booting it to cloud-init's end, with the seed on the disk."""
    machine = lab.machine(name)
    content = lab.places.data / "images"
    image = importer.stored_path(content, machine["deployed"]["content_sha256"])
    address = machine["interfaces"][0]["address"]
    lab.ipmitool(name, "chassis", "power", "off")
    disk = lab.places.disk(name)
    size = disk.stat().st_size
    plain = disk.with_suffix(".plain")
    subprocess.run(["zstd", "-q", "-d", "-f", "--no-sparse", str(image), "-o", str(plain)], check=True)
    write = _timed(
        lambda: subprocess.run(["dd", f"if={plain}", f"of={disk}", "bs=4M", "conv=notrunc,fsync", "status=none"], check=True)
    )
    plain.unlink()
    os.truncate(disk, size)
    subprocess.run(["sgdisk", "-e", str(disk)], check=True, capture_output=True)
    _seed(disk, {
        "meta-data": yaml.safe_dump({"instance-id": "floor", "local-hostname": name}),
        "user-data": "#cloud-config\n{}\n",
        "network-config": yaml.safe_dump({"version": 2, "ethernets": {"boot": {
            "match": {"macaddress": machine["interfaces"][0]["mac"]}, "addresses": [f"{address}/24"]}}}),
    })  # fmt: skip
    console = lab.places.console(name)
    heard = console.stat().st_size
    lab.ipmitool(name, "chassis", "bootdev", "disk")
    began = time.perf_counter()
    lab.ipmitool(name, "chassis", "power", "on")

    def finished() -> bool:
        with console.open("rb") as log:
            log.seek(heard)
            said = log.read().decode(errors="replace")
        return any(FINISHED in line and "finished at" in line for line in said.splitlines())

    wait_for("cloud-init's end", finished, 600)
    return write, time.perf_counter() - began


def _seed(disk: Path, seed: dict[str, str]) -> None:
    told = subprocess.run(["sgdisk", "-i", str(ROOT_PARTITION), str(disk)], check=True, capture_output=True, text=True).stdout
    start = int(next(line.split()[2] for line in told.splitlines() if line.startswith("First sector")))
    with tempfile.TemporaryDirectory() as mounted:
        subprocess.run(["mount", "-o", f"loop,offset={start * 512}", str(disk), mounted], check=True)
        try:
            place = Path(mounted) / "var/lib/cloud/seed/nocloud"
            place.mkdir(parents=True, exist_ok=True)
            for file, text in seed.items():
                (place / file).write_text(text)
            (Path(mounted) / "etc/cloud/cloud.cfg.d/90_floor.cfg").write_text("datasource_list: [NoCloud, None]\n")
        finally:
            subprocess.run(["umount", mounted], check=True)


def reboots(lab: LabUnderTest, name: str) -> None:
    """A deployed machine, reset through its BMC: network first, as its boot order says, and disk first, as it is told once.

    The medians of three each, in turns: a boot under emulation takes half a minute, give or take a third.
    """
    seconds: dict[str, list[float]] = {"network": [], "disk": []}
    for _ in range(3):
        seconds["network"].append(lab.reboot_by_bmc(name))
        lab.ipmitool(name, "chassis", "bootdev", "disk")
        seconds["disk"].append(lab.reboot_by_bmc(name))
    network, disk = (statistics.median(found) for found in seconds.values())
    row(f"reboot of {name}, network first (floor: disk first)", f"{network:.1f} s", f"{disk:.1f} s", network / disk)


def main() -> None:
    """Measure and print the table."""
    row("what", "measured", "floor", None)
    with tempfile.TemporaryDirectory() as base:
        start_and_idle(Path(base))
    with tempfile.TemporaryDirectory() as base:
        lab = LabUnderTest("bench", Path(base))
        lab.down()
        try:
            lab.up(LabSpec(name="bench", machines=(MachineSpec(name="node-1"), MachineSpec(name="node-2", firmware="uefi"))))
            agent_download(lab)
            for name in ("node-1", "node-2"):
                lab.playbook("commission", "-e", f"target={name}")
                hello(lab, name)
            whole = {name: deploy(lab, name) for name in ("node-1", "node-2")}
            for name in whole:
                reboots(lab, name)
            lab.ipmitool("node-2", "chassis", "power", "off")
            write, boot = floor_of_deploy(lab, "node-1")
            row(
                "deploy, bios (floor: boot + plain write)",
                f"{whole['node-1']:.1f} s",
                f"{boot + write:.1f} s",
                whole["node-1"] / (boot + write),
            )
        finally:
            lab.down()


if __name__ == "__main__":
    main()
