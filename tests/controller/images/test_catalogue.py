# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue: names are unique, a failed import may be tried again, content goes with its last image."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalwright.config import Settings
from metalwright.errors import Conflict, Invalid, MetalwrightError, NotFound
from metalwright.images import catalogue
from metalwright.images.importer import Imported, import_image
from metalwright.store import Store

IMPORTED = Imported("ab" * 32, 100, 1024, "raw.zst", ["bios"], "amd64")


def test_an_image_is_found_by_name_and_by_id(store: Store, settings: Settings) -> None:
    with store.write() as session:
        image = catalogue.add(session, "debian/12", IMPORTED, source="https://me:sesame@example.net/disk.raw")
    with store.session() as session:
        assert catalogue.find(session, "debian/12").id == image.id
        assert catalogue.find(session, image.id).name == "debian/12"
        assert catalogue.find(session, image.id).source == "https://example.net/disk.raw"
        with pytest.raises(NotFound) as caught:
            catalogue.find(session, "debian/13")
    assert caught.value.code == "image_not_found"


@pytest.mark.parametrize("name", ["", "Debian", "debian 12", "/debian", "debian/", "../debian", "d" * 128])
def test_names_that_are_none(store: Store, name: str) -> None:
    with store.write() as session, pytest.raises(Invalid) as caught:
        catalogue.add(session, name, IMPORTED, source="disk.raw")
    assert caught.value.code == "image_name_invalid"


def test_a_name_is_given_once_but_a_failed_import_may_be_tried_again(store: Store) -> None:
    with store.write() as session:
        first = catalogue.begin(session, "debian/12", source="disk.raw", sha256=None)
        with pytest.raises(Conflict) as caught:
            catalogue.begin(session, "debian/12", source="disk.raw", sha256=None)
        assert caught.value.code == "image_exists"
        catalogue.fail(first, MetalwrightError("image_corrupt", "damaged"))
        assert first.failure is not None
        again = catalogue.begin(session, "debian/12", source="disk.raw", sha256=None)
        assert (again.id, again.status, again.failure) == (first.id, "importing", None)


def test_content_is_removed_with_the_last_image_that_has_it(store: Store, settings: Settings, disk: Path) -> None:
    imported = import_image(disk, sha256=None, target=settings.images_dir, progress=lambda *_: None)
    with store.write() as session:
        one = catalogue.add(session, "one", imported, source=disk)
        two = catalogue.add(session, "two", imported, source=disk)
        assert catalogue.delete(session, one) is None
        content = catalogue.delete(session, two)
    assert content == imported.content_sha256
    catalogue.remove_content(settings, content)
    catalogue.remove_content(settings, content)
    assert not list(settings.images_dir.iterdir())
