# SPDX-License-Identifier: GPL-3.0-or-later
"""``/power/drivers``: which power drivers there are; ``POST /machines/{m}/validate``: whether a machine's would work."""

from __future__ import annotations

from flask import Blueprint

from metalwright import power
from metalwright.api.context import context
from metalwright.api.endpoint import Change, Reply, endpoint
from metalwright.api.listing import Page, page
from metalwright.api.machine_acts import NoBody
from metalwright.api.machines import find
from metalwright.api.shapes import Listing
from metalwright.power.description import DescribedDriver, describe
from metalwright.power.validation import Verdict, validate

power_drivers = Blueprint("power", __name__)


@endpoint(power_drivers, "GET", "/power/drivers", query=Page, answers={200: Listing[DescribedDriver]})
def list_power_drivers(*, query: Page) -> Reply:
    """List power drivers by name, with their parameters."""
    fields = query.chosen(DescribedDriver.__annotations__)
    last = query.after(1)
    names = [name for name in sorted(power.drivers()) if last is None or name > last[0]]
    found = [describe(power.drivers()[name]) for name in names[: query.limit + 1]]
    items = [{name: value for name, value in driver.items() if name in fields} for driver in found[: query.limit]]
    return page(found, query.limit, items, lambda driver: (driver["name"],))


@endpoint(power_drivers, "POST", "/machines/<name>/validate", body=NoBody, query=Change, answers={200: Verdict}, errors=(404,))
def validate_machine(name: str, *, body: NoBody, query: Change) -> Reply:  # noqa: ARG001 - an empty body is all there may be
    """Say what is wrong with a machine's power parameters: are they complete, does the address resolve, is the BMC there, does it
    let the controller in? Takes up to 15 seconds and changes nothing; a dry run does not even ask the BMC."""
    with context().store.session() as session:
        machine = find(session, name)
    return validate(machine.power_driver, machine.power_parameters, ask=not query.dry_run)
