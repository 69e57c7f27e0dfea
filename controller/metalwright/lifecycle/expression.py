# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of conditions over the hardware: ``memory >= 64GiB and nic.vendor ~ Mellanox``.

    expression  = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation    = "not" negation | "(" expression ")" | quantified | test
    quantified  = ("any" | "all") "(" list ":" expression ")" | "count" "(" list [":" expression] ")" comparison number
    test        = name [operator value | ["not"] "in" "[" value { "," value } "]"]
    operator    = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~"

Names are those of ``facts.NAMES``; inside a quantified one they are those of the element, without the list's. What it means is
in ``conditions``. docs/reference/expressions.md is the page for people.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import NoReturn

import re2

from metalwright.errors import Invalid
from metalwright.lifecycle.conditions import (
    KEYWORDS,
    WORD,
    And,
    Comparison,
    Counted,
    Each,
    Expression,
    Known,
    Literal,
    Not,
    Or,
    regular_expression,
)
from metalwright.lifecycle.facts import ELEMENTS, NAMES, UNITS, Kind

__all__ = ["Expression", "parse"]

LENGTH = 1024
DEPTH = 32
_SPACE = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
_SYMBOL = re.compile(r"!=|!~|<=|>=|==|[=<>~]")
_PATTERN = re.compile(r"""[^\s()"']+""")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|' + r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_NUMBER = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?)([A-Za-z]*)")
_FOUND = re.compile(r"""[A-Za-z0-9_.]+|[^\sA-Za-z0-9_]+""")
_ORDERED = ("=", "!=", "<", "<=", ">", ">=")
_SYMBOLS = {Kind.TEXT: ("=", "!=", "~", "!~"), Kind.FLAG: ("=", "!=")}
_PLURALS = {"disks": "disk", "nics": "nic", "tags": "tag"}


def parse(text: str) -> Expression:
    """The expression that ``text`` says.

    Raises ``Invalid`` (``expression_invalid``): message and details name the column (from 1), what was found there and what was
    expected; for a name that is not known the hint tells the nearest ones.
    """
    if len(text) > LENGTH:
        raise _refusal(LENGTH + 1, "more text", f"at most {LENGTH} characters", "")
    for at, character in enumerate(text):
        if not character.isprintable() and character not in " \t\r\n":
            raise _refusal(at + 1, f"the character U+{ord(character):04X}", "printable text and plain spaces", "")
    return _Parser(text).whole()


def _refusal(column: int, found: str, expected: str, hint: str) -> Invalid:
    message = f"The expression is not valid at column {column}: found {found}, expected {expected}."
    return Invalid("expression_invalid", message, hint, column=column, found=found, expected=expected)


