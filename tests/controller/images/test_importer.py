# SPDX-License-Identifier: GPL-3.0-or-later
"""Import from files: every format arrives whole, everything else is refused by name, and nothing is left behind."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from image_server import Behaviour, Server

from metalwright.errors import MetalwrightError
from metalwright.images.importer import Imported, import_image, stored_path

MIB = 1 << 20


def silent(_message: str, _share: float | None) -> None:
    pass


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def qcow2(source: Path, path: Path, *options: str) -> Path:
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, source, path], check=True)
    return path


def compressed(tool: str, suffix: str) -> Callable[[Path, Path], Path]:
    def make(disk: Path, directory: Path) -> Path:
        path = directory / f"disk.{suffix}"
        with path.open("wb") as out:
            subprocess.run([tool, "-c", disk], check=True, stdout=out)
        return path

    return make


def two_members(disk: Path, directory: Path) -> Path:
    """As ``cat a.gz b.gz`` and pigz make it."""
    path, content = directory / "disk.gz", disk.read_bytes()
    path.write_bytes(gzip.compress(content[:MIB]) + gzip.compress(content[MIB:]))
    return path


def qcow2_in_xz(disk: Path, directory: Path) -> Path:
    path = directory / "disk.qcow2.xz"
    path.write_bytes(lzma.compress(qcow2(disk, directory / "inner").read_bytes()))
    return path


FORMS: dict[str, Callable[[Path, Path], Path]] = {
    "raw": lambda disk, directory: disk,
    "gz": compressed("gzip", "gz"),
    "gz of two members": two_members,
    "xz": compressed("xz", "xz"),
    "zst": compressed("zstd", "zst"),
    "qcow2": lambda disk, directory: qcow2(disk, directory / "disk.qcow2"),
    "compressed qcow2": lambda disk, directory: qcow2(disk, directory / "disk.qcow2", "-c"),
    "old qcow2": lambda disk, directory: qcow2(disk, directory / "disk.qcow2", "-o", "compat=0.10"),
    "qcow2 in xz": qcow2_in_xz,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_disk_arrives_whole_in_every_form(form: str, disk: Path, tmp_path: Path, target: Path) -> None:
    source = FORMS[form](disk, tmp_path)
    shares: list[float] = []
    imported = import_image(
        source, sha256=sha256(source).upper(), target=target, progress=lambda _, share: shares.append(share or 0.0)
    )
    stored = stored_path(target, imported.content_sha256)
    assert sha256(stored) == imported.content_sha256
    assert imported == Imported(
        imported.content_sha256, stored.stat().st_size, 12 * MIB, "raw.zst", firmware=["bios", "uefi"], arch="amd64"
    )
    assert subprocess.run(["zstd", "-dc", stored], check=True, stdout=subprocess.PIPE).stdout == disk.read_bytes()
    assert list(target.iterdir()) == [stored]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


def test_the_same_disk_is_stored_once(disk: Path, tmp_path: Path, target: Path) -> None:
    first = import_image(disk, sha256=None, target=target, progress=silent)
    second = import_image(qcow2(disk, tmp_path / "disk.qcow2"), sha256=None, target=target, progress=silent)
    assert first == second
    assert len(list(target.iterdir())) == 1


def test_a_raw_disk_is_padded_to_whole_sectors(disk: Path, tmp_path: Path, target: Path) -> None:
    odd = tmp_path / "odd.raw"
    odd.write_bytes(disk.read_bytes()[: 8 * MIB + 5])
    imported = import_image(odd, sha256=None, target=target, progress=silent)
    assert imported.image_bytes == 8 * MIB + 512


def truncated(tool: str) -> Callable[[Path, Path], Path]:
    def make(disk: Path, directory: Path) -> Path:
        path = compressed(tool, "cut")(disk, directory)
        os.truncate(path, path.stat().st_size * 2 // 3)
        return path

    return make


def damaged_qcow2(disk: Path, directory: Path) -> Path:
    path = qcow2(disk, directory / "disk.qcow2", "-c")
    os.truncate(path, path.stat().st_size // 2)
    return path


def with_backing_file(disk: Path, directory: Path) -> Path:
    path = directory / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", path], check=True)
    return path


def with_data_file(disk: Path, directory: Path) -> Path:
    path = directory / "disk.qcow2"
    options = f"data_file={directory}/data,data_file_raw=on"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, "8M"], check=True)
    return path


def encrypted(disk: Path, directory: Path) -> Path:
    path = qcow2(disk, directory / "disk.qcow2")
    with path.open("r+b") as out:
        out.seek(32)  # crypt_method
        out.write(b"\0\0\0\2")
    return path


def other(kind: str) -> Callable[[Path, Path], Path]:
    def make(disk: Path, directory: Path) -> Path:
        path = directory / "disk"
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, disk, path], check=True)
        return path

    return make


def file_of(content: bytes) -> Callable[[Path, Path], Path]:
    def make(disk: Path, directory: Path) -> Path:
        path = directory / "file"
        path.write_bytes(content)
        return path

    return make


REFUSED: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "half a gz": (truncated("gzip"), "image_corrupt"),
    "half an xz": (truncated("xz"), "image_corrupt"),
    "half a zst": (truncated("zstd"), "image_corrupt"),
    "half a qcow2": (damaged_qcow2, "image_corrupt"),
    "the head of a qcow2": (file_of(b"QFI\xfb\0\0\0\x03"), "image_format_unknown"),
    "a backing file": (with_backing_file, "image_backing_file_refused"),
    "an external data file": (with_data_file, "image_backing_file_refused"),
    "an encrypted disk": (encrypted, "image_format_unknown"),
    "a vmdk": (other("vmdk"), "image_format_unknown"),
    "a vdi": (other("vdi"), "image_format_unknown"),
    "a vhdx": (other("vhdx"), "image_format_unknown"),
    "nothing": (file_of(b""), "image_format_unknown"),
    "a web page": (file_of(b"<!DOCTYPE html><html><title>Moved</title></html>"), "image_format_unknown"),
    "an installer": (file_of(bytes(510) + b"\x55\xaa" + bytes(32769 - 512) + b"CD001" + bytes(MIB)), "image_format_unknown"),
    "a disk without partitions": (file_of(bytes(MIB)), "image_format_unknown"),
    "a web page in gz": (file_of(gzip.compress(b"<html>")), "image_format_unknown"),
    "no such file": (lambda disk, directory: directory / "absent", "image_not_found"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_whole_disk_is_refused_and_leaves_nothing(what: str, disk: Path, tmp_path: Path, target: Path) -> None:
    make, code = REFUSED[what]
    source = make(disk, tmp_path)
    with pytest.raises(MetalwrightError) as caught:
        import_image(source, sha256=None, target=target, progress=silent)
    assert caught.value.code == code
    assert str(source) in caught.value.message
    assert not target.exists() or not list(target.iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_checksum_is_named_and_leaves_nothing(form: str, disk: Path, tmp_path: Path, target: Path) -> None:
    source = FORMS[form](disk, tmp_path)
    with pytest.raises(MetalwrightError) as caught:
        import_image(source, sha256="0" * 64, target=target, progress=silent)
    assert caught.value.code == "image_checksum_mismatch"
    assert sha256(source) in caught.value.message
    assert not list(target.iterdir())


def test_a_damaged_download_is_told_by_its_checksum_first(disk: Path, tmp_path: Path, target: Path) -> None:
    source = truncated("xz")(disk, tmp_path)
    with pytest.raises(MetalwrightError) as caught:
        import_image(source, sha256="0" * 64, target=target, progress=silent)
    assert caught.value.code == "image_checksum_mismatch"


def test_a_checksum_that_is_none_is_refused_before_anything_is_read(disk: Path, target: Path) -> None:
    with pytest.raises(MetalwrightError) as caught:
        import_image(disk, sha256="abc", target=target, progress=silent)
    assert caught.value.code == "sha256_invalid"
    assert not target.exists()


IMPORT_AND_TELL = """
    import sys
    from pathlib import Path
    from metalwright.errors import MetalwrightError
    from metalwright.images.importer import import_image
    try:
        import_image(sys.argv[1], sha256=None, target=Path(sys.argv[2]), progress=lambda *_: print("going", flush=True))
    except MetalwrightError as error:
        print(error.code)
