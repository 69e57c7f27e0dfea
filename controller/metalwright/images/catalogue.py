# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue: what images there are. The database knows them by the hash of their content, the directory by the same."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.errors import Conflict, Invalid, MetalwrightError, NotFound
from metalwright.images.importer import Imported
from metalwright.images.sources import without_password
from metalwright.store.models import Image

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
_LONGEST_NAME = 127


def find(session: Session, name_or_id: str) -> Image:
    """Return an image by name or id. Raises ``NotFound`` (``image_not_found``)."""
    image = session.scalar(select(Image).where((Image.name == name_or_id) | (Image.id == name_or_id)))
    if image is None:
        raise NotFound("image_not_found", f"There is no image {name_or_id}.", "See 'metalwright image list'.", image=name_or_id)
    return image


def begin(session: Session, name: str, *, source: str | Path, sha256: str | None, replace: bool = False) -> Image:
    """Add an image that is being imported: a new name, or one whose import has failed.

    With ``replace`` it may also be a ready one, which stays what it is until the import is complete. Raises ``Invalid``
    (``image_name_invalid``), ``Conflict`` (``image_exists``, ``image_importing``).
    """
    image = _free(session, name, replace=replace)
    image.progress = 0
    image.failure = None
    if image.status != "ready":
        image.status = "importing"
        _came_from(image, source, sha256)
    session.flush()
    return image


def complete(image: Image, imported: Imported, *, source: str | Path, sha256: str | None) -> None:
    """Make an image ready, with this content."""
    _came_from(image, source, sha256)
    image.status = "ready"
    image.progress = None
    image.failure = None
    image.arch = imported.arch
    image.firmware = list(imported.firmware)
    image.format = imported.format
    image.content_sha256 = imported.content_sha256
    image.stored_bytes = imported.stored_bytes
    image.image_bytes = imported.image_bytes


def fail(image: Image, error: MetalwrightError) -> None:
    """Keep why an import has failed with the image. One that was to be replaced is as ready as it was."""
    image.status = "ready" if image.status == "ready" else "failed"
    image.progress = None
    image.failure = error.as_dict()


def add(
    session: Session, name: str, imported: Imported, *, source: str | Path, sha256: str | None = None, replace: bool = False
) -> Image:
    """Add an image that is already in the directory. Raises as ``begin``."""
    image = begin(session, name, source=source, sha256=sha256, replace=replace)
    complete(image, imported, source=source, sha256=sha256)
    session.flush()
    return image


def _came_from(image: Image, source: str | Path, sha256: str | None) -> None:
    image.source = without_password(str(source)) if "://" in str(source) else str(source)
    image.source_sha256 = sha256.lower() if sha256 else None


def _free(session: Session, name: str, *, replace: bool) -> Image:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise Invalid(
            "image_name_invalid", f"{name!r} is no name of an image.", "Lower case letters, digits, . _ - and /, like debian/12."
        )
    image = session.scalar(select(Image).where(Image.name == name).with_for_update())
    if image is None:
        image = Image(name=name, status="importing")
        session.add(image)
    elif image.importing:
        raise Conflict("image_importing", f"Image {name} is being imported.", "Wait for that.", image=name)
    elif image.status != "failed" and not replace:
        hint = "Use another name, delete it first, or say that it is to be replaced (replace=true, as an option --replace)."
        raise Conflict("image_exists", f"There is an image {name} already.", hint, image=name)
    return image
