# SPDX-License-Identifier: GPL-3.0-or-later
"""The rack alone: real machines in their namespace, driven by ipmitool, which knows nothing of us. Needs root and QEMU."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metalwright.lab import control, daemon, netns
from metalwright.lab.down import down
from metalwright.lab.spec import BMC_USER, LabSpec, MachineSpec, Places
from metalwright.lab.up import rack

# Says DISK on the serial port. Then, by the byte after the code: turns the machine off (APM 1.2) or resets it (port CF9h).
SAY = "ba f803 b0 44 ee b0 49 ee b0 53 ee b0 4b ee"
POWER_OFF = "b8 0153 31db cd15 b8 0e53 31db b9 0201 cd15 b8 0753 bb 0100 b9 0300 cd15 f4 ebfd"
RESET = "ba f90c b0 06 ee f4 ebfd"


class Lab:
    """The lab of these tests, with a DHCP and TFTP server that logs what machines ask for."""

    def __init__(self, base: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        machines = (
            MachineSpec(name="b1", memory_mib=512, disk_gib=1),
            MachineSpec(name="b2", memory_mib=512, disk_gib=1, disk_first=True),
            MachineSpec(name="u1", memory_mib=512, disk_gib=1, firmware="uefi"),
        )
        self.spec = LabSpec(name="test-rack", machines=machines, port=port)
        self.places = Places(base / "lab", base / "cache")
        self.log = base / "dnsmasq.log"
        self.tftp = base / "tftp"

    def serve_dhcp(self) -> subprocess.Popen[bytes]:
        self.tftp.mkdir(exist_ok=True)
        first, last = self.spec.dynamic_range
        command = ["dnsmasq", "-k", "-p0", f"--interface={netns.BRIDGE}", "--bind-interfaces", f"--dhcp-range={first},{last},1h"]
        command += ["--enable-tftp", f"--tftp-root={self.tftp}", "--log-dhcp", f"--log-facility={self.log}", "--user=root"]
        command += ["--dhcp-boot=tag:!ipxe,first-loader", "--conf-file=/dev/null", f"--dhcp-leasefile={self.tftp}.leases"]
        return subprocess.Popen(["ip", "netns", "exec", self.spec.namespace, *command])

    def ipmitool(self, machine: str, *words: str) -> str:
        password = self.places.bmc_password.read_text().strip()
        command = ["ip", "netns", "exec", self.spec.namespace, "ipmitool", "-I", "lanplus", "-H", self.spec.bmc_address(machine)]
        done = subprocess.run([*command, "-U", BMC_USER, "-P", password, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def powered(self, machine: str) -> bool:
        return self.ipmitool(machine, "power", "status") == "Chassis Power is on"

    def dhcp(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def console(self, machine: str) -> bytes:
        path = self.places.console(machine)
        return path.read_bytes() if path.exists() else b""

    def insert_disk(self, machine: str, *code: str) -> None:
        sector = b"".join(bytes.fromhex(part) for part in code).ljust(510, b"\0") + b"\x55\xaa"
        with self.places.disk(machine).open("r+b") as disk:
            disk.write(sector)

    def turn_off(self, machine: str) -> None:
        self.ipmitool(machine, "power", "off")
        eventually(lambda: not self.powered(machine), f"{machine} is off")


def eventually(holds: Callable[[], bool], what: str, within: float = 90) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"not within {within} s: {what}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    os.environ.pop("http_proxy", None)
    made = Lab(tmp_path_factory.mktemp("rack"))
    made.places.root.mkdir()
    try:
        rack(made.spec, made.places)
        eventually(lambda: all(_answers(made, machine.name) for machine in made.spec.machines), "every BMC answers")
        server = made.serve_dhcp()
        yield made
        server.terminate()
        server.wait()
    finally:
        down(made.places)


def _is_on(lab: Lab, machine: str) -> bool:
    try:
        return lab.powered(machine)
    except AssertionError:
        return False


def _answers(lab: Lab, machine: str) -> bool:
    try:
        return not lab.powered(machine)
    except AssertionError:
        return False


@pytest.fixture(autouse=True)
def _all_off(lab: Lab) -> Iterator[None]:
    yield
    for machine in lab.spec.machines:
        lab.turn_off(machine.name)
        lab.ipmitool(machine.name, "chassis", "bootdev", "none")


def test_bios_and_uefi_boot_from_the_network_first(lab: Lab) -> None:
    lab.ipmitool("b1", "power", "on")
    lab.ipmitool("u1", "power", "on")
    assert lab.powered("b1")
    eventually(lambda: f"DHCPACK({netns.BRIDGE})" in lab.dhcp() and lab.spec.mac("b1") in lab.dhcp(), "BIOS gets an address")
    eventually(lambda: "PXEClient:Arch:00000" in lab.dhcp(), "BIOS asks as architecture 0")
    eventually(lambda: "PXEClient:Arch:00007:UNDI:003" in lab.dhcp(), "the firmware's own PXE asks as architecture 7")
    eventually(lambda: lab.dhcp().count("first-loader not found") >= 2, "both ask for the loader by TFTP")


def test_one_time_disk_boot_is_one_time_even_when_the_machine_resets_itself(lab: Lab) -> None:
    lab.insert_disk("b1", SAY, RESET)
    asked = lab.dhcp().count(lab.spec.mac("b1"))
    lab.ipmitool("b1", "chassis", "bootdev", "disk")
    lab.ipmitool("b1", "power", "on")
    eventually(lambda: b"DISK" in lab.console("b1"), "the disk boots")
    eventually(lambda: lab.dhcp().count(lab.spec.mac("b1")) > asked, "after its own reset it boots from the network")
    assert "No override" in lab.ipmitool("b1", "chassis", "bootparam", "get", "5")


def test_one_time_network_boot_of_a_machine_that_has_disk_first(lab: Lab) -> None:
    lab.insert_disk("b2", SAY, POWER_OFF)
    lab.ipmitool("b2", "power", "on")
    eventually(lambda: b"DISK" in lab.console("b2"), "the disk boots first")
    eventually(lambda: not lab.powered("b2"), "the machine turned itself off and is seen as off")
    assert lab.spec.mac("b2") not in lab.dhcp()

    lab.ipmitool("b2", "chassis", "bootdev", "pxe")
    lab.ipmitool("b2", "power", "on")
    eventually(lambda: lab.spec.mac("b2") in lab.dhcp(), "it boots from the network, once")
    lab.turn_off("b2")
    booted = lab.console("b2").count(b"DISK")
    lab.ipmitool("b2", "power", "on")
    eventually(lambda: lab.console("b2").count(b"DISK") > booted, "then from its disk again")


def test_boot_device_set_while_running_holds_for_the_reset(lab: Lab) -> None:
    lab.insert_disk("b1", SAY, "f4 ebfd")
    lab.ipmitool("b1", "power", "on")
    asked = lab.dhcp().count(lab.spec.mac("b1"))
    eventually(lambda: lab.dhcp().count(lab.spec.mac("b1")) > asked, "it boots from the network")
    booted = lab.console("b1").count(b"DISK")
    lab.ipmitool("b1", "chassis", "bootdev", "disk")
    lab.ipmitool("b1", "power", "reset")
    eventually(lambda: lab.console("b1").count(b"DISK") > booted, "reset boots from the disk")
    eventually(lambda: "No override" in lab.ipmitool("b1", "chassis", "bootparam", "get", "5"), "once")


def test_persistent_boot_device_holds_for_every_start(lab: Lab) -> None:
    lab.insert_disk("b1", SAY, "f4 ebfd")
    lab.ipmitool("b1", "chassis", "bootdev", "disk", "options=persistent")
    for _ in range(2):
        booted = lab.console("b1").count(b"DISK")
        lab.ipmitool("b1", "power", "cycle" if lab.powered("b1") else "on")
        eventually(lambda booted=booted: lab.console("b1").count(b"DISK") > booted, "the disk boots")  # type: ignore[misc]


def test_a_killed_daemon_is_replaced_and_finds_its_machines_running(lab: Lab) -> None:
    said = len(lab.console("b1"))
    lab.ipmitool("b1", "power", "on")
    eventually(lambda: len(lab.console("b1")) > said, "b1 has begun to start")
    before = control.ask(lab.places.socket, "status")
    os.kill(before["pid"], signal.SIGKILL)
    children = [child["pid"] for child in before["children"].values()]
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "its children end with it")
    assert not daemon.running(lab.places)

    rack(lab.spec, lab.places)
    eventually(
        lambda: all(child["pid"] for child in control.ask(lab.places.socket, "status")["children"].values()), "all run again"
    )
    eventually(lambda: _is_on(lab, "b1"), "the BMC answers, and the machine was on all the time")


def test_a_killed_bmc_comes_back(lab: Lab) -> None:
    child = control.ask(lab.places.socket, "status")["children"]["bmc-u1"]
    os.kill(child["pid"], signal.SIGKILL)
    eventually(
        lambda: control.ask(lab.places.socket, "status")["children"]["bmc-u1"]["restarts"] > child["restarts"],
        "it is started again",
    )
    eventually(lambda: _answers(lab, "u1"), "it answers")


def _mirror(handler: Callable[..., http.server.SimpleHTTPRequestHandler]) -> http.server.ThreadingHTTPServer:
    # apt-cacher-ng 3.7.4 connects to another port than it is told when that is above 32767.
    for port in range(20000, 32000):
        with contextlib.suppress(OSError):
            return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    raise AssertionError("no free port")


def test_machines_get_packages_without_a_way_out(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "tree_1.0_amd64.deb").write_bytes(b"package" * 1000)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with _mirror(handler) as mirror:
        threading.Thread(target=mirror.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{mirror.server_port}/tree_1.0_amd64.deb"
        inside = netns.command(lab.spec, lab.places, ["curl", "-sS", "--max-time", "20"])
        direct = subprocess.run([*inside, url], capture_output=True, text=True)
        assert direct.returncode != 0
        cached = subprocess.run([*inside, "-x", f"http://{lab.spec.gateway}:3142", url], capture_output=True, text=True)
        mirror.shutdown()
    assert cached.stdout == "package" * 1000, cached.stdout[:500] + cached.stderr
    again = subprocess.run([*inside, "-x", f"http://{lab.spec.gateway}:3142", url], capture_output=True, text=True)
    assert again.stdout == cached.stdout


def test_inside_has_its_own_view_and_the_host_keeps_its_own(lab: Lab) -> None:
    before = Path("/etc/resolv.conf").read_text()
    script = "cat /etc/resolv.conf; ip route; ip -brief link"
    seen = subprocess.run(netns.command(lab.spec, lab.places, ["sh", "-c", script]), capture_output=True, text=True).stdout
    assert f"nameserver {lab.spec.gateway}" in seen
    assert "default" not in seen
    assert "eth0" not in seen
    assert Path("/etc/resolv.conf").read_text() == before
    assert not Path("/etc/netns").exists()


def test_down_leaves_nothing(tmp_path: Path) -> None:
    def host() -> tuple[str, ...]:
        commands = (["ip", "-brief", "link"], ["ip", "address"], ["ip", "route"], ["ip", "netns"], ["cat", "/proc/mounts"])
        return tuple(subprocess.run(command, capture_output=True, text=True).stdout for command in commands)

    before = host()
    lab = Lab(tmp_path)
    lab.spec = lab.spec.model_copy(update={"name": "test-down"})
    lab.places.root.mkdir()
    rack(lab.spec, lab.places)
    eventually(lambda: _answers(lab, "b1"), "the BMC answers")
    lab.ipmitool("b1", "power", "on")
    eventually(lambda: lab.powered("b1"), "b1 is on")
    os.kill(control.ask(lab.places.socket, "status")["pid"], signal.SIGKILL)

    assert down(lab.places)
    assert not lab.places.root.exists()
    assert host() == before
    assert not _processes_with(str(lab.places.root))
    assert not down(lab.places)


def _processes_with(text: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += [process.name] if text in (process / "cmdline").read_text() else []
        except OSError:
            continue
    return found
