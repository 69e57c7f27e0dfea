# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing images: what is on the disk afterwards, and what is said when it can not be done."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controller_side import TOKEN, ControllerSide
from file_disks import file_disk

from metalwright.agent.abort import Abort
from metalwright.agent.download import PATIENCE
from metalwright.agent.errors import Aborted, StepFailed
from metalwright.agent.work import Work
from metalwright.agent.write import write_image

MIB = 1 << 20
PATH = f"/files/{TOKEN}/image"


def image() -> bytes:
    """Ten MiB with a hole of six in it and one at the end."""
    return os.urandom(3 * MIB - 5) + bytes(6 * MIB) + os.urandom(5) + bytes(MIB)


def compressed(data: bytes) -> bytes:
    return subprocess.run(["zstd", "--stdout", "--quiet"], input=data, check=True, capture_output=True).stdout


def serve(side: ControllerSide, data: bytes, form: str = "raw.zst", **changes: Any) -> dict[str, Any]:
    """Put an image on the server and return the step that writes it."""
    served = compressed(data) if form == "raw.zst" else data
    side.files[PATH] = served
    step = {
        "name": "write",
        "url": side.address + PATH,
        "format": form,
        "sha256": hashlib.sha256(served).hexdigest(),
        "download_bytes": len(served),
        "image_bytes": len(data),
        "disk": {},
    }
    return step | changes


def used_disk(path: Path, size: int) -> Any:
    """A disk that is full of what somebody else left."""
    path.write_bytes(os.urandom(MIB) * (size // MIB))
    return file_disk(path, size)


@pytest.mark.parametrize("form", ["raw", "raw.zst"])
def test_an_image_is_written_over_what_was_there(
    form: str, side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work]
) -> None:
    data = image()
    disk = used_disk(tmp_path / "disk", 16 * MIB)
    chosen, result = write_image(serve(side, data, form), work_on(disk))
    assert chosen == disk
    assert result["disk"] == disk.id
    content = Path(disk.path).read_bytes()
    assert content[: len(data)] == data
    assert content[-MIB:] == bytes(MIB), "a backup GPT of the former system must not come back"


@pytest.mark.parametrize("form", ["raw", "raw.zst"])
def test_holes_take_no_writing_where_the_disk_can_drop_them(
    form: str, side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work]
) -> None:
    disk = used_disk(tmp_path / "disk", 16 * MIB)
    _, result = write_image(serve(side, bytes(12 * MIB) + b"end", form), work_on(disk))
    assert result["sparse"] is True
    assert Path(disk.path).stat().st_blocks * 512 < 6 * MIB


@pytest.mark.parametrize("form", ["raw", "raw.zst"])
def test_every_zero_is_written_where_the_disk_can_not_drop(
    form: str, side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metalwright.agent.write.drop", lambda *_: False)
    data = image()
    disk = used_disk(tmp_path / "disk", 16 * MIB)
    write_image(serve(side, data, form), work_on(disk))
    assert Path(disk.path).read_bytes()[: len(data)] == data


@pytest.mark.parametrize("form", ["raw", "raw.zst"])
def test_a_block_device_is_written(
    form: str, side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work], loop: Callable[..., Path]
) -> None:
    data = image()
    backing = used_disk(tmp_path / "disk", 16 * MIB)
    device = loop(Path(backing.path))
    disk = backing._replace(name=device.name, path=str(device))
    _, result = write_image(serve(side, data, form), work_on(disk))
    assert result["sparse"] is True
    assert device.read_bytes()[: len(data)] == data


def test_a_broken_connection_is_taken_up_where_it_broke(
    side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work], pauses: list[float]
) -> None:
    data = os.urandom(8 * MIB)
    step = serve(side, data)
    side.breaks = [0, 2 * MIB + 17, 0, 0, 0, 0, 3 * MIB, 5]
    disk = file_disk(tmp_path / "disk", 16 * MIB)
    write_image(step, work_on(disk), pauses.append)
    assert Path(disk.path).read_bytes()[: len(data)] == data
    assert side.ranges[0] is None
    assert side.ranges[-1] == f"bytes={5 * MIB + 17 + 5}-"
    assert len(pauses) == 8


def test_a_server_without_ranges_is_good_enough(
    side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work], pauses: list[float]
) -> None:
    side.ignores_ranges = True
    side.breaks = [3 * MIB]
    data = os.urandom(5 * MIB)
    disk = file_disk(tmp_path / "disk", 16 * MIB)
    write_image(serve(side, data), work_on(disk), pauses.append)
    assert Path(disk.path).read_bytes()[: len(data)] == data


