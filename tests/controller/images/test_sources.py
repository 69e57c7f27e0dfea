# SPDX-License-Identifier: GPL-3.0-or-later
"""Import from HTTP: broken downloads are resumed, servers that fail are named, passwords are not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from image_server import Behaviour, Server

from metalwright.errors import MetalwrightError
from metalwright.images.importer import import_image
from metalwright.images.sources import TRIES

MIB = 1 << 20


def fetch(url: str, target: Path) -> int:
    return import_image(url, sha256=None, target=target, progress=lambda *_: None).image_bytes


def refused(url: str, target: Path) -> MetalwrightError:
    with pytest.raises(MetalwrightError) as caught:
        fetch(url, target)
    assert not list(target.iterdir())
    return caught.value


def test_a_disk_is_fetched(disk: Path, target: Path, server: Server) -> None:
    assert fetch(server.serve("disk.raw", Behaviour(disk.read_bytes())), target) == 12 * MIB


def test_a_broken_download_goes_on_where_it_broke(disk: Path, target: Path, server: Server, quick: list[float]) -> None:
    file = Behaviour(disk.read_bytes(), break_at=[3 * MIB, 2 * MIB])
    assert fetch(server.serve("disk.raw", file), target) == 12 * MIB
    assert file.asked == [None, f"bytes={3 * MIB}-", f"bytes={5 * MIB}-"]
    assert quick == [1.0, 1.0]


def test_a_server_that_dies_for_good_is_given_up_by_name(disk: Path, target: Path, server: Server, quick: list[float]) -> None:
    file = Behaviour(disk.read_bytes(), break_at=[3 * MIB] + [0] * 20)
    url = server.serve("disk.raw", file)
    error = refused(url, target)
    assert error.code == "image_source_unreachable"
    assert url in error.message
    assert str(3 * MIB) in error.message
    assert len(file.asked) == TRIES
    assert quick == [1.0, 2.0, 4.0, 8.0]


def test_a_download_that_can_not_be_resumed_is_given_up_at_once(disk: Path, target: Path, server: Server) -> None:
    file = Behaviour(disk.read_bytes(), break_at=[3 * MIB], ranges=False)
    assert refused(server.serve("disk.raw", file), target).code == "image_source_unreachable"
    assert len(file.asked) == 1


def test_two_halves_of_different_files_are_never_joined(
    disk: Path, target: Path, server: Server, quick: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Behaviour(disk.read_bytes(), break_at=[3 * MIB])
    url = server.serve("disk.raw", file)

    def replaced(seconds: float) -> None:
        file.etag = '"two"'

    monkeypatch.setattr("metalwright.images.sources.HttpSource.pause", staticmethod(replaced))
    error = refused(url, target)
    assert error.code == "image_source_unreachable"
    assert "changed" in error.message


@pytest.mark.parametrize(("status", "code"), [(404, "image_not_found"), (403, "image_source_unreachable")])
def test_an_answer_that_will_not_change_is_taken_at_once(status: int, code: str, target: Path, server: Server) -> None:
    file = Behaviour(b"", status=status)
    error = refused(server.serve("disk.raw", file), target)
    assert error.code == code
    assert str(status) in error.message
    assert len(file.asked) == 1


def test_a_server_in_trouble_is_asked_again(target: Path, server: Server, quick: list[float]) -> None:
    file = Behaviour(b"", status=503)
    error = refused(server.serve("disk.raw", file), target)
    assert (error.code, len(file.asked)) == ("image_source_unreachable", TRIES)
    assert "503" in error.message


def test_nobody_there(target: Path, quick: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = refused(f"http://someone:sesame@127.0.0.1:{port}/disk.raw?token=sesame", target)
    assert error.code == "image_source_unreachable"
    assert f"http://127.0.0.1:{port}/disk.raw" in error.message
    assert "sesame" not in str(error.as_dict())


def test_other_kinds_of_urls_are_not_read(target: Path) -> None:
    with pytest.raises(MetalwrightError) as caught:
        fetch("ftp://127.0.0.1/disk.raw", target)
    assert caught.value.code == "image_source_unreachable"
