# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands do on the controller's own host, straight in its database and files."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import make_url, select

from metalwright.api import image_schema
from metalwright.api.auth import issue
from metalwright.cli.client import client_file, read_client_file
from metalwright.config import Settings, load
from metalwright.errors import NotFound
from metalwright.images import catalogue
from metalwright.images.importer import Imported
from metalwright.serve.data import prepare
from metalwright.store import Store
from metalwright.store.base import utcnow
from metalwright.store.events import record
from metalwright.store.models import ApiToken


def open_controller(config: Path | None) -> tuple[Settings, Store]:
    """Settings and database of this host's controller, which ``metalwright init`` has made.

    Its configuration file is the one given, else that of METALWRIGHT_CONFIG, else the one this user's client file names, else the
    usual one. Raises ``NotFound`` (``no_controller``), and what ``config.load`` and ``serve.data.prepare`` raise.
    """
    settings = load(config or _known_config())
    database = make_url(settings.database)
    if database.get_backend_name() == "sqlite" and not Path(database.database or "").is_file():
        message = f"There is no controller on this host: its database {database.database} does not exist."
        raise NotFound("no_controller", message, "Set one up: 'metalwright init'. Or name its file: --config FILE.")
    return settings, prepare(settings)


def _known_config() -> Path | None:
    if os.environ.get("METALWRIGHT_CONFIG"):
        return None  # ``load`` looks there itself
    saved = read_client_file(client_file(os.environ)).get("config")
    return Path(saved) if saved else None


def create_token(store: Store, name: str, life: timedelta | None = None) -> str:
    """Make a token and return its text. Raises ``Conflict`` (``name_taken``)."""
    with store.write() as session:
        now = utcnow()
        _, raw = issue(session, name, now=now, expires_at=now + life if life else None)
        record(session, "token.created", f"token {name} created on the controller's host", data={"token": name})
    return raw


def list_tokens(store: Store) -> list[dict[str, Any]]:
    """Names and dates (ISO 8601), by name."""
    with store.session() as session:
        return [
            {
                "name": token.name,
                "created_at": token.created_at.isoformat(),
                "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
                "expires_at": token.expires_at.isoformat() if token.expires_at else None,
            }
            for token in session.scalars(select(ApiToken).order_by(ApiToken.name))
        ]


def revoke_token(store: Store, name: str) -> None:
    """Delete a token. Raises ``NotFound`` (``token_not_found``)."""
    with store.write() as session:
        token = session.scalar(select(ApiToken).where(ApiToken.name == name))
        if token is None:
            raise NotFound("token_not_found", f"There is no token {name}.", "'metalwright token list' lists them.")
        session.delete(token)
        record(session, "token.deleted", f"token {name} revoked on the controller's host", data={"token": name})


def check_image_name(store: Store, name: str, *, replace: bool) -> None:
    """See to it before the work that a new image may have this name. Raises what ``images.catalogue.begin`` raises."""
    with store.session() as session:  # never committed
        catalogue.begin(session, name, source="", sha256=None, replace=replace)


def add_image(
    store: Store, name: str, imported: Imported, *, source: str | Path, sha256: str | None, replace: bool
) -> dict[str, Any]:
    """Put an image whose file is there into the catalogue; returns it as the API shows it."""
    with store.write() as session:
        image = catalogue.add(session, name, imported, source=source, sha256=sha256, replace=replace)
        record(session, "image.ready", f"image {name} was added on the controller's host", data={"image": image.id})
        return dict(image_schema.show(image))