"""


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_full_disk_is_named_and_leaves_nothing(form: str, disk: Path, tmp_path: Path, target: Path) -> None:
    source = FORMS[form](disk, tmp_path)
    target.mkdir()
    script = f'mount -t tmpfs -o size=1m tmpfs {target} && {sys.executable} -c "$1" {source} {target} && ls -A {target}'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-ec", script, "sh", textwrap.dedent(IMPORT_AND_TELL)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
    assert [line for line in answer if line not in ("going", "")] == ["disk_full"]


def test_what_a_killed_import_left_is_cleared_by_the_next(disk: Path, target: Path, server: Server) -> None:
    url = server.serve("disk.raw", Behaviour(disk.read_bytes()))
    command = [sys.executable, "-c", textwrap.dedent(IMPORT_AND_TELL).replace('print("going", flush=True)', "input()")]
    with subprocess.Popen([*command, url, target], stdin=subprocess.PIPE) as process:
        while not list(target.glob(".unfinished-*/part")):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert len(list(target.iterdir())) == 1
    imported = import_image(disk, sha256=None, target=target, progress=silent)
    assert list(target.iterdir()) == [stored_path(target, imported.content_sha256)]


def test_an_import_does_not_disturb_another(disk: Path, target: Path) -> None:
    def during(_message: str, _share: float | None) -> None:
        if not inner:
            inner.append(import_image(disk, sha256=None, target=target, progress=silent))

    inner: list[Imported] = []
    outer = import_image(disk, sha256=None, target=target, progress=during)
    assert inner == [outer]
    assert list(target.iterdir()) == [stored_path(target, outer.content_sha256)]
