# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists: ``{"items": [...], "next": cursor or null}``, filtered, cut to the fields asked for, page by page.

A cursor is the sort key of the last item (keyset paging): a page costs the same wherever it lies, and things that come or go
between two pages neither shift nor repeat the others.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from metalwright.api.endpoint import Schema, is_storable
from metalwright.errors import Invalid


class Page(Schema):
    """The query of every list."""

    limit: int = Field(100, ge=1, le=1000, description="Items in an answer at most.")
    cursor: str | None = Field(None, max_length=1024, description="The `next` of the page before.")
    fields: list[str] = Field([], description="Names of fields to answer; all when empty. Separated by commas.")

    def chosen(self, known: Collection[str]) -> list[str]:
        """The fields to answer. Raises ``Invalid`` (``unknown_field``) for one there is not."""
        for field in self.fields:
            if field not in known:
                raise Invalid("unknown_field", "query.fields names a field that does not exist.", f"Fields: {', '.join(known)}.")
        return [name for name in known if name in self.fields] if self.fields else list(known)

    def after(self, parts: int) -> list[str] | None:
        """The sort key to go on after; None at the beginning. Raises ``Invalid`` (``bad_cursor``)."""
        if self.cursor is None:
            return None
        try:
            key = json.loads(base64.urlsafe_b64decode(self.cursor.encode("ascii")))
        except (binascii.Error, UnicodeError, ValueError, RecursionError):
            key = None
        if not isinstance(key, list) or len(key) != parts or not all(isinstance(part, str) and is_storable(part) for part in key):
            raise bad_cursor()
        return key


def bad_cursor() -> Invalid:
    """What is said to one that somebody made up or spoiled."""
    return Invalid("bad_cursor", "The cursor is none of ours.", "Give the `next` of the page before, or none.")


def moment_in(part: str) -> datetime:
    """A moment of a sort key, as ``isoformat`` writes it. Raises ``Invalid`` (``bad_cursor``)."""
    try:
        at = datetime.fromisoformat(part)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):  # the last hours of year 9999, west of Greenwich
        pass
    raise bad_cursor()


def number_in(part: str) -> int:
    """A number of a sort key, as columns of 32 bits hold it. Raises ``Invalid`` (``bad_cursor``)."""
    try:
        number = int(part)
    except ValueError:
        raise bad_cursor() from None
    if abs(number) >= 1 << 31:
        raise bad_cursor()
    return number


def page(rows: Sequence[Any], limit: int, items: list[Any], key: Any) -> dict[str, Any]:
    """An answer of at most ``limit`` items; ``rows`` were asked for with one more, to know whether there is a next page."""
    return {"items": items, "next": cursor(key(rows[limit - 1])) if len(rows) > limit else None}


def cursor(key: Sequence[str]) -> str:
    """A sort key as text that fits into a URL."""
    return base64.urlsafe_b64encode(json.dumps(list(key), separators=(",", ":")).encode()).decode("ascii")
