# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the data directory and the database ready for use: on the first start, and after an upgrade."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from metalwright.config import Settings
from metalwright.errors import Invalid, MetalwrightError, Unavailable
from metalwright.network.domains import keep_default
from metalwright.store import Store, migrate, sealed
from metalwright.store.base import utcnow
from metalwright.store.models import KeyMark
from metalwright.store.turns import one_at_a_time

MODE = 0o750
"""Of the data directory: it holds the database and the key to the credentials in it."""
DATABASE_MODE = 0o640
"""Of SQLite's file, also in a data directory that somebody else has made for everybody; its log files get the same."""
FIRST_KEY = 0x6D77_6B65
"""Number of the lock of PostgreSQL under which a start looks whether it is the first one."""


def prepare(settings: Settings) -> Store:
    """Make directories that are missing, apply migrations that are missing, and return the open database.

    The key to the credentials is made for a database that holds nothing encrypted, and a mark is left there that is; for another
    database it must be there and fit. So of several controllers that start on an empty one only one makes a key.

    Raises ``Unavailable`` (``data_dir_refused``, ``database_refused``, ``database_outdated``, ``secret_key_refused``,
    ``secret_key_missing``, ``secret_key_wrong``), ``Invalid`` (``config_invalid``), or what ``network.domains.keep_default``
    raises for a default domain that cannot be one; no message holds the database's password.
    """
    try:
        for directory in (settings.data_dir, settings.images_dir, settings.boot_dir, settings.run_dir):
            directory.mkdir(mode=MODE, parents=True, exist_ok=True)
    except OSError as error:
        hint = "Run as a user that may write there, or set data_dir to another directory."
        raise Unavailable("data_dir_refused", f"{error.filename} (data_dir) can not be made: {error.strerror}.", hint) from None
    try:
        store = Store(settings.database)
    except (ArgumentError, ImportError) as error:
        hint = "Write it like postgresql+psycopg://user:password@host/metalwright, or leave it out for SQLite."
        raise Invalid("config_invalid", f"database_url can not be used: {type(error).__name__}.", hint) from None
    try:
        _protect(store)
        _look(store, settings)
    except MetalwrightError:
        store.engine.dispose()
        raise
    return store


def _protect(store: Store) -> None:
    if not store.is_sqlite or not store.url.database:
        return
    path = Path(store.url.database)
    try:
        path.parent.mkdir(mode=MODE, parents=True, exist_ok=True)
        path.touch(mode=DATABASE_MODE, exist_ok=True)
    except OSError as error:
        hint = "Look at its owner, and that of its directory."
        raise Unavailable("database_refused", f"The database {path} can not be used: {error.strerror}.", hint) from None


def _look(store: Store, settings: Settings) -> None:
    """Bring the schema up to date, and see that it and the key are those of this database."""
    try:
        migrate.upgrade(store)
        lacking = migrate.missing(store)
        if lacking:
            raise _outdated(store, f"it has no {', '.join(lacking[:5])}")
        with store.write() as session:
            one_at_a_time(session, FIRST_KEY)
            keep_default(session, settings.dns.domain, utcnow())
            samples = sealed.samples(session)
            if any(text.startswith(("{", "[")) for text in samples):
                raise _outdated(store, "it holds in clear what is encrypted now")
            sealed.unlock(settings.secret_key, new=not samples)
            for text in samples:
                sealed.unseal(text)
            if not samples:
                session.add(KeyMark())
    except SQLAlchemyError as error:
        where = store.url.render_as_string(hide_password=True)
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0]
        hint = "Look at the file's owner and the space left, or at the server and its password."
        raise Unavailable("database_refused", f"The database {where} can not be used: {reason}.", hint) from None


def _outdated(store: Store, why: str) -> Unavailable:
    where = store.url.render_as_string(hide_password=True)
    message = f"The database {where} was made by a version before the first release and can not be brought up to date: {why}."
    return Unavailable("database_outdated", message, "Move it away; 'metalwright init' makes a new one.")
