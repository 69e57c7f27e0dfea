# SPDX-License-Identifier: GPL-3.0-or-later
"""How names are answered: what was set by the API, else what the settings of the controller say."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from metalwright.config import Settings
from metalwright.network import model, notation
from metalwright.store.models import Resolver

THE_ONE = 1
"""Its row."""
HIGHEST_TTL = 2**31 - 1
"""RFC 2181 section 8."""
FIELDS = ("forwarders", "query_from", "recurse_from", "ttl")


def read(session: Session, settings: Settings) -> model.Resolver:
    """The resolver as it is to be."""
    row = session.get(Resolver, THE_ONE)
    default = model.Resolver(forwarders=tuple(settings.dns.forwarders))
    if row is None:
        return default
    return model.Resolver(
        default.forwarders if row.forwarders is None else tuple(row.forwarders),
        tuple(row.query_from or ()),
        tuple(row.recurse_from or ()),
        default.ttl if row.ttl is None else row.ttl,
    )


def validate(given: dict[str, Any]) -> dict[str, Any]:
    """The columns that fields come to; None is what the settings say. Raises ``Invalid``: ``address_invalid, cidr_invalid``."""
    found: dict[str, Any] = {}
    for field, value in given.items():
        if value is None or field == "ttl":
            found[field] = value
        elif field == "forwarders":
            found[field] = notation.addresses(field, value)
        else:
            found[field] = notation.networks(field, value)
    return found
