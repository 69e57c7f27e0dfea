# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules: what follows for a machine from its hardware.

They are applied in the order of ``position`` and ``name`` when an inventory arrives, and again when a person asks for it. Each
sees tags, pool, zone and power driver as those before it left them; the last one to set a thing has it. What rules set is kept
in ``Machine.rules_set``: a field that is otherwise now was changed by a person, and only a request undoes that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from metalwright import power
from metalwright.errors import Conflict, Invalid, MetalwrightError
from metalwright.lifecycle import name_patterns
from metalwright.lifecycle.allocation import Word
from metalwright.lifecycle.deploy import check_hostname_free
from metalwright.lifecycle.expression import Expression, parse
from metalwright.lifecycle.facts import facts
from metalwright.lifecycle.power_settings import set_power
from metalwright.lifecycle.tasks import enqueue
from metalwright.store.events import record
from metalwright.store.models import Machine, Rule

MOST_TAGS = 64
_FACTS = {"tags": "tag", "pool": "pool", "zone": "zone", "power_driver": "power.driver"}
"""What rules set, by the name under which the conditions of those after it see it."""


def _known_driver(name: str) -> str:
    if name not in power.drivers():
        raise ValueError(f"there is no power driver {name}; there are {', '.join(power.drivers())}")
    return name


