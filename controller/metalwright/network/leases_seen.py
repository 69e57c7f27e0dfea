# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine tells of the leases it has given: the only writer of the table ``lease``, so that one can say who has what."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import case, delete, or_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from metalwright.store.models import Lease


def seen(session: Session, address: str, mac: str | None, until: datetime | None, now: datetime) -> None:
    """An address is on lease to a card until then (None: without end). Told again before its end, it keeps its ``since``.

    One statement, so that two engines of a pair may tell of the same lease at once.
    """
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(Lease).values(address=address, mac=mac, since=now, until=until)
    new = statement.excluded
    same = Lease.mac.is_not_distinct_from(new.mac) & or_(Lease.until.is_(None), Lease.until > now)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Lease.address],
            set_={"mac": new.mac, "until": new.until, "since": case((same, Lease.since), else_=new.since)},
        )
    )


def ended(session: Session, address: str) -> None:
    """An address is on lease no more: it was released, declined or has run out."""
    session.execute(delete(Lease).where(Lease.address == address))
