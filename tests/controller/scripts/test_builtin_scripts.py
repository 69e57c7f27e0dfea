# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that come with Metalwright, run as an agent runs them: on files for disks, against real peers on the loopback."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metalwright.lifecycle.script_catalogue import builtin
from metalwright.scripts import disk_read, disk_write, memory, network

MIB = 1 << 20
Ran = Callable[..., tuple[int, str, Any]]


@pytest.fixture
def run(tmp_path: Path) -> Ran:
    """Run a script with tools of the test's own in front of the path; answers exit status, output and result."""

    def run(name: str, tools: dict[str, str], **parameters: str) -> tuple[int, str, Any]:
        (tmp_path / "bin").mkdir(exist_ok=True)
        for tool, code in tools.items():
            path = tmp_path / "bin" / tool
            path.write_text(f"#!/bin/sh\n{code}\n")
            path.chmod(0o755)
        script, result = tmp_path / "script", tmp_path / "result"
        source = builtin()[name].source
        script.write_text(source.replace("#!/usr/bin/python3\n", f"#!{sys.executable}\n"))
        script.chmod(0o755)
        given = {f"METALWRIGHT_PARAM_{key.upper()}": value for key, value in parameters.items()}
        environment = {**os.environ, **given, "METALWRIGHT_RESULT": str(result)}
        environment["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run([script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr, json.loads(result.read_text()) if result.exists() else None

    return run


def test_only_short_and_harmless_ones_run_by_themselves() -> None:
    scripts = builtin()
    automatic = {name: script.timeout for name, script in scripts.items() if script.automatic}
    assert automatic == {"network": 120, "smart": 300}
    assert [name for name, script in scripts.items() if script.destructive] == ["disk-write"]
    assert all(script.title and script.required and script.kind == "test" for script in scripts.values())


def smartctl(devices: list[dict[str, str]], said: dict[str, dict[str, Any]]) -> dict[str, str]:
    """A smartctl that finds these devices; its answers have the shape of smartctl 7.3."""
    cases = "\n".join(f"*{name}) cat <<'END'\n{json.dumps(answer)}\nEND\n;;" for name, answer in said.items())
    scan = json.dumps({"devices": devices})
    return {"smartctl": f"case \"$*\" in\n*--scan*) cat <<'END'\n{scan}\nEND\n;;\n{cases}\nesac\nexit 4"}


ATA = {
    "model_name": "ST4000NM0035",
    "serial_number": "ZC1",
    "smart_status": {"passed": True},
    "temperature": {"current": 31},
    "power_on_time": {"hours": 40211},
    "ata_smart_attributes": {"table": [{"id": 5, "raw": {"value": 8}}, {"id": 9, "raw": {"value": 1}}]},
}
NVME = {
    "model_name": "SAMSUNG MZQL2",
    "serial_number": "S64",
    "smart_status": {"passed": False, "nvme": {"value": 4}},
    "nvme_smart_health_information_log": {"critical_warning": 4, "percentage_used": 101, "media_errors": 3},
}


def test_smart_fails_for_the_disk_that_says_it_is_failing(run: Ran) -> None:
    devices = [
        {"name": "/dev/sda", "info_name": "/dev/sda [SAT]", "type": "sat"},
        {"name": "/dev/nvme0", "info_name": "/dev/nvme0", "type": "nvme"},
        {"name": "/dev/sdb", "info_name": "/dev/sdb", "type": "scsi"},
    ]
    status, output, result = run("smart", smartctl(devices, {"/dev/sda": ATA, "/dev/nvme0": NVME, "/dev/sdb": {}}))
    assert status == 1
    assert "/dev/nvme0 SAMSUNG MZQL2 S64: FAILING" in output
    ata, nvme, silent = result["disks"]
    assert (ata["passed"], ata["reallocated_sectors"], ata["power_on_hours"]) == (True, 8, 40211)
    assert (nvme["passed"], nvme["percentage_used"], nvme["media_errors"]) == (False, 101, 3)
    assert silent["passed"] is None


def test_smart_passes_when_all_that_tell_are_healthy(run: Ran) -> None:
    devices = [{"name": "/dev/sda", "type": "sat"}, {"name": "/dev/sdb", "type": "scsi"}]
    assert run("smart", smartctl(devices, {"/dev/sda": ATA, "/dev/sdb": {}}))[0] == 0


@pytest.mark.parametrize("devices", [[], [{"name": "/dev/sdb", "type": "scsi"}]])
def test_smart_is_skipped_where_no_disk_tells(run: Ran, devices: list[dict[str, str]]) -> None:
    assert run("smart", smartctl(devices, {"/dev/sdb": {"smart_support": {"available": False}}}))[0] == 77


def test_memory_is_tested_in_parts_at_once_and_one_bad_part_fails(run: Ran, tmp_path: Path) -> None:
    tester = 'echo "$@" >>asked; [ "$(wc -l <asked)" -gt 1 ] && { echo "FAILURE: 0x1 != 0x0"; exit 4; }; exit 0'
    status, output, result = run("memory", {"memtester": tester}, size=str(64 * MIB), loops="3")
    assert (status, result["failed"], (tmp_path / "asked").read_text()) == (0, 0, "64M 3\n")
    status, output, result = run("memory", {"memtester": tester}, size=str(64 * MIB), loops="3")
    assert status == 1
    assert "part 1: what was written was not what was read" in output and "FAILURE: 0x1 != 0x0" in output
    assert result == {"bytes": 64 * MIB, "processes": 1, "loops": 3, "failed": 1}


def test_memory_leaves_some_to_the_agent() -> None:
    assert memory.amount(1000 * MIB, None, 50) == 500 * MIB
    assert memory.amount(1000 * MIB, None, 100) == 744 * MIB
    assert memory.amount(1000 * MIB, str(5000 * MIB), 50) == 744 * MIB
    assert memory.amount(100 * MIB, None, 80) == 0
    assert memory.parts_of(744 * MIB, 4) == [186] * 4
    assert memory.parts_of(100 * MIB, 4) == [100]
    assert memory.parts_of(0, 4) == []
    assert memory.reasons(-9) == ["memtester ended with status -9"]
    assert memory.available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n") == 2 * MIB


@pytest.mark.parametrize(
    ("stress", "kernel", "expected"),
    [
        ('echo "$@"; exit 0', "", 0),
        ("exit 2", "", 2),
        ("touch struck; exit 0", "[ -e struck ] && echo 'mce: [Hardware Error]: CPU 3: Machine Check'", 1),
        ("exit 0", "echo 'mce: [Hardware Error]: an old one'", 0),
    ],
)
def test_cpu_fails_for_wrong_results_and_for_new_hardware_errors(run: Ran, stress: str, kernel: str, expected: int) -> None:
    status, output, result = run("cpu", {"stress-ng": stress, "dmesg": kernel or "true"}, duration="7")
    assert (status, result["seconds"]) == (expected, 7)
    assert result["hardware_errors"] == (1 if "struck" in stress else 0)
    if "echo" in stress:
        assert "--verify --timeout 7s" in output


@pytest.mark.parametrize("module", [disk_read, disk_write])
def test_disks_are_those_that_can_be_deployed_to(module: Any, tmp_path: Path) -> None:
    for name, facts in {
        "sda": {"size": "8192", "removable": "0", "ro": "0"},
        "sdb": {"size": "8192", "removable": "1", "ro": "0"},
        "sr0": {"size": "8192", "removable": "0", "ro": "0"},
        "loop0": {"size": "8192", "removable": "0", "ro": "0"},
        "nvme0n1": {"size": "8192", "removable": "0", "ro": "1"},
        "vda": {"size": "0", "removable": "0", "ro": "0"},
        "mmcblk0boot0": {"size": "8192", "removable": "0", "ro": "0"},
    }.items():
        (tmp_path / name).mkdir()
        for fact, value in facts.items():
            (tmp_path / name / fact).write_text(f"{value}\n")
    writable_only = module is disk_write
    assert module.disks(tmp_path) == (["/dev/sda"] if writable_only else ["/dev/nvme0n1", "/dev/sda"])


def test_blocks_lie_all_over_the_disk() -> None:
    block = disk_read.BLOCK
    assert disk_read.places(10 * block, 0) == [block * number for number in range(10)]
    assert disk_read.places(10 * block, 3 * block) == [0, 4 * block, 9 * block]
    assert disk_read.places(10 * block + 5, 100 * block) == disk_read.places(10 * block, 0)
    assert disk_read.places(10 * block, 1) == [0]
    assert disk_read.places(block - 1, 0) == []


def test_disk_read_tells_bytes_and_speed_and_what_it_can_not_open(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(os.urandom(16 * MIB))
    told = disk_read.read(str(disk), 0)
    assert (told["bytes"], told["errors"]) == (16 * MIB, [])
    assert told["mb_per_second"] > 0
    (error,) = disk_read.read(str(tmp_path / "none"), 0)["errors"]
    assert "No such file" in error


def test_disk_write_writes_everything_and_reads_it_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"old" * MIB * 6)
    told = disk_write.examine(str(disk), 0)
    assert (told["bytes"], told["errors"]) == (16 * MIB, [])
    written = disk.read_bytes()
    assert b"oldold" not in written[: 16 * MIB]
    assert [int.from_bytes(written[place : place + 8], "little") for place in (0, 4096, 5 * MIB)] == [0, 4096, 5 * MIB]


def test_disk_write_finds_a_disk_that_is_smaller_than_it_says(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as stream:
        stream.truncate(16 * MIB)
    code = (
        "import json, resource, sys; from metalwright.scripts import disk_write; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({8 * MIB}, {8 * MIB})); "
        f"print(json.dumps(disk_write.examine({str(disk)!r}, 0)['errors']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        f"at byte {8 * MIB}: File too large",
        f"at byte {12 * MIB}: File too large",
        f"at byte {8 * MIB}: what was read is not what was written",
        f"at byte {12 * MIB}: what was read is not what was written",
    ]


def test_disk_write_leaves_a_disk_alone_that_is_in_use(tmp_path: Path, loop: Callable[[Path], Path]) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(16 * MIB))
    device = loop(disk)
    held = os.open(device, os.O_RDWR | os.O_EXCL)
    try:
        (error,) = disk_write.examine(str(device), 0)["errors"]
    finally:
        os.close(held)
    assert "busy" in error
    assert disk.read_bytes() == bytes(16 * MIB)
    assert disk_write.examine(str(device), 0)["errors"] == []


@pytest.fixture
def loop() -> Iterator[Callable[[Path], Path]]:
    """Make loop devices of files."""
    made: list[str] = []

    def make(path: Path) -> Path:
        done = subprocess.run(["losetup", "--find", "--show", path], capture_output=True, text=True, check=True)
        made.append(done.stdout.strip())
        return Path(made[-1])

    yield make
    for device in made:
        subprocess.run(["losetup", "--detach", device], check=True)


class Plane(http.server.BaseHTTPRequestHandler):
    """A node plane that has nothing but the first boot script."""

    path_of_script = "/boot/start.ipxe"

    def do_GET(self) -> None:
        found = self.path == self.path_of_script
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(b"#!ipxe\n" if found else b"")

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def plane() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plane) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def closed_port() -> int:
    with socket.socket() as peer:
        peer.bind(("127.0.0.1", 0))
        port: int = peer.getsockname()[1]
    return port