class _Parser:
    """Recursive descent over the text itself: what a word means depends on where it stands."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.names: Mapping[str, Kind] = NAMES

    def whole(self) -> Expression:
        expression = self.expression()
        if self.at < len(self.text):
            self.refuse('"and", "or" or the end')
        return expression

    # -- structure -------------------------------------------------------------------------------------------------------------

    def expression(self) -> Expression:
        return self.series("or", lambda: self.series("and", self.negation, And), Or)

    def series(self, word: str, part: Callable[[], Expression], kind: type[And] | type[Or]) -> Expression:
        parts = [part()]
        while self.keyword(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else kind(tuple(parts))

    def negation(self) -> Expression:
        self.depth += 1
        if self.depth > DEPTH:
            self.refuse(f"nesting at most {DEPTH} deep", "Split it into several rules.")
        self.skip()
        if self.keyword("not"):
            found: Expression = Not(self.negation())
        elif self.sign("("):
            found = self.expression()
            self.need(")")
        else:
            found = self.test()
        self.depth -= 1
        return found

    def test(self) -> Expression:
        start = self.at
        found = _NAME.match(self.text, self.at)
        if found is None or found[0].lower() in KEYWORDS:
            self.refuse('a name, "not" or "("', "Names are for example memory, cpu.model, disk.size, nic.vendor, tag.")
        self.move(found.end())
        if found[0].lower() in ("any", "all", "count") and self.text[self.at : self.at + 1] == "(":
            return self.quantified(found[0].lower())
        name = self.canonical(found[0])
        if self.names is NAMES and name in ELEMENTS:
            return Known(name)
        kind = self.names.get(name)
        if kind is None:
            self.at = start
            self.unknown_name(name)
        return self.comparison(name, kind)

    def comparison(self, name: str, kind: Kind) -> Expression:
        if self.keyword("in"):
            return Comparison(name, kind, "in", self.values(name, kind))
        before = self.at
        if self.keyword("not"):
            if self.keyword("in"):
                return Comparison(name, kind, "not in", self.values(name, kind))
            self.at = before
            self.refuse('an operator, "in", "and", "or" or the end')
        symbols = _SYMBOLS.get(kind, _ORDERED)
        found = _SYMBOL.match(self.text, self.at)
        if found is None and kind in (Kind.TEXT, Kind.FLAG):
            return Known(name)
        symbol = found[0].replace("==", "=") if found else ""
        if symbol not in symbols:
            self.refuse(f"{_listed((*symbols, 'in'))}, because {name} is a {kind.value}")
        self.move(self.at + len(found[0] if found else ""))
        if symbol.endswith("~"):
            return Comparison(name, kind, symbol, (self.pattern(),))
        return Comparison(name, kind, symbol, (self.value(name, kind),))

    def quantified(self, word: str) -> Expression:
        self.need("(")
        start = self.at
        found = _NAME.match(self.text, self.at)
        part = self.canonical(found[0]) if found else ""
        if found is None or part not in ELEMENTS or self.names is not NAMES:
            self.at = start
            self.refuse(_listed(ELEMENTS) if self.names is NAMES else f"no {word}() inside another")
        self.move(found.end())
        inner: Expression | None = None
        if word != "count" or self.text[self.at : self.at + 1] != ")":
            self.need(":")
            self.names = ELEMENTS[part]
            inner = self.expression()
            self.names = NAMES
        self.need(")")
        if word != "count":
            assert inner is not None  # noqa: S101 - any and all were made to have one above
            return Each(word, part, inner)
        symbol = _SYMBOL.match(self.text, self.at)
        if symbol is None or symbol[0].replace("==", "=") not in _ORDERED:
            self.refuse(_listed(_ORDERED))
        self.move(symbol.end())
        return Counted(part, inner, symbol[0].replace("==", "="), self.value("count", Kind.COUNT))

    # -- values ----------------------------------------------------------------------------------------------------------------

    def values(self, name: str, kind: Kind) -> tuple[Literal, ...]:
        self.need("[")
        found = [self.value(name, kind)]
        while self.sign(","):
            found.append(self.value(name, kind))
        self.need("]", 'a "," or "]"')
        return tuple(found)

    def value(self, name: str, kind: Kind) -> Literal:
        if kind is Kind.TEXT:
            return self.text_value()
        word = WORD.match(self.text, self.at)
        if kind is Kind.FLAG:
            if word is None or word[0].lower() not in ("true", "false"):
                self.refuse(f"true or false, because {name} is a flag")
            self.move(word.end())
            return Literal(word[0].lower() == "true")
        return self.number(name, kind)

    def number(self, name: str, kind: Kind) -> Literal:
        start = self.at
        units = UNITS[kind]
        example = {Kind.SIZE: " such as 64GiB", Kind.RATE: " such as 10Gbps", Kind.CLOCK: " such as 2.5GHz"}.get(kind, "")
        wanted = f"a {kind.value}{example}"
        word = WORD.match(self.text, self.at)
        found = _NUMBER.fullmatch(word[0]) if word else None
        if word is None or found is None:
            self.refuse(wanted)
        self.move(word.end())
        unit = found[2]
        apart = WORD.match(self.text, self.at)
        if units and not unit and apart and apart[0].lower() not in KEYWORDS:
            unit = apart[0]
            start = self.at
            self.move(apart.end())
        known = next((each for each in units if each.lower() == unit.lower()), "")
        if bool(unit or units) and not known:
            self.at = start
            hint = f"Units of {name} are {', '.join(units)}." if units else f"{name} has no unit."
            self.refuse(f"{wanted}{' with its unit' if units else ' without a unit'}", hint)
        return Literal(Decimal(found[1]), known)

    def text_value(self) -> Literal:
        if (quoted := self.quoted()) is not None:
            return Literal(quoted)
        word = WORD.match(self.text, self.at)
        if word is None or word[0].lower() in KEYWORDS:
            self.refuse("a word or a text in quotes")
        self.move(word.end())
        return Literal(word[0])

    def pattern(self) -> Literal:
        start = self.at
        pattern = self.quoted()
        if pattern is None:
            word = _PATTERN.match(self.text, self.at)
            if word is None or word[0].lower() in KEYWORDS:
                self.refuse("a regular expression", "Put one with spaces, parentheses or quotes in quotes.")
            pattern = word[0]
            self.move(word.end())
        try:
            regular_expression(pattern)
        except re2.error as error:
            why = error.args[0] if error.args else "not valid"
            said = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
            self.at = start
            self.refuse("a regular expression of RE2", f"RE2 says: {said}. It has no back-references and no look-around.")
        return Literal(pattern)

    def quoted(self) -> str | None:
        if self.text[self.at : self.at + 1] not in ('"', "'"):
            return None
        found = _QUOTED.match(self.text, self.at)
        if found is None:
            self.at = len(self.text)
            self.refuse("the quote that ends the text")
        self.move(found.end())
        # A backslash stands before a quote or itself; before anything else it stays, for regular expressions such as "\d+".
        return re.sub(r"""\\(["'\\])""", r"\1", found[1] if found[1] is not None else found[2])

    # -- the text --------------------------------------------------------------------------------------------------------------

    def skip(self) -> None:
        self.move(self.at)

    def move(self, to: int) -> None:
        space = _SPACE.match(self.text, to)
        self.at = space.end() if space else to

    def keyword(self, word: str) -> bool:
        found = WORD.match(self.text, self.at)
        if found is None or found[0].lower() != word:
            return False
        self.move(found.end())
        return True

    def sign(self, sign: str) -> bool:
        if not self.text.startswith(sign, self.at):
            return False
        self.move(self.at + len(sign))
        return True

    def need(self, sign: str, expected: str = "") -> None:
        if not self.sign(sign):
            self.refuse(expected or f'"{sign}"')

    def canonical(self, name: str) -> str:
        part, dot, field = name.lower().partition(".")
        return _PLURALS.get(part, part) + dot + field

    def unknown_name(self, name: str) -> NoReturn:
        near = difflib.get_close_matches(name, self.names, 3, 0.6)
        near += [known for known in self.names if known.rpartition(".")[2] == name.rpartition(".")[2] and known not in near]
        hint = f"Did you mean {' or '.join(near[:3])}?" if near else f"Names: {', '.join(self.names)}."
        self.refuse("the name of a fact", hint)

    def refuse(self, expected: str, hint: str = "") -> NoReturn:
        found = _FOUND.match(self.text, self.at)
        said = f'"{found[0][:40]}"' if found else "the end"
        raise _refusal(self.at + 1, said, expected, hint)


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
