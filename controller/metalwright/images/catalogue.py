# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue: what images there are. The database knows them by the hash of their content, the directory by the same."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.errors import Conflict, Invalid, MetalwrightError, NotFound
from metalwright.images.importer import Imported, stored_path
from metalwright.images.sources import without_password
from metalwright.store.models import Image

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
_LONGEST_NAME = 127


def path_of(settings: Settings, image: Image) -> Path:
    """Return the file of a ready image on this host. Raises ``Conflict`` (``image_not_ready``)."""
    if image.status != "ready" or image.content_sha256 is None:
        raise Conflict("image_not_ready", f"The image {image.name} is {image.status}.", "Wait for its import.", image=image.name)
    return stored_path(settings.images_dir, image.content_sha256)


def find(session: Session, name_or_id: str) -> Image:
    """Return an image by name or id. Raises ``NotFound`` (``image_not_found``)."""
    image = session.scalar(select(Image).where((Image.name == name_or_id) | (Image.id == name_or_id)))
    if image is None:
        raise NotFound("image_not_found", f"There is no image {name_or_id}.", "See 'metalwright image list'.", image=name_or_id)
    return image


def begin(session: Session, name: str, *, source: str | Path, sha256: str | None) -> Image:
    """Add an image that is being imported: a new name, or one whose import has failed.

    Raises ``Invalid`` (``image_name_invalid``), ``Conflict`` (``image_exists``).
    """
    image = _new_or_failed(session, name)
    image.status = "importing"
    image.progress = 0
    image.failure = None
    image.source = without_password(str(source)) if "://" in str(source) else str(source)
    image.source_sha256 = sha256.lower() if sha256 else None
    session.flush()
    return image


def complete(image: Image, imported: Imported) -> None:
    """Make an image ready."""
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
    """Keep why an import has failed with the image."""
    image.status = "failed"
    image.progress = None
    image.failure = error.as_dict()


def add(session: Session, name: str, imported: Imported, *, source: str | Path, sha256: str | None = None) -> Image:
    """Add an image that is already in the directory. Raises as ``begin``."""
    image = begin(session, name, source=source, sha256=sha256)
    complete(image, imported)
    session.flush()
    return image


def delete(session: Session, image: Image) -> str | None:
    """Remove an image; return the hash of the content that no other image has, whose file can go after the commit."""
    content = image.content_sha256
    session.delete(image)
    session.flush()
    if content is None or session.scalar(select(Image.id).where(Image.content_sha256 == content).limit(1)) is not None:
        return None
    return content


def remove_content(settings: Settings, content_sha256: str) -> None:
    """Remove the file of a content that no image has any more. Machines that are reading it read on to its end."""
    stored_path(settings.images_dir, content_sha256).unlink(missing_ok=True)


def _new_or_failed(session: Session, name: str) -> Image:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise Invalid(
            "image_name_invalid", f"{name!r} is no name of an image.", "Lower case letters, digits, . _ - and /, like debian/12."
        )
    image = session.scalar(select(Image).where(Image.name == name))
    if image is None:
        image = Image(name=name)
        session.add(image)
    elif image.status != "failed":
        raise Conflict("image_exists", f"There is an image {name} already.", "Delete it first, or use another name.", image=name)
    return image