def test_network_asks_the_controller(plane: str) -> None:
    told = network.times(lambda: network.ask_controller(plane), 3)
    assert (told["tries"], told["answers"], told["error"]) == (3, 3, "")
    assert told["ms"] > 0
    gone = network.times(lambda: network.ask_controller(f"http://127.0.0.1:{closed_port()}"), 2)
    assert (gone["answers"], gone["ms"]) == (0, None) and "refused" in gone["error"]


def test_network_takes_no_other_server_for_the_controller(plane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plane, "path_of_script", "/elsewhere")
    with pytest.raises(OSError, match="HTTP 404"):
        network.ask_controller(plane)


def test_network_pings() -> None:
    network.ping("127.0.0.1")
    assert network.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # the example of RFC 1071, section 3


def test_network_takes_any_answer_of_a_name_server() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        asked: list[bytes] = []

        def answer() -> None:
            query, peer = server.recvfrom(512)
            asked.append(query)
            server.sendto(b"\0\0" + query[2:], peer)  # somebody else's
            server.sendto(query[:2] + b"\x81\x05" + query[4:], peer)  # refused

        thread = threading.Thread(target=answer)
        thread.start()
        network.ask_name_server("127.0.0.1", server.getsockname()[1])
        thread.join()
    assert asked[0][2:] == bytes.fromhex("0100 0001 0000 0000 0000 00 0002 0001")


