# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine of all modules that only look. Private to this collection: it may change in any release."""

from __future__ import annotations

from ansible_collections.metalwright.fleet.plugins.module_utils._client import segment
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run

MANY = {"type": "list", "elements": "str"}
"""A filter of which any of several values fits."""


class Listing:
    """Things of one kind, to look at: the one that ``key`` names, or those that filters let pass.

    ``filters`` are options of the module, as an argument spec; where the API calls one otherwise, ``query`` says how. Lists
    that are kept short (``recent``) have the option C(limit), others are read to their end. A list that has no page for one of
    its things has ``key`` None.
    """

    def __init__(self, name, path, filters=None, query=None, key="name", recent=False):
        self.name = name
        self.path = path
        self._filters = filters or {}
        self._query = query or {}
        self._key = key
        self._recent = recent

    def options(self):
        """Return the argument spec of the module."""
        one = {self._key: {"type": "str"}} if self._key else {}
        limit = {"limit": {"type": "int", "default": 100}} if self._recent else {}
        return {**one, **self._filters, **limit, "fields": {"type": "list", "elements": "str"}}

    def look(self, module, client):
        """Return the module's result: the list, empty where there is nothing of the kind."""
        params = module.params
        if self._key and params[self._key] is not None:
            found = client.find(f"{self.path}/{segment(params[self._key])}")
            return {self.name: [] if found is None else [chosen(found, params["fields"])]}
        filters = {self._query.get(option, option): params[option] for option in self._filters}
        at_most = params["limit"] if self._recent else None
        return {self.name: client.items(self.path, at_most=at_most, fields=params["fields"], **filters)}

    def run(self):
        """Be the module."""
        rules = [(self._key, other) for other in self._filters] if self._key else []
        run(self.look, self.options(), mutually_exclusive=rules)


def chosen(thing, fields):
    """Return a thing cut to the fields asked for, as lists are by the controller."""
    return thing if not fields else {name: value for name, value in thing.items() if name in fields}
