# SPDX-License-Identifier: GPL-3.0-or-later
"""What an expression is made of once it is parsed: small immutable nodes that know whether facts fit, and their own text.

``a != b`` is ``not a = b`` and ``a !~ b`` is ``not a ~ b``, for lists too: ``tag != gpu`` is true of a machine without the tag.
What a machine does not tell fits nothing, so only a negation is true of it. Text is compared without regard to case: vendors
write "DELL", "Dell" and "dell" for the same thing.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import re2

from metalwright.lifecycle.facts import ELEMENTS, UNITS, Kind

KEYWORDS = frozenset({"and", "or", "not", "in"})
WORD = re.compile(r"""[^\s()\[\],"'=!<>~]+""")
"""Text that needs no quotes, if it is no keyword."""

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NEGATIONS = {"!=": "=", "!~": "~", "not in": "in"}


class Expression(ABC):
    """A condition over the facts of a machine; see ``expression.parse``. ``str`` is text that parses to an equal one."""

    @abstractmethod
    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Whether it is true of these facts (``facts.facts``)."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Literal:
    """A value as it was written: text, a number with its unit, or a flag."""

    value: str | bool | Decimal
    unit: str = ""

    def amount(self, kind: Kind) -> Any:
        """What facts are compared with."""
        if isinstance(self.value, Decimal):
            return self.value * UNITS[kind].get(self.unit, 1)
        return self.value.casefold() if isinstance(self.value, str) else self.value

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return str(self.value).lower()
        if isinstance(self.value, Decimal):
            return f"{self.value:f}{self.unit}"
        if WORD.fullmatch(self.value) and self.value.lower() not in KEYWORDS:
            return self.value
        return '"' + self.value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True)
class And(Expression):
    """All of them."""

    parts: tuple[Expression, ...]

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Whether every part is true."""
        return all(part.matches(facts) for part in self.parts)

    def __str__(self) -> str:
        return " and ".join(_bracketed(part, And, Or) for part in self.parts)


@dataclass(frozen=True)
class Or(Expression):
    """At least one of them."""

    parts: tuple[Expression, ...]

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Whether a part is true."""
        return any(part.matches(facts) for part in self.parts)

    def __str__(self) -> str:
        return " or ".join(_bracketed(part, Or) for part in self.parts)


@dataclass(frozen=True)
class Not(Expression):
    """The opposite."""

    inner: Expression

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Whether the inner one is false."""
        return not self.inner.matches(facts)

    def __str__(self) -> str:
        return f"not {_bracketed(self.inner, And, Or)}"


def _bracketed(part: Expression, *kinds: type[Expression]) -> str:
    return f"({part})" if isinstance(part, kinds) else str(part)


@dataclass(frozen=True)
class Known(Expression):
    """A name alone: a flag that is true, a text that is not empty, a list with something in it."""

    name: str

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Whether there is such a thing."""
        return any(values_of(self.name, facts))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Comparison(Expression):
    """A name, an operator and what it is compared with; ``in`` takes several values, the others one."""

    name: str
    kind: Kind
    symbol: str
    values: tuple[Literal, ...]

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Whether a value of that name fits; for the negating operators, whether none does."""
        positive = _NEGATIONS.get(self.symbol, self.symbol)
        found = any(self._fits(positive, value) for value in values_of(self.name, facts) if value is not None)
        return found is (positive == self.symbol)

    def _fits(self, symbol: str, value: Any) -> bool:
        if symbol == "~":
            return regular_expression(str(self.values[0].value)).search(str(value)) is not None
        folded = value.casefold() if isinstance(value, str) else value
        if symbol == "in":
            return any(folded == each.amount(self.kind) for each in self.values)
        return _ORDERS[symbol](folded, self.values[0].amount(self.kind))

    def __str__(self) -> str:
        said = ", ".join(str(value) for value in self.values)
        return f"{self.name} {self.symbol} [{said}]" if self.symbol.endswith("in") else f"{self.name} {self.symbol} {said}"


@dataclass(frozen=True)
class Each(Expression):
    """``any(disk: ..)`` or ``all(disk: ..)``: the inner names are those of one and the same element."""

    quantifier: str
    part: str
    inner: Expression

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Whether one element fits, or all do; of no elements all do."""
        fits = (self.inner.matches(element) for element in facts.get(self.part) or ())
        return any(fits) if self.quantifier == "any" else all(fits)

    def __str__(self) -> str:
        return f"{self.quantifier}({self.part}: {self.inner})"


@dataclass(frozen=True)
class Counted(Expression):
    """``count(disk: ..) >= 4``; without an inner expression every element counts."""

    part: str
    inner: Expression | None
    symbol: str
    number: Literal

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Whether as many elements fit as it says."""
        count = sum(self.inner is None or self.inner.matches(element) for element in facts.get(self.part) or ())
        positive = _NEGATIONS.get(self.symbol, self.symbol)
        return _ORDERS[positive](count, self.number.amount(Kind.COUNT)) is (positive == self.symbol)

    def __str__(self) -> str:
        which = f"{self.part}: {self.inner}" if self.inner is not None else self.part
        return f"count({which}) {self.symbol} {self.number}"


def values_of(name: str, facts: Mapping[str, Any]) -> Iterable[Any]:
    """All values of a name: one, or one of each element of a list."""
    part, _, field = name.partition(".")
    elements = facts.get(part)
    if part in ELEMENTS and isinstance(elements, list):
        return [element.get(field) for element in elements] if field else elements
    value = facts.get(name)
    return value if isinstance(value, list) else [value]


@lru_cache(maxsize=256)
def regular_expression(pattern: str) -> Any:
    """A pattern of RE2, ready to search. RE2 takes time linear in the text whatever the pattern is, and bounded memory, so a
    pattern can not hang the controller; it knows no back-references and no look-around. Raises ``re2.error``."""
    options = re2.Options()
    options.max_mem = 1 << 20
    options.log_errors = False
    options.case_sensitive = False
    return re2.compile(pattern, options)
