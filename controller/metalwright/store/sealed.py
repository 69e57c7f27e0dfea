# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns that hold credentials or user-data: encrypted at rest by a key that lies outside the database.

The key is a file, ``<data_dir>/secret.key``, readable by its owner only; a copy of the database alone gives nothing away. The
file may hold several keys, one a line: the first encrypts, all decrypt (Fernet: AES-128-CBC with HMAC-SHA256, as the package
``cryptography`` has it), so a key is changed by putting a new one on top.
Empty values stand in clear: they tell nothing, and lists need not decrypt them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Dialect, Text, cast, select
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeDecorator

from metalwright.errors import Unavailable
from metalwright.store.base import Base

JsonValue = dict[str, Any] | list[Any]
"""What a sealed column holds."""

_EMPTY = ("{}", "[]")
_keys: list[Fernet] = []


def unlock(path: Path, *, new: bool = False) -> None:
    """Use the keys of a file from now on, in this process; ``new``: a file that is not there is made, with a fresh key.

    Raises ``Unavailable``: ``secret_key_missing`` when it is not there and not to be made, ``secret_key_refused`` when it can be
    neither read nor made, or holds no key.
    """
    if not new and not path.exists():
        raise Unavailable(
            "secret_key_missing",
            f"There is no key file {path}, and the database holds what was encrypted with one.",
            "Copy secret.key from the other controller of this database, or restore it from the backup. If it is lost for good, "
            "docs/how-to/lost-key.md tells how to go on without.",
        )
    try:
        if new:
            _make(path)
        lines = path.read_text(encoding="ascii").split()
        fresh = [Fernet(line) for line in lines]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds something that is no key"
        raise Unavailable("secret_key_refused", f"The key file {path} can not be used: {reason}.", "Restore it.") from None
    if not fresh:
        raise Unavailable("secret_key_refused", f"The key file {path} is empty.", "Restore it from the backup.")
    _keys[:] = fresh


def _make(path: Path) -> None:
    """Make the file whole or not at all, also when two processes do so at once."""
    if path.exists():
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    try:
        fresh.write_bytes(Fernet.generate_key() + b"\n")
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        fresh.unlink()


def samples(session: Session) -> list[str]:
    """One value as it is stored of every sealed column that has any; columns of an empty database have none."""
    columns = [column for table in Base.metadata.sorted_tables for column in table.columns if isinstance(column.type, Sealed)]
    stored = [cast(column, Text) for column in columns]
    found = (session.scalar(select(text).where(text.not_in(_EMPTY)).limit(1)) for text in stored)
    return [text for text in found if text is not None]


def unseal(value: str) -> JsonValue:
    """Decrypt one stored value. Raises ``Unavailable`` (``secret_key_wrong``, ``secret_key_missing``: no key was unlocked)."""
    try:
        opened: JsonValue = json.loads(value if value in _EMPTY else _fernet().decrypt(value))
    except InvalidToken:
        hint = "Restore secret.key that belongs to this database, or copy it from another controller of it."
        raise Unavailable("secret_key_wrong", "Credentials in the database were encrypted with another key.", hint) from None
    return opened


class Sealed(TypeDecorator[JsonValue]):
    """A dict or a list that is encrypted before the database sees it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: JsonValue | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Encrypt. Raises ``Unavailable`` (``secret_key_missing``) when no key was unlocked."""
        if value is None:
            return None
        text = json.dumps(value)
        return text if text in _EMPTY else _fernet().encrypt(text.encode()).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> JsonValue | None:  # noqa: ARG002
        """Decrypt. Raises what ``unseal`` raises."""
        return None if value is None else unseal(value)


def _fernet() -> MultiFernet:
    if not _keys:
        raise Unavailable("secret_key_missing", "No key for credentials was unlocked.", "Start through the command metalwright.")
    return MultiFernet(_keys)
