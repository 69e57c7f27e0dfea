# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests about images carry, and images as the API shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from metalwright.api.endpoint import Schema
from metalwright.api.listing import Page
from metalwright.api.operation_schema import Failure
from metalwright.api.shapes import moment
from metalwright.config import Settings
from metalwright.errors import Invalid
from metalwright.store.models import Image


class ImageCreate(Schema):
    """An image to import."""

    name: str = Field(max_length=127, description="Lower case letters, digits, . _ - and /, for example debian/12.")
    source: str = Field(
        min_length=1,
        max_length=2048,
        description="http(s) URL, or path of a file below [images] import_dir in the settings: raw or qcow2, .gz, .xz, .zst.",
    )
    sha256: Annotated[str, Field(pattern="^[0-9A-Fa-f]{64}$"), AfterValidator(str.lower)] | None = Field(
        None, description="SHA-256 of the source, in hex."
    )
    replace: bool = Field(False, description="Whether a ready image of that name may be replaced, once the import is complete.")


class ImageList(Page):
    """Filters of the list of images."""

    status: list[Literal["importing", "ready", "failed"]] = Field([], description="Any of these.")


class ImageView(TypedDict):
    """An image. ``content_sha256`` is that of the file machines are given; ``progress`` is a percentage while it is imported.

    A ready image with a ``progress`` is being replaced; with a ``failure``, it was not, and is what it was.
    """

    id: str
    name: str
    status: Literal["importing", "ready", "failed"]
    progress: int | None
    failure: Failure | None
    arch: str
    firmware: list[str]
    format: str | None
    source: str | None
    source_sha256: str | None
    content_sha256: str | None
    stored_bytes: int | None
    image_bytes: int | None
    created_at: str
    updated_at: str


def show(image: Image) -> dict[str, object]:
    """An image for the API."""
    shown: dict[str, object] = {name: getattr(image, name) for name in ImageView.__annotations__}
    shown.update(created_at=moment(image.created_at), updated_at=moment(image.updated_at))
    return shown


def checked_source(source: str, settings: Settings) -> str:
    """A source that the API may import from, in its normal form.

    Files are read with the rights of the controller, so only those below ``[images] import_dir`` are. Raises ``Invalid``:
    ``image_source_refused``, ``image_source_missing``.
    """
    allowed = settings.images.import_dir
    try:
        parts = urlsplit(source if "://" in source else "")
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return source
        path = Path(unquote(parts.path)) if parts.scheme else Path(source)
        resolved = (allowed / path).resolve() if allowed else None
        there = resolved is not None and resolved.is_file()
    except (ValueError, OSError):
        raise Invalid("image_source_refused", "The source is no URL or path that can be read.", "Look at it closely.") from None
    if resolved is None or allowed is None or parts.scheme not in ("", "file"):
        hint = f"Files must lie below {allowed}." if allowed else "The setting [images] import_dir allows files of one directory."
        raise Invalid("image_source_refused", "An image is imported from an http or https URL.", hint)
    if not resolved.is_relative_to(allowed.resolve()):
        raise Invalid("image_source_refused", f"Files are imported from below {allowed} only.", "Copy the image there first.")
    if not there:
        raise Invalid("image_source_missing", f"There is no such file below {allowed}.", "Copy the image there first.")
    return str(resolved)
