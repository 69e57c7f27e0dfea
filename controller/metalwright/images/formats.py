# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file is, told by its first bytes alone.

Never by its name, and never by asking qemu-img: an image is somebody else's, and qemu-img would follow the paths that a
qcow2 header names (backing file, external data file) into this host.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

from metalwright.errors import Invalid

HEAD_BYTES = 64 * 1024
"""Bytes from the start by which everything here is decided: GPT with 128 entries of 4 KiB sectors, and ISO 9660's descriptor."""

_COMPRESSED = {b"\x1f\x8b": "gz", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zst"}
_QCOW2 = b"QFI\xfb"
_REFUSED = (
    (0, b"BZh", "a bzip2 file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"KDMV", "a VMDK disk"),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor"),
    (0, b"vhdxfile", "a VHDX disk"),
    (0, b"conectix", "a VHD disk"),
    (0, b"hsqs", "a squashfs file system"),
    (64, b"\x7f\x10\xda\xbe", "a VDI disk"),
    (257, b"ustar", "a tar archive"),
    (32769, b"CD001", "an ISO 9660 image (an installer, not an installed system)"),
)
_HINT = "Give a disk image: raw or qcow2, plain or compressed by gzip, xz or zstd."
_QCOW2_HEADER = struct.Struct(">4sIQIIQI")
_QCOW2_FEATURES = 72
_QCOW2_DATA_FILE = 1 << 2  # docs/interop/qcow2.txt, incompatible features, bit 2

_ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_ROOTS = {  # Discoverable Partitions Specification
    uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"): "amd64",
    uuid.UUID("b921b045-1df0-41c3-af44-4c6f280d3fae"): "arm64",
}
_MBR_TYPE_ESP = 0xEF
_BOOT_CODE_BYTES = 440


@dataclass(frozen=True)
class Disk:
    """What a raw image's head says: the firmware it has loaders for (``bios``, ``uefi``) and its architecture."""

    firmware: list[str]
    arch: str


def compression(head: bytes) -> str | None:
    """Return ``gz``, ``xz`` or ``zst``, or None for a file that is none of these."""
    return next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)


def is_qcow2(head: bytes) -> bool:
    """Return whether a file that starts with ``head`` is a qcow2 disk."""
    return head.startswith(_QCOW2)


def check_qcow2(head: bytes, name: str) -> None:
    """Refuse a qcow2 that is not all of itself.

    Raises ``Invalid``: ``image_backing_file_refused`` for one that refers to another file, ``image_format_unknown`` for one
    that is encrypted or of an unknown version.
    """
    if len(head) < _QCOW2_FEATURES + 8:
        raise _unknown(name, "a qcow2 disk cut short")
    _, version, backing, _, _, _, encryption = _QCOW2_HEADER.unpack_from(head)
    if version not in (2, 3):
        raise _unknown(name, f"a qcow2 disk of version {version}")
    (features,) = struct.unpack_from(">Q", head, _QCOW2_FEATURES)
    if backing or (version == 3 and features & _QCOW2_DATA_FILE):
        raise Invalid(
            "image_backing_file_refused",
            f"{name} is a qcow2 disk that needs another file (a backing file or an external data file).",
            "Make it whole first: qemu-img convert -O qcow2 IMAGE WHOLE.qcow2",
        )
    if encryption:
        raise _unknown(name, "an encrypted qcow2 disk")


def inspect_raw(head: bytes, name: str) -> Disk:
    """Return what can start from a raw disk. Raises ``Invalid`` (``image_format_unknown``) for what is no partitioned disk."""
    for offset, magic, what in _REFUSED:
        if head[offset : offset + len(magic)] == magic:
            raise _unknown(name, what)
    if len(head) < 512 or head[510:512] != b"\x55\xaa":
        text = head[:512].lstrip().lower()
        what = "a web page" if text.startswith((b"<!doctype", b"<html")) else "empty" if not head else "no partitioned disk"
        raise _unknown(name, what)
    types = _gpt_types(head)
    mbr_types = {head[446 + 16 * index + 4] for index in range(4)}
    firmware = []
    if any(head[:_BOOT_CODE_BYTES]):
        firmware.append("bios")
    if _ESP in types or _MBR_TYPE_ESP in mbr_types:
        firmware.append("uefi")
    arch = next((arch for root, arch in _ROOTS.items() if root in types), "amd64")
    return Disk(firmware, arch)


def _gpt_types(head: bytes) -> set[uuid.UUID]:
    for sector in (512, 4096):
        header = head[sector : sector + 92]
        if header[:8] == b"EFI PART" and len(header) == 92:
            (first,) = struct.unpack_from("<Q", header, 72)
            count, size = struct.unpack_from("<II", header, 80)
            starts = range(first * sector, min(len(head) - 16, first * sector + count * size), max(size, 128))
            return {uuid.UUID(bytes_le=head[start : start + 16]) for start in starts}
    return set()


def _unknown(name: str, what: str) -> Invalid:
    return Invalid("image_format_unknown", f"{name} is {what}.", _HINT)