def test_network_reads_what_dhcp_has_set(tmp_path: Path) -> None:
    route = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "eth0\t00000000\t01004D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    )
    assert network.gateway(route) == "10.77.0.1"
    assert network.gateway(route.splitlines()[0]) is None
    arp = (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "10.77.0.1        0x1         0x2         52:54:00:77:00:fe     *        eth0\n"
        "10.77.0.2        0x1         0x0         00:00:00:00:00:00     *        eth0\n"
    )
    assert [network.answers_arp(arp, f"10.77.0.{last}") for last in (1, 2, 3)] == [True, False, False]
    (tmp_path / "resolv.conf").write_text("search lab.example\nnameserver 10.77.0.1\nnameserver 10.77.0.2\n")
    assert network.name_servers(tmp_path / "resolv.conf") == ["10.77.0.1", "10.77.0.2"]
    assert network.name_servers(tmp_path / "none") == []


def test_network_fails_for_what_a_deployment_would_miss() -> None:
    good = {"tries": 5, "answers": 5, "error": ""}
    bad = {"tries": 5, "answers": 0, "error": "timed out"}
    lossy = {"tries": 5, "answers": 4, "error": "timed out"}
    router = {"address": "10.77.0.1"}
    servers = [{"address": "10.77.0.1", **good}, {"address": "10.77.0.2", **bad}]

    def verdict(controller: Any, gateway: Any, dns: Any) -> list[str]:
        return network.verdict({"controller": controller, "gateway": gateway, "dns": dns})

    assert verdict(good, None, []) == []
    assert verdict(good, router | good, servers) == []
    assert verdict(good, router | bad | {"arp": True}, servers) == []
    assert verdict(lossy, None, []) == ["The controller answered 4 of 5 times: timed out"]
    assert verdict(good, router | bad | {"arp": False}, []) == ["The gateway 10.77.0.1 does not answer: timed out"]
    assert verdict(good, None, servers[1:]) == ["No name server answers: 10.77.0.2"]
