# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of images: there as long as something needs them, gone when nothing does; a wrong import loses nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from metalwright.config import Settings
from metalwright.errors import Invalid, Unavailable
from metalwright.images import catalogue
from metalwright.images.importer import Imported, stored_path
from metalwright.lifecycle import contents
from metalwright.lifecycle.effects import Effects
from metalwright.lifecycle.tasks import claim
from metalwright.store import Store
from metalwright.store.models import Image, Machine, Operation

OLD, NEW = "ab" * 32, "cd" * 32

Add = Callable[[str, str], None]


def imported(content: str) -> Imported:
    return Imported(content, 100, 1024, "raw.zst", ["bios"], "amd64")


@pytest.fixture
def files(settings: Settings) -> Path:
    settings.images_dir.mkdir()
    for content in (OLD, NEW):
        stored_path(settings.images_dir, content).touch()
    return settings.images_dir


@pytest.fixture
def add(store: Store, files: Path) -> Add:
    def add_image(name: str, content: str) -> None:
        with store.write() as session:
            catalogue.add(session, name, imported(content), source="disk.raw")

    return add_image


def there(files: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in files.iterdir()}


def age(files: Path, clock: Any) -> None:
    before = (clock() - 2 * contents.LEFT_FOR).timestamp()
    for path in files.iterdir():
        os.utime(path, (before, before))


def test_a_file_goes_with_the_last_image_that_has_it(client: FlaskClient, files: Path, add: Add) -> None:
    add("one", OLD)
    add("two", OLD)
    assert client.delete("/api/v1/images/one").status_code == 204
    assert there(files) == {OLD, NEW}
    assert client.delete("/api/v1/images/two?dry_run=true").status_code == 204
    assert there(files) == {OLD, NEW}
    assert client.delete("/api/v1/images/two").status_code == 204
    assert there(files) == {NEW}


def test_what_is_left_over_is_swept_once_it_is_old(store: Store, settings: Settings, clock: Any, files: Path, add: Add) -> None:
    add("one", OLD)
    now = (files / next(iter(files.iterdir())).name).stat().st_mtime
    clock.now = clock.now.fromtimestamp(now, clock.now.tzinfo)
    contents.sweep(store, settings, clock())
    assert there(files) == {OLD, NEW}
    contents.sweep(store, settings, clock() + contents.LEFT_FOR + timedelta(seconds=1))
    assert there(files) == {OLD}


def test_what_an_operation_will_write_is_kept(store: Store, settings: Settings, clock: Any, files: Path) -> None:
    with store.write() as session:
        machine = Machine(name="node-1", state="commissioning")
        session.add(machine)
        session.flush()
        following = [{"kind": "deploy", "parameters": {"content_sha256": NEW}}]
        session.add(Operation(kind="commission", machine_id=machine.id, from_state="new", requested_by="t", next=following))
    age(files, clock)
    contents.sweep(store, settings, clock())
    assert there(files) == {NEW}


def test_an_image_whose_file_was_removed_with_another_is_not_called_ready(store: Store, settings: Settings, files: Path) -> None:
    with store.write() as session:
        image = catalogue.begin(session, "one", source="disk.raw", sha256=None)
    contents.forget(store, settings, OLD)
    with store.write() as session, pytest.raises(Unavailable) as caught:
        contents.complete(session, settings, session.get_one(Image, image.id), imported(OLD), source="disk.raw", sha256=None)
    assert caught.value.code == "image_file_missing"


def test_an_image_that_could_not_be_replaced_is_as_good_as_before(
    client: FlaskClient, store: Store, settings: Settings, clock: Any, add: Add, tmp_path: Path
) -> None:
    add("debian/12", OLD)
    (tmp_path / "import" / "new.raw").write_bytes(b"no disk at all")
    wish = {"name": "debian/12", "source": "new.raw", "sha256": "0" * 64, "replace": True}
    asked = client.post("/api/v1/images", json=wish)
    assert (asked.status_code, asked.json["status"], asked.json["progress"]) == (202, "ready", 0)  # type: ignore[index]
    task = claim(store, "w", clock(), 15)
    assert task is not None
    with pytest.raises(Invalid):
        Effects(settings, store, clock).import_image(task)
    with store.session() as session:
        image = session.scalars(select(Image)).one()
    assert (image.status, image.content_sha256, image.source, image.importing) == ("ready", OLD, "disk.raw", False)
    assert image.failure is not None
    assert OLD in there(settings.images_dir)
