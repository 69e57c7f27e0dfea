# SPDX-License-Identifier: GPL-3.0-or-later
"""``/addresses``: who has which address, since when, from us or from DHCP."""

from __future__ import annotations

from ipaddress import ip_address

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict

from metalwright.api.context import context
from metalwright.api.endpoint import Reply, endpoint
from metalwright.api.listing import Page, bad_cursor, cursor
from metalwright.api.shapes import Listing, moment
from metalwright.network import in_use
from metalwright.network.in_use import Source
from metalwright.network.mac import Mac

addresses = Blueprint("addresses", __name__)


class AddressList(Page):
    """Which addresses."""

    subnet: list[str] = Field([], description="Names of subnets.")
    machine: list[str] = Field([], description="Names of machines.")
    mac: list[Mac] = Field([], description="MAC addresses.")
    source: list[Source] = Field([], description="machine, reservation, dhcp.")


class LeaseView(TypedDict):
    """What DHCP gave: to which card, since when, until when (null: without end)."""

    mac: str | None
    since: str
    until: str | None


class AddressView(TypedDict):
    """An address that somebody has.

    ``source``: the address belongs to a ``machine``, is kept by a ``reservation``, or ``dhcp`` gave it to anyone. ``since``:
    when it was reserved or given; null where that is not known. ``name`` is the name it has in DNS, without a domain.
    """

    address: str
    subnet: str | None
    source: str
    mac: str | None
    machine: str | None
    name: str | None
    since: str | None
    lease: LeaseView | None


@endpoint(addresses, "GET", "/addresses", query=AddressList, answers={200: Listing[AddressView]})
def list_addresses(*, query: AddressList) -> Reply:
    """List the addresses that somebody has, in the order of their numbers."""
    fields = query.chosen(AddressView.__annotations__)
    here = context()
    with here.store.session() as session:
        found = in_use.read(session, here.clock())
    for field in ("subnet", "machine", "mac", "source"):
        if wanted := getattr(query, field):
            found = [each for each in found if getattr(each, field) in wanted]
    if (last := query.after(1)) is not None:
        found = [each for each in found if each.place > _place(last[0])]
    items = []
    for each in found[: query.limit]:
        lease = each.lease and {"mac": each.lease.mac, "since": moment(each.lease.since), "until": moment(each.lease.until)}
        view = {**vars(each), "address": str(each.address), "since": moment(each.since), "lease": lease}
        items.append({field: view[field] for field in fields})
    return {"items": items, "next": cursor((str(found[query.limit - 1].address),)) if len(found) > query.limit else None}


def _place(address: str) -> tuple[int, int]:
    try:
        return in_use.place(ip_address(address))
    except ValueError:
        raise bad_cursor() from None
