# SPDX-License-Identifier: GPL-3.0-or-later
"""``/rules``: what follows for machines from their hardware."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from flask import Blueprint
from pydantic import Field, model_validator
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session
from typing_extensions import TypedDict

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, Schema, endpoint
from metalwright.api.listing import Page, number_in, page
from metalwright.api.machine_schema import BulkError, MachineFilter
from metalwright.api.machines import filters
from metalwright.api.machines import find as find_machine
from metalwright.api.shapes import Listing
from metalwright.errors import Invalid, MetalwrightError, NotFound
from metalwright.lifecycle import rules as lifecycle_rules
from metalwright.lifecycle.allocation import WORD, Word
from metalwright.lifecycle.expression import LENGTH, parse
from metalwright.lifecycle.rules import Actions, Applied
from metalwright.store.events import record
from metalwright.store.models import Rule

rules = Blueprint("rules", __name__)

SHOWN_MATCHES = 1000
"""Names in the answer to a PUT, at most."""


class RulePut(Schema):
    """What a rule should be; what is not named gets its default."""

    when: str = Field(
        min_length=1, max_length=LENGTH, description="Condition over the hardware: memory >= 64GiB and nic.vendor ~ Mellanox"
    )
    actions: Actions = Field(description="What is done to the machines that fit.")
    position: int = Field(100, ge=0, le=1_000_000, description="Rules are applied by position, then by name.")
    enabled: bool = Field(True, description="Whether it is applied when an inventory arrives.")


class RuleView(TypedDict):
    """A rule."""

    name: str
    position: int
    when: str
    actions: dict[str, Any]
    enabled: bool
    created_at: str
    updated_at: str


class RuleChanged(RuleView):
    """A rule after a request; ``changed`` is false when it was like that already.

    ``matches`` names machines whose stored inventory fits, the first thousand; nothing was done to them.
    """

    changed: bool
    matches: list[str]


class Match(TypedDict):
    """A machine that a rule fits."""

    machine: str


class RulesApply(Schema):
    """Which rules are applied again to which machines. Without machines and filter: to all that have an inventory."""

    machines: list[str] | None = Field(None, min_length=1, max_length=1000, description="Names or identifiers.")
    filter: MachineFilter | None = Field(None, description="Instead of names.")
    rules: Annotated[list[Word], Field(max_length=1000)] = Field([], description="Names of rules; empty: all that are enabled.")

    @model_validator(mode="after")
    def _says_which(self) -> RulesApply:
        if self.machines is not None and self.filter is not None:
            raise ValueError("give either machines or filter")
        return self


class Before(TypedDict):
    """A field that rules changed."""

    before: Any
    after: Any


class Refused(TypedDict):
    """What a rule could not do."""

    rule: str
    action: str
    code: str
    message: str


class RulesOnMachine(TypedDict):
    """What became of one machine, by the name it was asked by: rules that fit, what is otherwise now, what could not be done."""

    machine: str
    matched: list[str]
    changes: dict[str, Before]
    refused: list[Refused]
    error: BulkError | None


class RulesApplied(TypedDict):
    """The answer for each machine, in the order they were named or by name; ``changed`` counts those that are otherwise now."""

    items: list[RulesOnMachine]
    changed: int


@endpoint(rules, "GET", "/rules", query=Page, answers={200: Listing[RuleView]})
def list_rules(*, query: Page) -> Reply:
    """List rules in the order in which they are applied."""
    fields = query.chosen(RuleView.__annotations__)
    statement = select(Rule).order_by(Rule.position, Rule.name).limit(query.limit + 1)
    if (last := query.after(2)) is not None:
        statement = statement.where(tuple_(Rule.position, Rule.name) > (number_in(last[0]), last[1]))
    with context().store.session() as session:
        found = session.scalars(statement).all()
    items = [{name: value for name, value in _show(rule).items() if name in fields} for rule in found[: query.limit]]
    return page(found, query.limit, items, lambda rule: (str(rule.position), rule.name))


@endpoint(rules, "GET", "/rules/<name>", answers={200: RuleView}, errors=(404,))
def get_rule(name: str) -> Reply:
    """Show a rule."""
    with context().store.session() as session:
        return _show(_find(session, name))


@endpoint(rules, "GET", "/rules/<name>/matches", query=Page, answers={200: Listing[Match]}, errors=(404,))
def list_matches(name: str, *, query: Page) -> Reply:
    """List the machines whose stored inventory the rule fits, whether it is enabled or not."""
    fields = query.chosen(Match.__annotations__)
    with context().store.session() as session:
        expression = parse(_find(session, name).when)
        last = query.after(1)
        found = lifecycle_rules.matching(session, expression, last[0] if last else "", query.limit + 1)
    items = [{"machine": machine} if fields else {} for machine in found[: query.limit]]
    return page(found, query.limit, items, lambda machine: (machine,))


@endpoint(rules, "PUT", "/rules/<name>", body=RulePut, query=Change, answers={200: RuleChanged})
def put_rule(name: str, *, body: RulePut, query: Change) -> Reply:
    """Make a rule be like that. It holds for inventories that arrive from now on; ``/rules/apply`` is for those that are here."""
    if not WORD.fullmatch(name):
        raise Invalid("invalid_request", "The name of a rule is 1 to 63 letters, digits, dots, hyphens and underscores.")
    expression = parse(body.when)
    wished = {"when": body.when, "actions": body.actions.stored(), "position": body.position, "enabled": body.enabled}
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        rule = session.scalar(select(Rule).where(Rule.name == name).with_for_update())
        changed = rule is None or any(getattr(rule, column) != value for column, value in wished.items())
        if rule is None:
            rule = Rule(name=name, created_at=here.clock(), updated_at=here.clock())
            session.add(rule)
        if changed:
            for column, value in wished.items():
                setattr(rule, column, value)
            rule.updated_at = here.clock()
            message = f"rule {name} was set by {caller()}: {body.when}"
            record(session, "rule.changed", message, data={"rule": name, **wished}, at=here.clock())
        session.flush()
        return {**_show(rule), "changed": changed, "matches": lifecycle_rules.matching(session, expression, "", SHOWN_MATCHES)}


@endpoint(rules, "DELETE", "/rules/<name>", query=Change, answers={204: None}, errors=(404,))
def delete_rule(name: str, *, query: Change) -> Reply:
    """Delete a rule. What it has set stays as it is."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        rule = _find(session, name, lock=True)
        record(session, "rule.deleted", f"rule {name} was deleted by {caller()}", data={"rule": name}, at=here.clock())
        session.delete(rule)
    return None


