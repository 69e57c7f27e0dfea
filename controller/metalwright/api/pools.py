# SPDX-License-Identifier: GPL-3.0-or-later
"""``/pools``: groups of machines and the defaults they share."""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, cursor
from metalwright.api.shapes import Listing
from metalwright.errors import Conflict, Invalid, NotFound
from metalwright.lifecycle.allocation import WORD
from metalwright.lifecycle.pools import DEFAULT_ERASE, Erase
from metalwright.store.events import record
from metalwright.store.models import Machine, Pool

pools = Blueprint("pools", __name__)


class PoolPut(Schema):
    """What a pool should be; what is not named gets its default."""

    description: str = Field("", max_length=1024, description="What it is for.")
    erase: Erase = Field(
        DEFAULT_ERASE,
        description="How a release erases that does not say. quick: signatures and both ends of all disks; full: every block; "
        "secure: the drive's own erase where it has one, else full.",
    )


class PoolView(TypedDict):
    """A pool. ``defined`` is false when it is only the name that machines bear, with the defaults of every pool.

    ``machines`` are counts by state.
    """

    name: str
    description: str
    erase: str
    defined: bool
    machines: dict[str, int]


class PoolChanged(PoolView):
    """A pool after a request; ``changed`` is false when it was like that already."""

    changed: bool


@endpoint(pools, "GET", "/pools", query=Page, answers={200: Listing[PoolView]})
def list_pools(*, query: Page) -> Reply:
    """List pools by name: those that were defined and those that machines are in."""
    fields = query.chosen(PoolView.__annotations__)
    with context().store.session() as session:
        rows = {pool.name: pool for pool in session.scalars(select(Pool))}
        counts = _counts(session)
    names = sorted({*rows, *counts})
    if (last := query.after(1)) is not None:
        names = [name for name in names if name > last[0]]
    views = [_show(rows.get(name) or _default(name), counts.get(name, {}), name in rows) for name in names[: query.limit]]
    items = [{field: view[field] for field in fields} for view in views]
    return {"items": items, "next": cursor((names[query.limit - 1],)) if len(names) > query.limit else None}


@endpoint(pools, "GET", "/pools/<name>", answers={200: PoolView}, errors=(404,))
def get_pool(name: str) -> Reply:
    """Show a pool."""
    with context().store.session() as session:
        pool = session.get(Pool, name)
        counts = _counts(session, name)
        if pool is None and name not in counts:
            raise _not_found(name)
        return _show(pool or _default(name), counts.get(name, {}), pool is not None)


@endpoint(pools, "PUT", "/pools/<name>", body=PoolPut, query=Change, answers={200: PoolChanged})
def put_pool(name: str, *, body: PoolPut, query: Change) -> Reply:
    """Make a pool be like that. Operations under way keep the default that held when they began."""
    if not WORD.fullmatch(name):
        raise Invalid("invalid_request", "The name of a pool is 1 to 63 letters, digits, dots, hyphens and underscores.")
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        pool = session.get(Pool, name, with_for_update=True)
        changed = pool is None or (pool.description, pool.erase) != (body.description, body.erase)
        if pool is None:
            pool = Pool(name=name, created_at=here.clock())
            session.add(pool)
        pool.description, pool.erase = body.description, body.erase
        if changed:
            message = f"pool {name}: erases {body.erase}, set by {caller()}"
            record(session, "pool.changed", message, data={"pool": name, **body.model_dump()}, at=here.clock())
        session.flush()
        return {**_show(pool, _counts(session, name).get(name, {}), True), "changed": changed}


@endpoint(pools, "DELETE", "/pools/<name>", query=Change, answers={204: None}, errors=(404, 409))
def delete_pool(name: str, *, query: Change) -> Reply:
    """Forget a pool and its defaults; no machine may be in it, because it would be erased by another default from then on."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        pool = session.get(Pool, name, with_for_update=True)
        if pool is None:
            raise _not_found(name)
        inside = sum(_counts(session, name).get(name, {}).values())
        if inside:
            message = f"{inside} machines are in pool {name}."
            hint = "Move them first: metalwright machine edit MACHINE --pool OTHER"
            raise Conflict("pool_in_use", message, hint, pool=name, machines=inside)
        record(session, "pool.deleted", f"pool {name} was deleted by {caller()}", data={"pool": name}, at=here.clock())
        session.delete(pool)
    return None


def _not_found(name: str) -> NotFound:
    return NotFound("pool_not_found", f"There is no pool {name}.", f"Make it: metalwright pool set {name}", pool=name)


def _default(name: str) -> Pool:
    return Pool(name=name, description="", erase=DEFAULT_ERASE)


def _counts(session: Session, name: str | None = None) -> dict[str, dict[str, int]]:
    """Machines by pool and state."""
    statement = select(Machine.pool, Machine.state, func.count()).group_by(Machine.pool, Machine.state)
    found: dict[str, dict[str, int]] = {}
    for pool, state, count in session.execute(statement if name is None else statement.where(Machine.pool == name)):
        found.setdefault(pool, {})[state] = count
    return found


def _show(pool: Pool, machines: dict[str, int], defined: bool) -> dict[str, Any]:
    shown = {"name": pool.name, "description": pool.description, "erase": pool.erase}
    return {**shown, "defined": defined, "machines": dict(sorted(machines.items()))}
