# SPDX-License-Identifier: GPL-3.0-or-later
"""The rack daemon: the machines, their BMCs, the package cache and the controller, kept running inside the lab's namespace.

It is started by ``launch`` from the host's side, with what can only be had there: a listener on the host's loopback and the
host's namespaces. It gives the controller two listeners by the protocol of systemd's socket activation (sd_listen_fds(3)):
the host's, so that the admin API answers on the host, and one on the same address and port inside the lab.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import structlog

from metalwright.errors import Conflict, MetalwrightError, Unavailable
from metalwright.lab import accel, control, packages
from metalwright.lab.accel import Accelerator
from metalwright.lab.bmc import BootFlags, PowerAction
from metalwright.lab.children import Child, Children
from metalwright.lab.netns import BRIDGE
from metalwright.lab.rack import Rack
from metalwright.lab.spec import BMC_USER, LabSpec, Places

log = structlog.get_logger()

FIRST_FD = 3  # SD_LISTEN_FDS_START
PATIENCE = 60.0  # libvirt asks QEMU for all it can do the first time, which takes a few seconds
READY = b"ready"

# What the daemon and all its children see: a user that libvirt's QEMU driver looks up before it reads its settings (only
# Debian's libvirt-daemon-system has it), and a /run/libvirt that is the lab's own.
PREPARE = """
set -e
for file in passwd group; do
    if [ -e "$1/$file" ]; then mount --bind "$1/$file" /etc/$file; fi
