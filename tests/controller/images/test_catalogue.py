# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue: names are unique, a failed import may be tried again, a ready image is replaced or stays."""

from __future__ import annotations

import pytest

from metalwright.errors import Conflict, Invalid, MetalwrightError, NotFound
from metalwright.images import catalogue
from metalwright.images.importer import Imported
from metalwright.store import Store

IMPORTED = Imported("ab" * 32, 100, 1024, "raw.zst", ["bios"], "amd64")


def test_an_image_is_found_by_name_and_by_id(store: Store) -> None:
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
        assert caught.value.code == "image_importing"
        catalogue.fail(first, MetalwrightError("image_corrupt", "damaged"))
        assert first.failure is not None
        again = catalogue.begin(session, "debian/12", source="disk.raw", sha256=None)
        assert (again.id, again.status, again.failure) == (first.id, "importing", None)


def test_a_ready_image_is_what_it_was_until_it_is_replaced(store: Store) -> None:
    other = Imported("cd" * 32, 100, 1024, "raw.zst", ["uefi"], "amd64")
    with store.write() as session:
        image = catalogue.add(session, "debian/12", IMPORTED, source="disk.raw")
        with pytest.raises(Conflict) as caught:
            catalogue.begin(session, "debian/12", source="new.raw", sha256=None)
        assert caught.value.code == "image_exists"
        again = catalogue.begin(session, "debian/12", source="new.raw", sha256="0" * 64, replace=True)
        assert (again.id, again.status, again.content_sha256) == (image.id, "ready", "ab" * 32)
        catalogue.fail(again, MetalwrightError("image_checksum_mismatch", "another checksum"))
        assert (image.status, image.source, image.importing) == ("ready", "disk.raw", False)
        assert image.failure is not None
        catalogue.begin(session, "debian/12", source="new.raw", sha256=None, replace=True)
        catalogue.complete(image, other, source="new.raw", sha256=None)
        assert (image.status, image.source, image.content_sha256) == ("ready", "new.raw", "cd" * 32)
        assert (image.failure, image.importing) == (None, False)
