# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the network go one after the other: two that would each be fine may clash together."""

from __future__ import annotations

from sqlalchemy.orm import Session

from metalwright.store.turns import one_at_a_time, several_at_a_time

NETWORK = 0x6D77_6E77
"""Number of the lock of PostgreSQL under which the network is looked at and changed; see ``store.turns``."""


def alone(session: Session) -> None:
    """Let no other change of the network meet this transaction, and no new name of a machine.

    Lock order: this before rows of subnets, and no row of a machine after it.
    """
    one_at_a_time(session, NETWORK)


def unchanged(session: Session) -> None:
    """Let the network stay as it is until the transaction ends: what depends on it goes on side by side."""
    several_at_a_time(session, NETWORK)