@endpoint(rules, "POST", "/rules/apply", body=RulesApply, query=Change, answers={200: RulesApplied}, errors=(404,))
def apply_rules(*, body: RulesApply, query: Change) -> Reply:
    """Apply rules again to inventories that are here, also where a person has changed since what they had set.

    Each machine is a transaction of its own and answers for itself; with ``dry_run`` it says what would be.
    """
    with context().store.session() as session:
        for name in body.rules:
            _find(session, name)
        prepared = lifecycle_rules.prepared(session, body.rules)
        if body.machines is not None:
            chosen = {name: name for name in body.machines}
            idle: list[str] = []
        else:
            where = filters(body.filter) if body.filter is not None else ()
            chosen, idle = lifecycle_rules.touched(session, prepared, *where)
    items = [_apply_to(identifier, name, prepared, query.dry_run) for name, identifier in chosen.items()]
    items += [{"machine": name, "matched": [], "changes": {}, "refused": [], "error": None} for name in idle]
    items.sort(key=lambda item: item["machine"] if body.machines is None else "")
    return {"items": items, "changed": sum(bool(item["changes"]) for item in items)}


def _apply_to(identifier: str, name: str, prepared: Sequence[lifecycle_rules.Prepared], dry_run: bool) -> RulesOnMachine:
    here = context()
    try:
        with here.change(dry_run=dry_run) as session:
            machine = find_machine(session, identifier, lock=True)
            applied = Applied()
            if machine.hardware:
                applied = lifecycle_rules.apply(session, machine, prepared, here.clock(), by=caller(), arrival=False)
    except MetalwrightError as error:
        refusal: Any = error.as_dict()
        return {"machine": name, "matched": [], "changes": {}, "refused": [], "error": refusal}
    changes: dict[str, Before] = {what: {"before": old, "after": new} for what, (old, new) in applied.changes.items()}
    refused: list[Any] = [vars(refusal) for refusal in applied.refused]
    return {"machine": name, "matched": applied.matched, "changes": changes, "refused": refused, "error": None}


def _show(rule: Rule) -> dict[str, Any]:
    shown = {name: getattr(rule, name) for name in ("name", "position", "when", "actions", "enabled")}
    return {**shown, "created_at": rule.created_at.isoformat(), "updated_at": rule.updated_at.isoformat()}


def _find(session: Session, name: str, *, lock: bool = False) -> Rule:
    statement = select(Rule).where(Rule.name == name)
    rule = session.scalar(statement.with_for_update() if lock else statement)
    if rule is None:
        raise NotFound("rule_not_found", f"There is no rule {name}.", "metalwright rule list shows all.", rule=name)
    return rule
