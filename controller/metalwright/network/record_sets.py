# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that are declared together: what is named is there afterwards, and what is not is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from metalwright.errors import Conflict
from metalwright.network import records
from metalwright.store.models import Domain, Record

Change = tuple[str, Record]
"""What happens to a record: ``created``, ``changed`` or ``deleted``."""


def replace(
    session: Session, domain: Domain, there: Sequence[Record], wished: Sequence[Mapping[str, Any]], default: str, now: datetime
) -> list[Change]:
    """Bring the records ``there``, some of a domain, to those that are wished; answers what that changes.

    What goes is gone before what comes is checked, so that an address can become an alias in one step. ``default`` is the name of
    the default domain. Raises as ``records.validate`` does, and ``Conflict`` (``record_exists``) for what is wished twice.
    """
    coming: dict[tuple[str, str, str], dict[str, Any]] = {}
    for given in wished:
        fields = records.canonical(domain.name, given)
        key = (fields["name"], fields["type"], fields["data"])
        if key in coming:
            message = f"{records.absolute(key[0], domain.name)} {key[1]} {key[2]} is declared twice."
            raise Conflict("record_exists", message, "Declare it once.", name=key[0], type=key[1], data=key[2])
        coming[key] = fields
    changes: list[Change] = []
    for row in there:
        key = (row.name, row.type, row.data)
        if key not in coming:
            changes.append(("deleted", row))
            session.delete(row)
        elif row.ttl != (ttl := coming.pop(key)["ttl"]):
            row.ttl = ttl
            changes.append(("changed", row))
    session.flush()
    for fields in coming.values():
        row = Record(**records.validate(session, domain, fields, default), domain=domain, created_at=now)
        session.add(row)
        session.flush()
        changes.append(("created", row))
    return changes
