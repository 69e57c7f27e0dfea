# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools: groups of machines that share defaults. A machine is in the pool that its ``pool`` names, row or no row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from sqlalchemy.orm import Session

from metalwright.store.models import Machine, Pool

Erase = Literal["quick", "full", "secure"]
"""How a release erases. quick: signatures and both ends of all disks; full: every block; secure: the drive's own erase where it
has one, else full."""
DEFAULT_ERASE: Erase = get_args(Erase)[0]


def with_erase(session: Session, machine: Machine, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a release with ``erase`` set: as asked for, else what the machine's pool says at this moment.

    They are stored with the operation, so that a pool that changes later changes nothing under way.
    """
    if parameters.get("erase"):
        return dict(parameters)
    pool = session.get(Pool, machine.pool)
    return {**parameters, "erase": pool.erase if pool is not None else DEFAULT_ERASE}
