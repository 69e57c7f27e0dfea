# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of the lab: power and boot order, on libvirt's embedded QEMU driver.

The driver runs in this process, needs no daemon and keeps its files in the lab's directory. Its machines outlive it: a new
rack on the same directory finds them running.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import libvirt
import libvirt_qemu  # type: ignore[import-untyped]
import structlog

from metalwright.lab.accel import Accelerator
from metalwright.lab.bmc import BootFlags, PowerAction
from metalwright.lab.domain import ALIASES, Device, describe
from metalwright.lab.spec import LabSpec, MachineSpec, Places

log = structlog.get_logger()

# The embedded driver's settings. It would start helper daemons for logs, switch users and confine QEMU; here it is root in
# a namespace made for it, and a machine of the lab is no more trusted than the lab itself. Files stay root's.
QEMU_CONF = """\
stdio_handler = "file"
user = "root"
group = "root"
security_driver = "none"
namespaces = []
dynamic_ownership = 0
remember_owner = 0
"""


class Machine:
    """One machine. Power actions are carried out one after the other, in the background; ``powered`` is the truth now."""

    def __init__(self, spec: LabSpec, name: str, places: Places, accelerator: Accelerator, connection: Any) -> None:
        self.spec: MachineSpec = spec.machine(name)
        self._lab = spec
        self._places = places
        self._accelerator = accelerator
        self._connection = connection
        self._flags_file = places.boot_flags(name)
        self._lock = threading.RLock()
        self._actions = ThreadPoolExecutor(1, thread_name_prefix=f"power-{name}")
        self._bootindex = 10
        for path in (places.disk(name), places.nvram(name), places.console(name), self._flags_file):
            path.parent.mkdir(parents=True, exist_ok=True)
        with places.disk(name).open("ab") as disk:
            disk.truncate(self.spec.disk_gib << 30)
        self._domain = self._find() or self._define(self._order())

    def powered(self) -> bool:
        """Return whether the machine has power."""
        return bool(self._domain.isActive())

    def power(self, action: PowerAction) -> None:
        """Begin the action, after those begun before it."""
        self._actions.submit(self._power, action)

    def boot_flags(self) -> BootFlags:
        """Return what the BMC was told about the next start."""
        try:
            return BootFlags(**json.loads(self._flags_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return BootFlags()

    def set_boot_flags(self, flags: BootFlags) -> None:
        """Keep what the BMC is told. A running machine heeds it when it resets."""
        with self._lock:
            self._flags_file.write_text(json.dumps(vars(flags)), encoding="utf-8")
            log.info("boot flags", machine=self.spec.name, **vars(flags))
            try:
                if self.powered():
                    self._reorder(self._order())
            except libvirt.libvirtError:
                if self.powered():  # else it has turned itself off meanwhile: the order is read anew when it is turned on
                    raise

    def started(self) -> None:
        """Firmware has read the boot order: what held for one start is over."""
        with self._lock:
            flags = self.boot_flags()
            if flags.device != "none" and not flags.persistent:
                self.set_boot_flags(BootFlags())

    def close(self) -> None:
        """Cut the power and forget the machine."""
        self._actions.shutdown(wait=True, cancel_futures=True)
        if self._domain.isActive():
            self._domain.destroy()

    def _power(self, action: PowerAction) -> None:
        log.info("power", machine=self.spec.name, action=action)
        try:
            with self._lock:
                self._do(action)
        except libvirt.libvirtError as error:
            log.error("power failed", machine=self.spec.name, action=action, error=error.get_error_message())

    def _do(self, action: PowerAction) -> None:
        running = self.powered()
        if action == "soft" and running:
            self._domain.shutdown()
        elif action == "reset" and running:
            self._domain.reset(0)
        elif action in ("off", "cycle") and running:
            self._domain.destroy()
        if action == "cycle" or (action == "on" and not running):
            self._start()

    def _start(self) -> None:
        # Firmware reads the boot order when the machine is reset, which has happened by the time a paused machine is there:
        # what is set then holds from the next reset on, so that a guest's own reboot does not boot "one time" again.
        self._domain = self._define(self._order())
        self._domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        self._bootindex = 10
        self.started()
        self._domain.resume()

    def _order(self) -> Sequence[Device]:
        flags = self.boot_flags()
        first: Device = "disk" if self.spec.disk_first else "network"
        if flags.device != "none":
            first = flags.device
        return (first, "disk" if first == "network" else "network")

    def _reorder(self, order: Sequence[Device]) -> None:
        """Set the boot order of a running machine. QEMU wants every index to be unique at every moment, so they count up."""
        for device in order:
            self._bootindex += 1
            argument = {"path": f"/machine/peripheral/{ALIASES[device]}", "property": "bootindex", "value": self._bootindex}
            libvirt_qemu.qemuMonitorCommand(self._domain, json.dumps({"execute": "qom-set", "arguments": argument}), 0)

    def _find(self) -> Any:
        try:
            return self._connection.lookupByUUIDString(self._lab.uuid(self.spec.name))
        except libvirt.libvirtError:
            return None

    def _define(self, order: Sequence[Device]) -> Any:
        return self._connection.defineXML(describe(self._lab, self.spec.name, self._places, self._accelerator, order))


class Rack:
    """All machines of a lab, by name. One a process; must be made inside the lab's network namespace."""

    def __init__(self, spec: LabSpec, places: Places, accelerator: Accelerator) -> None:
        libvirt.registerErrorHandler(lambda *_: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_events, name="libvirt", daemon=True).start()
        (places.libvirt / "etc").mkdir(parents=True, exist_ok=True)
        (places.libvirt / "etc/qemu.conf").write_text(QEMU_CONF, encoding="utf-8")
        # What QEMU can do is asked once on a host, not once in a lab: it takes seconds.
        (places.cache / "libvirt").mkdir(parents=True, exist_ok=True)
        if not (places.libvirt / "cache").is_symlink():
            (places.libvirt / "cache").symlink_to(places.cache / "libvirt")
        self._connection = libvirt.open(f"qemu:///embed?root={places.libvirt}")
        self.machines = {
            machine.name: Machine(spec, machine.name, places, accelerator, self._connection) for machine in spec.machines
        }
        self._connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._on_reset, None)
        self._connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_change, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.machines.values():
            machine.close()
        self._connection.close()

    def _on_reset(self, _connection: Any, domain: Any, _opaque: Any) -> None:
        name = domain.name()
        log.info("reset", machine=name)
        # Not in the event loop's own thread: it has to be free for the answers of what is asked now.
        threading.Thread(target=self.machines[name].started, daemon=True).start()

    def _on_change(self, _connection: Any, domain: Any, event: int, _detail: int, _opaque: Any) -> None:
        words = {
            libvirt.VIR_DOMAIN_EVENT_RESUMED: "on",
            libvirt.VIR_DOMAIN_EVENT_STOPPED: "off",
            libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
        }
        if event in words:
            log.info("machine is", machine=domain.name(), now=words[event])


def _events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
