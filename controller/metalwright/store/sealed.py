# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns that hold credentials: encrypted at rest by a key that lies outside the database.

The key is a file, ``<data_dir>/secret.key``, readable by its owner only; a copy of the database alone gives nothing away. The
file may hold several keys, one a line: the first encrypts, all decrypt (Fernet: AES-128-CBC with HMAC-SHA256, as the package
``cryptography`` has it), so a key is changed by putting a new one on top.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator

from metalwright.errors import Unavailable

_keys: list[Fernet] = []


def unlock(path: Path) -> None:
    """Use the keys of a file from now on, in this process; a file that is not there is made, with a fresh key.

    Raises ``Unavailable`` (``secret_key_refused``) when it can be neither read nor made, or holds no key.
    """
    try:
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


class Sealed(TypeDecorator[dict[str, Any]]):
    """A dict that is encrypted before the database sees it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Encrypt. Raises ``Unavailable`` (``secret_key_missing``) when no key was unlocked."""
        return None if value is None else _fernet().encrypt(json.dumps(value).encode()).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:  # noqa: ARG002
        """Decrypt. Raises ``Unavailable`` (``secret_key_wrong``) when the key is another one."""
        if value is None:
            return None
        try:
            opened: dict[str, Any] = json.loads(_fernet().decrypt(value))
        except InvalidToken:
            hint = "Restore secret.key that belongs to this database."
            raise Unavailable("secret_key_wrong", "Credentials in the database were encrypted with another key.", hint) from None
        return opened


def _fernet() -> MultiFernet:
    if not _keys:
        raise Unavailable("secret_key_missing", "No key for credentials was unlocked.", "Start through the command metalwright.")
    return MultiFernet(_keys)
