# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own end of a tagged VLAN: a network interface whose frames have a tag (IEEE 802.1Q) on the rack's bridge.

The kernel's own VLAN interfaces are not taken: hosts that are virtual machines themselves often have a kernel without them. A
bridge passes tagged frames on in any case, and /dev/net/tun is there wherever a lab is.

Arguments: PARENT VID ADDRESS/PREFIX. The interface is ``vlanVID``, it has the MAC address of the parent, which the bridge gives
the frames for, and it is gone with the process.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import socket
import struct
import subprocess
import sys
from pathlib import Path

_TUNSETIFF = 0x400454CA
_TAP_WITH_HEADER = 0x0002 | 0x1000 | 0x4000  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
_ETH_P_ALL = 3
_TPID = 0x8100
_SOL_PACKET, _PACKET_AUXDATA, _PACKET_VNET_HDR = 263, 8, 15
_AUXDATA = struct.Struct("IIIHHHH")  # struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
_VLAN_VALID = 0x10
_HEADER = 10
"""Bytes of struct virtio_net_hdr before each frame: machines leave checksums and cutting to the card, which is this side here."""
_LARGEST = _HEADER + 65550


def main() -> None:
    """Carry frames between the interface and the bridge until the process is ended."""
    parent, vid, address = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    tap = _interface(f"vlan{vid}", Path("/sys/class/net", parent, "address").read_text(encoding="ascii").strip(), address)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as bridge, selectors.DefaultSelector() as selector:
        for option in (_PACKET_AUXDATA, _PACKET_VNET_HDR):
            bridge.setsockopt(_SOL_PACKET, option, 1)
        bridge.bind((parent, _ETH_P_ALL))
        tag = struct.pack("!HH", _TPID, vid)
        selector.register(tap, selectors.EVENT_READ)
        selector.register(bridge, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == tap:
                    frame = os.read(tap, _LARGEST)
                    bridge.send(frame[: _HEADER + 12] + tag + frame[_HEADER + 12 :])
                elif (received := _received(bridge, vid)) is not None:
                    os.write(tap, received)


def _interface(name: str, mac: str, address: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_WITH_HEADER))
    for words in (("link", "set", name, "address", mac, "up"), ("address", "replace", address, "dev", name)):
        subprocess.run(["ip", *words], check=True)
    return tap


def _received(bridge: socket.socket, vid: int) -> bytes | None:
    """The next frame, if it came in with the tag; the kernel has taken that out of it."""
    frame, told, _, sender = bridge.recvmsg(_LARGEST, socket.CMSG_SPACE(_AUXDATA.size))
    if sender[2] == socket.PACKET_OUTGOING:
        return None
    for level, kind, data in told:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
            status, _, _, _, _, tci, _ = _AUXDATA.unpack(data[: _AUXDATA.size])
            return frame if status & _VLAN_VALID and tci & 0xFFF == vid else None
    return None


if __name__ == "__main__":
    main()