done
mount --bind "$2" /run/libvirt
shift 2
exec "$@"
"""


def launch(spec: LabSpec, places: Places) -> None:
    """Start the daemon and return when it answers.

    Raises ``Conflict("port_in_use")``, or ``Unavailable("rack_failed")`` with the end of its log.
    """
    _write_accounts(places)
    run = places.root / "run"
    for directory in (places.logs, run):
        directory.mkdir(parents=True, exist_ok=True)
    Path("/run/libvirt").mkdir(exist_ok=True)
    ready, tell = os.pipe()
    with (
        open(ready, "rb", buffering=0) as answer,  # noqa: PTH123 - a descriptor
        open(tell, "wb", buffering=0) as end,  # noqa: PTH123
        _listener(spec) as listener,
        Path("/proc/self/ns/net").open("rb") as net,
        Path("/proc/self/ns/mnt").open("rb") as mount,
        (places.logs / "rack.log").open("ab") as output,
    ):
        fds = (listener.fileno(), net.fileno(), mount.fileno(), tell)
        inside = ["ip", "netns", "exec", spec.namespace, "sh", "-c", PREPARE, "metalwright-lab", str(places.etc), str(run)]
        me = [sys.executable, "-m", "metalwright.lab.daemon", str(places.root), str(places.cache), *map(str, fds)]
        subprocess.run(
            ["setsid", "--fork", *inside, *me],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=fds,
            env={**os.environ, "LIBVIRT_LOG_OUTPUTS": "4:stderr"},  # errors; root without confinement is warned of each time
            check=True,
        )
        end.close()
        said = answer.read(len(READY)) if select.select([answer], [], [], PATIENCE)[0] else b""
    if said != READY:
        last = (places.logs / "rack.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        raise Unavailable(
            "rack_failed", f"The rack daemon did not start: {' | '.join(last)}", f"Its log is {places.logs / 'rack.log'}."
        )


def check_port(spec: LabSpec) -> None:
    """Raise ``Conflict("port_in_use")`` if the admin API could not be served on the host."""
    _listener(spec).close()


def running(places: Places) -> bool:
    """Return whether a daemon answers for this lab."""
    try:
        control.ask(places.socket, "status")
    except MetalwrightError:
        return False
    return True


def main() -> None:
    """Run the daemon: arguments ROOT CACHE LISTENER HOST_NET HOST_MOUNT READY, the last four descriptors."""
    places = Places(Path(sys.argv[1]), Path(sys.argv[2]))
    spec = LabSpec.model_validate_json(places.spec.read_text(encoding="utf-8"))
    listener, host_net, host_mount, ready = (fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 10) for fd in sys.argv[3:])
    for fd in sys.argv[3:]:
        os.close(int(fd))
    _place_listeners(listener, spec)
    places.pid.write_text(f"{os.getpid()}\n", encoding="utf-8")
    accelerator = accel.choose(None, places.accelerator)
    with Rack(spec, places, accelerator) as rack:
        # BMCs ask the daemon, so it answers before they start.
        children = Children(_children(spec, places, host_net, host_mount), places.logs)
        signal.signal(signal.SIGTERM, lambda *_: children.stop())
        signal.signal(signal.SIGINT, lambda *_: children.stop())
        server = control.serve(places.socket, _calls(spec, rack, children, accelerator))
        os.write(ready, READY)
        os.close(ready)
        log.info("rack is up", lab=spec.name, accelerator=accelerator.kind, reason=accelerator.reason)
        children.run()
        server.shutdown()
    places.pid.unlink(missing_ok=True)


def _place_listeners(host: int, spec: LabSpec) -> None:
    """Put the host's listener and the lab's own where socket activation wants them: descriptors 3 and 4."""
    inside = _listener(spec)
    inner = fcntl.fcntl(inside, fcntl.F_DUPFD_CLOEXEC, 10)
    inside.close()
    for place, descriptor in enumerate((host, inner), start=FIRST_FD):
        os.dup2(descriptor, place)
        os.close(descriptor)


def _children(spec: LabSpec, places: Places, host_net: int, host_mount: int) -> list[Child]:
    password = places.bmc_password.read_text(encoding="utf-8").strip()
    bmcs = [
        Child(
            f"bmc-{name}",
            [sys.executable, "-m", "metalwright.lab.bmc", str(places.socket), name, spec.bmc_address(name), BMC_USER],
            line=password,
        )
        for name in (machine.name for machine in spec.machines)
    ]
    vlans = [
        Child(f"vlan-{vlan.vid}", [sys.executable, "-m", "metalwright.lab.tagged", BRIDGE, str(vlan.vid), vlan.address])
        for vlan in spec.vlans
    ]
    # Without a configuration the lab is only a rack.
    controller = [_controller(places)] if places.config.exists() else []
    return [*packages.children(spec, places, host_net, host_mount), *bmcs, *vlans, *controller]


def _controller(places: Places) -> Child:
    # LISTEN_PID has to be the pid of the process that listens: the shell's, which becomes it.
    serve = [str(Path(sys.executable).with_name("metalwright")), "serve", "--config", str(places.config)]
    environment = {**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "admin:admin"}
    return Child(
        "controller",
        ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *serve],
        environment=environment,
        pass_fds=(FIRST_FD, FIRST_FD + 1),
    )


def _calls(spec: LabSpec, rack: Rack, children: Children, accelerator: Accelerator) -> control.Calls:
    def power(machine: str, action: PowerAction) -> None:
        rack.machines[machine].power(action)

    def set_boot_flags(machine: str, flags: dict[str, object]) -> None:
        rack.machines[machine].set_boot_flags(BootFlags(**flags))  # type: ignore[arg-type]

    def status() -> dict[str, object]:
        machines = [
            {
                "name": machine.name,
                "firmware": machine.firmware,
                "power": "on" if rack.machines[machine.name].powered() else "off",
                "mac": spec.mac(machine.name),
                "bmc": spec.bmc_address(machine.name),
            }
            for machine in spec.machines
        ]
        return {"pid": os.getpid(), "accelerator": accelerator._asdict(), "machines": machines, "children": children.status()}

    return {
        "status": status,
        "power": power,
        "powered": lambda machine: rack.machines[machine].powered(),
        "boot_flags": lambda machine: vars(rack.machines[machine].boot_flags()),
        "set_boot_flags": set_boot_flags,
    }


def _listener(spec: LabSpec) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", spec.port))
    except OSError:
        listener.close()
        raise Conflict(
            "port_in_use",
            f"Port {spec.port} of 127.0.0.1 is taken by another program.",
            "Choose another with 'metalwright lab up --port NUMBER'.",
        ) from None
    listener.listen(128)
    return listener


def _write_accounts(places: Places) -> None:
    try:
        pwd.getpwnam("libvirt-qemu")
    except KeyError:
        places.etc.mkdir(parents=True, exist_ok=True)
        for name, line in (("passwd", "libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin"), ("group", "libvirt-qemu:x:64055:")):
            shutil.copy(Path("/etc", name), places.etc / name)
            with (places.etc / name).open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")


if __name__ == "__main__":
    main()
