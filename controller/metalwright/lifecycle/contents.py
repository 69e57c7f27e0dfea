# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of images: each is kept as long as an image has its content, or an operation under way is going to write it.

The name of a file is the SHA-256 of its content. A file goes with the last image that has it; what is left over, of an image that
was replaced or of a process that was killed in between, goes when the worker sweeps.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.errors import Unavailable
from metalwright.images import catalogue
from metalwright.images.importer import Imported, stored_path
from metalwright.lifecycle.ending import LIVE
from metalwright.lifecycle.tasks import one_at_a_time
from metalwright.store import Store
from metalwright.store.models import Image, Operation

CONTENTS = 0x6D77_636F
"""Number of the lock of PostgreSQL under which files are taken into use and removed; see ``tasks.one_at_a_time``."""
LEFT_FOR = timedelta(hours=1)
"""A file that nobody needs is left alone for so long: the import that has just made it may be about to say so."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def complete(session: Session, settings: Settings, image: Image, imported: Imported, *, source: str, sha256: str | None) -> None:
    """Make an image ready. Raises ``Unavailable`` (``image_file_missing``) if its file was removed meanwhile with another's."""
    one_at_a_time(session, CONTENTS)
    if not stored_path(settings.images_dir, imported.content_sha256).is_file():
        message = f"The file of image {image.name} was removed together with another image of the same content."
        raise Unavailable("image_file_missing", message, "Import it again.")
    catalogue.complete(image, imported, source=source, sha256=sha256)


def forget(store: Store, settings: Settings, content_sha256: str) -> None:
    """Remove the file of a content, unless something needs it. Machines that are reading it read on to its end."""
    with store.write() as session:
        one_at_a_time(session, CONTENTS)
        if not _needed(session, content_sha256):
            stored_path(settings.images_dir, content_sha256).unlink(missing_ok=True)


def sweep(store: Store, settings: Settings, now: datetime) -> None:
    """Remove the files that nothing needs."""
    for path in settings.images_dir.glob("*"):
        content = path.name.partition(".")[0]
        if _SHA256.fullmatch(content) and path.stat().st_mtime < (now - LEFT_FOR).timestamp():
            with store.session() as session:
                needed = _needed(session, content)
            if not needed:
                forget(store, settings, content)


def _needed(session: Session, content_sha256: str) -> bool:
    if session.scalar(select(Image.id).where(Image.content_sha256 == content_sha256).limit(1)) is not None:
        return True
    live = session.scalars(select(Operation).where(Operation.state.in_(LIVE)))
    return any(content_sha256 in _contents_of(operation) for operation in live)


def _contents_of(operation: Operation) -> set[str | None]:
    steps = [operation.parameters, *(step.get("parameters", {}) for step in operation.next)]
    return {parameters.get("content_sha256") for parameters in steps}
