# SPDX-License-Identifier: GPL-3.0-or-later
"""Real images, cut and spoiled: they arrive, or are refused with a reason; and nothing is left of those that were refused."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from amounts import CASES, cases
from hypothesis import example, given
from hypothesis import strategies as st

from metalwright.errors import Invalid, MetalwrightError
from metalwright.images import formats
from metalwright.images.importer import import_image, stored_path

TARGET = "image headers"
KIB = 1 << 10
DATA_FILE = 1 << 2  # docs/interop/qcow2.txt, incompatible features, bit 2


def silent(_message: str, _share: float | None) -> None:
    pass


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small disk in every form."""
    directory = tmp_path_factory.mktemp("forms")
    disk = directory / "disk.raw"
    with disk.open("wb") as out:
        out.truncate(2048 * KIB)
    subprocess.run(["sgdisk", "--new=1:2048:+256K", "--typecode=1:EF00", disk], check=True, stdout=subprocess.DEVNULL)
    with disk.open("r+b") as out:
        out.write(b"\xeb\x63\x90boot code")
    found = {"raw": disk.read_bytes()}
    for name, command in {"gz": ["gzip", "-c"], "xz": ["xz", "-c"], "zst": ["zstd", "-qc"]}.items():
        found[name] = subprocess.run([*command, disk], check=True, stdout=subprocess.PIPE).stdout
    for name, options in {"qcow2": [], "packed": ["-c"], "old": ["-o", "compat=0.10"]}.items():
        made = directory / name
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, disk, made], check=True)
        found[name] = made.read_bytes()
    return found


@st.composite
def damage(draw: st.DrawFn) -> list[tuple[int, bytes, int | None]]:
    """Where something is written, what, and where it is cut afterwards."""
    where = st.sampled_from([0, 4, 8, 16, 20, 24, 32, 36, 40, 48, 56, 60, 64, 72, 96, 100, 104, 510, 512, 584, 592, 596, 65536])
    what = st.binary(min_size=1, max_size=8) | st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\0\0\0\x01", b"QFI\xfb", b"EFI PART"])
    cut = st.none() | st.integers(0, 1200) | st.sampled_from([0, 1, 71, 79, 511, 512, 520, 600, 4096, 65536, 65537])
    return draw(st.lists(st.tuples(where | st.integers(0, 2000), what, cut), min_size=1, max_size=3))


def spoil(content: bytes, damages: list[tuple[int, bytes, int | None]]) -> bytes:
    for at, what, cut in damages:
        content = (content[:at] + what + content[at + len(what) :])[:cut]
    return content


@cases(few=25, many=4000)
@given(form=st.sampled_from(["raw", "gz", "xz", "zst", "qcow2", "packed", "old"]), damages=damage())
@example(form="raw", damages=[(0, b"\xeb", 520)])
@example(form="raw", damages=[(0, b"\xeb", 590)])
def test_a_spoiled_image_is_imported_or_refused_and_leaves_nothing(
    forms: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, form: str, damages: list[tuple[int, bytes, int | None]]
) -> None:
    CASES[TARGET] += 1
    directory = tmp_path_factory.getbasetemp() / "spoiled"
    directory.mkdir(exist_ok=True)
    source, target = directory / "image", directory / "images"
    source.write_bytes(spoil(forms[form], damages))
    left: list[Path] = []
    try:
        imported = import_image(source, sha256=None, target=target, progress=silent)
    except MetalwrightError as refused:
        assert refused.code in ("image_format_unknown", "image_backing_file_refused", "image_corrupt"), refused.as_dict()
        assert refused.message
    else:
        left = [stored_path(target, imported.content_sha256)]
    assert list(target.iterdir()) == left
    for path in left:
        path.unlink()


@cases(few=100, many=50_000)
@given(
    version=st.sampled_from([2, 3]),
    backing=st.integers(0, 2**64 - 1) | st.just(0),
    features=st.integers(0, 2**64 - 1) | st.just(0),
    length=st.integers(0, 200),
)
def test_a_qcow2_that_needs_another_file_is_never_accepted(version: int, backing: int, features: int, length: int) -> None:
    CASES[f"{TARGET}, qcow2"] += 1
    head = struct.pack(">4sIQIIQI", b"QFI\xfb", version, backing, 8, 16, 1 << 21, 0).ljust(72, b"\0")
    head = (head + struct.pack(">Q", features)).ljust(200, b"\0")[:length]
    try:
        formats.check_qcow2(head, "it")
    except Invalid:
        return
    assert backing == 0 and (version == 2 or not features & DATA_FILE) and length >= 80


@cases(few=100, many=50_000)
@given(
    parts=st.lists(st.tuples(st.sampled_from([0, 64, 257, 446, 510, 512, 584, 4096, 32769]), st.binary(max_size=100)), max_size=5)
)
def test_any_head_is_a_disk_or_refused(parts: list[tuple[int, bytes]]) -> None:
    CASES[f"{TARGET}, raw"] += 1
    head = b""
    for at, what in [*parts, (510, b"\x55\xaa"), (512, b"EFI PART")]:
        head = head[:at].ljust(at, b"\0") + what + head[at + len(what) :]
    for start in (head, head[:512], head[: len(head) - 1]):
        try:
            formats.inspect_raw(start, "it")
        except Invalid as refused:
            assert refused.code == "image_format_unknown"