class Actions(BaseModel):
    """What a rule does to the machines that fit."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    add_tags: list[Word] = Field([], max_length=MOST_TAGS, description="Tags to give.")
    remove_tags: list[Word] = Field([], max_length=MOST_TAGS, description="Tags to take away.")
    pool: Word | None = Field(None, description="Pool to put it into.")
    zone: Word | None = Field(None, description="Zone to put it into.")
    power_driver: Annotated[str, Field(max_length=32), AfterValidator(_known_driver)] | None = Field(
        None, description="Power driver; it is set only if the machine has the parameters that it needs."
    )
    hostname_pattern: Annotated[str, Field(max_length=255), AfterValidator(name_patterns.check)] | None = Field(
        None, description=f"Name to give it, for example r{{rack}}-{{serial}}. Variables: {', '.join(name_patterns.VARIABLES)}."
    )

    @model_validator(mode="after")
    def _does_something(self) -> Actions:
        if not self.stored():
            raise ValueError("names nothing to do")
        if both := {*self.add_tags} & {*self.remove_tags}:
            raise ValueError(f"add_tags and remove_tags both name {sorted(both)[0]}")
        return self

    def stored(self) -> dict[str, Any]:
        """What is set, for the database; equal for equal actions."""
        return self.model_dump(exclude_none=True, exclude_defaults=True)


@dataclass(frozen=True)
class Prepared:
    """A rule, read from the database once for many machines."""

    name: str
    expression: Expression
    actions: Actions


@dataclass(frozen=True)
class Refusal:
    """What a rule could not do, and why."""

    rule: str
    action: str
    code: str
    message: str


@dataclass
class Applied:
    """What rules did to one machine: ``changes`` are before and after by field, ``left`` the fields a person had changed."""

    matched: list[str] = field(default_factory=list)
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    authors: dict[str, str] = field(default_factory=dict)
    """The rule that had the last word, by field; of tags by ``tags.NAME``."""
    left: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def rules(self) -> list[str]:
        """The rules that changed something, in the order in which they were applied."""
        before, after = self.changes.get("tags", ((), ()))
        changed = {*self.changes, *(f"tags.{tag}" for tag in {*before} ^ {*after})}
        authors = {author for what, author in self.authors.items() if what in changed}
        return [name for name in self.matched if name in authors]


def prepared(session: Session, names: Sequence[str] = ()) -> list[Prepared]:
    """The enabled rules, or those of these names, in their order. Raises ``Invalid`` (``rule_unreadable``) naming one."""
    statement = select(Rule).order_by(Rule.position, Rule.name)
    statement = statement.where(Rule.name.in_(names)) if names else statement.where(Rule.enabled)
    return [_read(rule) for rule in session.scalars(statement)]


def _read(rule: Rule) -> Prepared:
    """Rules are checked before they are stored, but by the version that stored them."""
    try:
        return Prepared(rule.name, parse(rule.when), Actions.model_validate(rule.actions))
    except (Invalid, ValidationError) as error:
        why = error.message if isinstance(error, Invalid) else str(error.errors(include_url=False, include_input=False)[0]["msg"])
        message = f"Rule {rule.name}, as it is stored, can not be read: {why}"
        raise Invalid("rule_unreadable", message, "Set it anew, or delete it.", rule=rule.name) from None


def arrived(session: Session, machine: Machine, now: datetime, *, rename: bool = True) -> None:
    """Apply all rules to a machine whose inventory has just been stored; what a person changed since the last time stays.

    ``rename`` is False for a machine that nobody has vouched for yet: no part of its name is its own choice.
    """
    session.flush()
    try:
        rules = prepared(session)
    except Invalid as error:
        message = f"{machine.name}: no rule was applied: {error.message}"
        record(session, "machine.rule_refused", message, machine=machine, data=error.as_dict(), at=now)
    else:
        apply(session, machine, rules, now, by="", arrival=True, rename=rename)


def apply(
    session: Session, machine: Machine, rules: Sequence[Prepared], now: datetime, *, by: str, arrival: bool, rename: bool = True
) -> Applied:
    """Apply rules to a machine in the caller's transaction, and tell it in the event log.

    ``arrival``: an inventory has just come, in the middle of an operation; what people changed stays. Otherwise ``by`` asked for
    it, and name and power driver are changed only while nothing is under way.
    """
    applied = Applied()
    wished = _wished(machine, rules, applied, heed_people=arrival)
    if not rename:
        wished.pop("name", None)
    before = _described(machine)
    _set_tags(machine, wished.pop("tags", {}), applied)
    for name in ("pool", "zone"):
        if name in wished:
            setattr(machine, name, wished[name])
    for name, change in (("power_driver", _change_driver), ("name", _rename)):
        if name not in wished:
            continue
        try:
            wished[name] = change(session, machine, wished[name], free=arrival or machine.operation_id is None)
        except MetalwrightError as error:
            del wished[name]
            applied.refused.append(Refusal(applied.authors[name], name, error.code, error.message))
    machine.rules_set = {**machine.rules_set, **wished}
    after = _described(machine)
    applied.changes = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    _tell(session, machine, applied, before["name"], by, now)
    return applied


def _wished(machine: Machine, rules: Sequence[Prepared], applied: Applied, *, heed_people: bool) -> dict[str, Any]:
    """What the rules want of a machine, by field; tags by name: true to have it, false not to."""
    wished: dict[str, Any] = {}
    seen = facts(machine)
    for rule in rules:
        if not rule.expression.matches(seen):
            continue
        applied.matched.append(rule.name)
        for what, value in _effects(rule.actions):
            if heed_people and _changed_by_people(machine, what):
                applied.left.append(what)
                continue
            applied.authors[what] = rule.name
            if what.startswith("tags."):
                tag = what.removeprefix("tags.")
                wished.setdefault("tags", {})[tag] = value
                seen["tag"] = [*(each for each in seen["tag"] if each != tag), *([tag] if value else [])]
            else:
                wished[what] = value
                if what in _FACTS:
                    seen[_FACTS[what]] = value
    return wished


def _effects(actions: Actions) -> Iterator[tuple[str, Any]]:
    yield from ((f"tags.{tag}", True) for tag in actions.add_tags)
    yield from ((f"tags.{tag}", False) for tag in actions.remove_tags)
    for what in ("pool", "zone", "power_driver"):
        if (value := getattr(actions, what)) is not None:
            yield what, value
    if actions.hostname_pattern is not None:
        yield "name", actions.hostname_pattern


def _changed_by_people(machine: Machine, what: str) -> bool:
    """Whether it is otherwise than rules left it the last time."""
    if what.startswith("tags."):
        tag = what.removeprefix("tags.")
        last = machine.rules_set.get("tags", {}).get(tag)
        return last is not None and last is not (tag in machine.tags)
    last = machine.rules_set.get(what)
    return last is not None and last != getattr(machine, what)


def _described(machine: Machine) -> dict[str, Any]:
    return {
        "name": machine.name,
        "tags": list(machine.tags),
        "pool": machine.pool,
        "zone": machine.zone,
        "power_driver": machine.power_driver,
    }


def _set_tags(machine: Machine, wished: dict[str, bool], applied: Applied) -> None:
    """Tags that are there keep their order; new ones come behind. ``rules_set`` remembers what was wished and is so now."""
    kept = [tag for tag in machine.tags if wished.get(tag, True)]
    added = [tag for tag, there in wished.items() if there and tag not in kept]
    room = MOST_TAGS - len(kept)
    for tag in added[max(room, 0) :]:
        message = f"{machine.name} has {MOST_TAGS} tags, which is as many as there may be; {tag} is not among them."
        applied.refused.append(Refusal(applied.authors[f"tags.{tag}"], "add_tags", "too_many_tags", message))
    tags = kept + added[: max(room, 0)]
    if tags != machine.tags:
        machine.tags = tags
    if wished:
        done = {tag: there for tag, there in wished.items() if there is (tag in tags)}
        machine.rules_set = {**machine.rules_set, "tags": {**machine.rules_set.get("tags", {}), **done}}


def _change_driver(_session: Session, machine: Machine, driver: str, *, free: bool) -> str:
    """Raises ``Invalid`` (``power_misconfigured``) when a parameter is missing, ``Conflict`` (``machine_busy``)."""
    if driver != machine.power_driver:
        _check_free(machine, free)
        set_power(machine, driver, machine.power_parameters)
    return driver


def _rename(session: Session, machine: Machine, pattern: str, *, free: bool) -> str:
    """Raises ``Invalid`` (``name_impossible``), ``Conflict`` (``machine_busy``, ``hostname_taken``)."""
    name = name_patterns.fill(pattern, machine)
    if name == machine.name:
        return name
    _check_free(machine, free)
    check_hostname_free(session, machine, name)
    try:
        with session.begin_nested():
            machine.name = name
    except IntegrityError:  # on PostgreSQL another request may have taken it since we looked
        raise Conflict("hostname_taken", f"The host name {name} is taken by another machine.") from None
    return name


def _check_free(machine: Machine, free: bool) -> None:
    if not free:
        message = f"{machine.name} is busy; its name and its power driver change only while nothing is under way."
        raise Conflict("machine_busy", message, machine=machine.name)


def _tell(session: Session, machine: Machine, applied: Applied, former: str, by: str, now: datetime) -> None:
    asked = f", by {by}" if by else ""
    if applied.changes:
        machine.updated_at = now
        changes = {name: {"before": before, "after": after} for name, (before, after) in applied.changes.items()}
        named = ", ".join(applied.rules())
        message = f"{former}: rules {named} set {_said(applied)}{asked}"
        data = {"rules": applied.rules(), "changes": changes, "left": applied.left}
        record(session, "machine.rules_applied", message, machine=machine, data=data, at=now)
    for refusal in applied.refused:
        message = f"{former}: rule {refusal.rule} could not set {refusal.action}: {refusal.message}"
        record(session, "machine.rule_refused", message, machine=machine, data=vars(refusal), at=now)
    if "name" in applied.changes:
        enqueue(session, "network.apply", {}, now=now)


def _said(applied: Applied) -> str:
    words = []
    for name, (before, after) in applied.changes.items():
        if name == "tags":
            words += [f"tag +{tag}" for tag in after if tag not in before] + [f"tag -{tag}" for tag in before if tag not in after]
        else:
            words.append(f"{name} {after}")
    return ", ".join(words)


def touched(session: Session, rules: Sequence[Prepared], *where: ColumnElement[bool]) -> tuple[dict[str, str], list[str]]:
    """Of the machines that fit ``where``: identifiers by name of those that a rule is true of, and names of all the others.

    Rules see what those before them did; but where none is true to begin with, none ever is.
    """
    chosen: dict[str, str] = {}
    idle: list[str] = []
    for machine in session.scalars(select(Machine).where(*where).order_by(Machine.name)):
        seen = facts(machine)
        if machine.hardware and any(rule.expression.matches(seen) for rule in rules):
            chosen[machine.name] = machine.id
        else:
            idle.append(machine.name)
    return chosen, idle


def matching(session: Session, expression: Expression, after: str, limit: int) -> list[str]:
    """Names of machines whose stored facts an expression is true of, in order, those after ``after``, at most ``limit``.

    A machine without an inventory matches nothing: no rule is ever applied to it.
    """
    found: list[str] = []
    while len(found) < limit:
        statement = select(Machine).where(Machine.name > after).order_by(Machine.name).limit(500)
        machines = session.scalars(statement).all()
        found += [machine.name for machine in machines if machine.hardware and expression.matches(facts(machine))]
        if len(machines) < 500:
            break
        after = machines[-1].name
    return found[:limit]
