# SPDX-License-Identifier: GPL-3.0-or-later
"""The libvirt description of one machine of the lab."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from metalwright.lab import netns
from metalwright.lab.accel import Accelerator
from metalwright.lab.spec import LabSpec, Places

Device = Literal["network", "disk"]

OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

# Aliases by which QEMU knows the two devices: it puts libvirt's user aliases at /machine/peripheral.
ALIASES: dict[Device, str] = {"network": "ua-network", "disk": "ua-disk"}


def describe(spec: LabSpec, name: str, places: Places, accelerator: Accelerator, order: Sequence[Device]) -> str:
    """Return the domain XML of machine ``name`` that boots in ``order``.

    BIOS machines boot by the iPXE ROM that QEMU brings. UEFI machines get no ROM, so that the firmware's own network stack
    does PXE, as architecture 7, like real hardware; its IPv6 half is switched off, it would wait a minute for nobody.
    The disk's flushes are ignored (``unsafe``): the file is raw, so only a crash of the host could lose something.
    """
    machine = spec.machine(name)
    uefi = machine.firmware == "uefi"
    place = {device: order.index(device) + 1 for device in ALIASES}
    loader = (
        f"<loader readonly='yes' type='pflash'>{OVMF_CODE}</loader>"
        f"<nvram template='{OVMF_VARS}'>{escape(str(places.nvram(name)))}</nvram>"
        if uefi
        else "<bios useserial='yes'/>"
    )
    pxe = "<sysinfo type='fwcfg'><entry name='opt/org.tianocore/IPv6PXESupport'>n</entry></sysinfo>" if uefi else ""
    rom = "<rom enabled='no'/>" if uefi else ""
    kvm = accelerator.kind == "kvm"
    return f"""\
<domain type='{"kvm" if kvm else "qemu"}'>
  <name>{name}</name>
  <uuid>{spec.uuid(name)}</uuid>
  <memory unit='MiB'>{machine.memory_mib}</memory>
  <vcpu>{machine.cpus}</vcpu>
  <sysinfo type='smbios'><system>
    <entry name='manufacturer'>Metalwright</entry><entry name='product'>Lab machine</entry>
    <entry name='serial'>{spec.name}-{name}</entry><entry name='uuid'>{spec.uuid(name)}</entry>
  </system></sysinfo>
  {pxe}
  <os><type arch='x86_64' machine='q35'>hvm</type>{loader}<smbios mode='sysinfo'/></os>
  <features><acpi/></features>
  <cpu mode='{"host-passthrough" if kvm else "maximum"}'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='unsafe' discard='unmap' detect_zeroes='unmap'/>
      <source file={quoteattr(str(places.disk(name)))}/><target dev='vda' bus='virtio'/>
      <serial>{name}-disk</serial><alias name='{ALIASES["disk"]}'/><boot order='{place["disk"]}'/>
    </disk>
    <interface type='bridge'>
      <source bridge='{netns.BRIDGE}'/><mac address='{spec.mac(name)}'/><model type='virtio'/>
      {rom}<alias name='{ALIASES["network"]}'/><boot order='{place["network"]}'/>
    </interface>
    {"".join(_further_card(mac) for mac in spec.macs(name)[1:])}
    <serial type='file'><source path={quoteattr(str(places.console(name)))} append='on'/></serial>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def _further_card(mac: str) -> str:
    return (
        f"<interface type='bridge'><source bridge='{netns.BRIDGE}'/><mac address='{mac}'/><model type='virtio'/>"
        "<rom enabled='no'/></interface>"
    )