def test_a_server_that_goes_away_is_named_and_the_disk_does_not_boot(
    side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work], pauses: list[float]
) -> None:
    step = serve(side, os.urandom(8 * MIB))
    side.breaks = [3 * MIB]
    side.on_image = lambda: side.gone.set() if len(side.ranges) > 1 else None
    disk = used_disk(tmp_path / "disk", 16 * MIB)
    with pytest.raises(StepFailed) as caught:
        write_image(step, work_on(disk), pauses.append)
    assert caught.value.code == "image_download_failed"
    assert step["url"] in caught.value.message
    assert "HTTP 503" in caught.value.message
    assert PATIENCE - 10 < sum(pauses) < PATIENCE + 10
    assert Path(disk.path).read_bytes()[:MIB] == bytes(MIB)


def test_an_image_that_is_not_there_leaves_the_disk_alone(
    side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work], pauses: list[float]
) -> None:
    step = serve(side, image())
    del side.files[PATH]
    disk = used_disk(tmp_path / "disk", 16 * MIB)
    before = Path(disk.path).read_bytes()
    with pytest.raises(StepFailed, match="HTTP 404"):
        write_image(step, work_on(disk), pauses.append)
    assert Path(disk.path).read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sha256": "0" * 64}, "sha256 is"),
        ({"image_bytes": 5 * MIB}, "larger than the 5242880 bytes"),
        ({"image_bytes": 11 * MIB}, "has 10485760 bytes, should have 11534336"),
    ],
)
def test_what_is_not_the_image_does_not_stay(
    wrong: dict[str, Any], says: str, side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work]
) -> None:
    disk = used_disk(tmp_path / "disk", 16 * MIB)
    with pytest.raises(StepFailed, match=says) as caught:
        write_image(serve(side, image()) | wrong, work_on(disk))
    assert caught.value.code == "image_corrupt"
    assert Path(disk.path).read_bytes()[:MIB] == bytes(MIB)


def test_another_length_than_promised_is_noticed_before_anything_is_written(
    side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work]
) -> None:
    disk = used_disk(tmp_path / "disk", 16 * MIB)
    before = Path(disk.path).read_bytes()
    step = serve(side, image())
    with pytest.raises(StepFailed, match="the file has") as caught:
        write_image(step | {"download_bytes": step["download_bytes"] + 1}, work_on(disk))
    assert caught.value.code == "image_corrupt"
    assert Path(disk.path).read_bytes() == before


def test_bytes_that_do_not_decompress_are_a_corrupt_image(
    side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work]
) -> None:
    step = serve(side, os.urandom(6 * MIB))
    spoilt = side.files[PATH][: 2 * MIB] + os.urandom(4 * MIB)
    side.files[PATH] = spoilt
    step |= {"sha256": hashlib.sha256(spoilt).hexdigest(), "download_bytes": len(spoilt)}
    disk = used_disk(tmp_path / "disk", 16 * MIB)
    with pytest.raises(StepFailed, match="does not decompress") as caught:
        write_image(step, work_on(disk))
    assert caught.value.code == "image_corrupt"


def test_a_disk_that_takes_no_more_is_a_failed_write(
    side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work], loop: Callable[..., Path]
) -> None:
    data = os.urandom(6 * MIB)
    device = loop(Path(file_disk(tmp_path / "disk", 4 * MIB).path))
    disk = file_disk(tmp_path / "other", 16 * MIB)._replace(name=device.name, path=str(device))
    for form in ("raw", "raw.zst"):
        with pytest.raises(StepFailed, match="No space left") as caught:
            write_image(serve(side, data, form), work_on(disk))
        assert caught.value.code == "write_failed"


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(
    side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work]
) -> None:
    disk = used_disk(tmp_path / "disk", 4 * MIB)
    before = Path(disk.path).read_bytes()
    with pytest.raises(StepFailed) as caught:
        write_image(serve(side, image()), work_on(disk))
    assert caught.value.code == "disk_too_small"
    for part in (disk.path, "4 MiB", "10 MiB"):
        assert part in caught.value.message
    assert Path(disk.path).read_bytes() == before
    assert side.ranges == []


def test_an_abort_stops_a_download_that_hangs(
    side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work], abort: Abort
) -> None:
    ended = threading.Event()

    def hang() -> None:
        threading.Thread(target=abort.ask, args=("not wanted any more",)).start()
        ended.wait(20)

    side.on_image = hang
    with pytest.raises(Aborted, match="not wanted any more"):
        write_image(serve(side, image()), work_on(file_disk(tmp_path / "disk", 16 * MIB)))
    ended.set()


def test_an_unknown_format_is_said_so(side: ControllerSide, tmp_path: Path, work_on: Callable[..., Work]) -> None:
    with pytest.raises(StepFailed, match="'qcow2'") as caught:
        write_image(serve(side, image()) | {"format": "qcow2"}, work_on(file_disk(tmp_path / "disk", 16 * MIB)))
    assert caught.value.code == "agent_error"
