# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions, evaluated once for all hosts that are alike. Private to this collection: it may change in any release.

Ansible compiles an expression anew for every host: half a millisecond each, which is twenty seconds where ten thousand machines
are put into five groups. What an expression looks at differs between few of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import Environment, TemplateSyntaxError, nodes

# fmt: off
PURE = frozenset({
    "abs", "bool", "capitalize", "count", "d", "default", "difference", "first", "float", "flatten", "int", "intersect",
    "join", "last", "length", "list", "lower", "max", "min", "regex_replace", "regex_search", "replace", "reverse", "round",
    "sort", "split", "string", "sum", "title", "trim", "union", "unique", "upper",
})
# fmt: on
"""Filters whose result follows from what they are given, and that call nothing by a name that is given to them."""

NOTHING = object()


class RememberingTemplar:
    """A templar that remembers what expressions came to, by what they looked at. For anything else it is the one it is made of."""

    def __init__(self, templar):
        self.available_variables = {}
        self._templar = templar
        self._looks_at = {}
        self._results = {}

    def __getattr__(self, name):
        return getattr(self._templar, name)

    def template(self, variable, **options):
        """Template a value. Raises what the templar raises."""
        return self._asked().template(variable, **options)

    def evaluate_expression(self, expression, **options):
        """Return the value of an expression. Raises what the templar raises."""
        return self._remembered("evaluate_expression", expression, options)

    def evaluate_conditional(self, conditional, **options):
        """Return whether a condition is true. Raises what the templar raises."""
        return self._remembered("evaluate_conditional", conditional, options)

    def _asked(self):
        self._templar.available_variables = self.available_variables
        return self._templar

    def _remembered(self, how, expression, options):
        key = None if options else self._key(how, expression)
        if key is None:
            return getattr(self._asked(), how)(expression, **options)
        if key not in self._results:
            try:
                self._results[key] = getattr(self._asked(), how)(expression), None
            except Exception as error:  # noqa: BLE001 - whoever evaluates it again is told the same again
                self._results[key] = None, error
        result, error = self._results[key]
        if error is not None:
            raise error.with_traceback(None)
        return result

    def _key(self, how, expression):
        """What tells one evaluation from another; None for an expression of which nobody can say."""
        if not isinstance(expression, str):
            return None
        if expression not in self._looks_at:
            self._looks_at[expression] = looks_at(expression)
        paths = self._looks_at[expression]
        if paths is None:
            return None
        return (how, expression, *(repr(_found(self.available_variables, path)) for path in paths))


def _found(value, path):
    """The value at a path, or as far as there are mappings on the way; and how far that is."""
    for depth, key in enumerate(path):
        if not isinstance(value, Mapping):
            return depth, value
        value = value.get(key, NOTHING)
    return len(path), value


def looks_at(expression):
    """Return the paths of what an expression looks at, as tuples of keys; None if its value may depend on anything else."""
    try:
        parsed = Environment(autoescape=False).parse("{{ (" + expression + ") }}")  # it is only read here, not rendered
    except TemplateSyntaxError:
        return None
    if parsed.find(nodes.Call) or any(used.name not in PURE for used in parsed.find_all(nodes.Filter)):
        return None
    paths = set()
    _collect(parsed, paths)
    return sorted(paths)


def _collect(node, paths):
    path = _path(node)
    if path is not None:
        paths.add(path)
        return
    for child in node.iter_child_nodes():
        _collect(child, paths)


def _path(node):
    """The keys that lead to what a node is, if it is a variable or something named in one."""
    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, nodes.Getattr):
        above, key = _path(node.node), node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        above, key = _path(node.node), node.arg.value
    else:
        return None
    return None if above is None else (*above, key)
