# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions are evaluated once for hosts that are alike, and never less than once for others."""

from __future__ import annotations

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.metalwright.fleet.plugins.plugin_utils._remember import RememberingTemplar, looks_at


class Counting(Templar):
    """A templar that counts what it evaluates."""

    asked = 0

    def evaluate_expression(self, expression, **options):
        self.asked += 1
        return super().evaluate_expression(expression, **options)

    def evaluate_conditional(self, conditional, **options):
        self.asked += 1
        return super().evaluate_conditional(conditional, **options)


HOSTS = [
    {"zone": "a", "mib": 1, "tags": ["x"], "deployed": {"image": "d", "at": 1}},
    {"zone": "a", "mib": 2, "tags": ["x", "y"], "deployed": {"image": "d", "at": 2}},
    {"zone": "b", "mib": 1, "tags": [], "deployed": None},
    {"zone": "1", "mib": True, "tags": [], "deployed": {}},
    {"zone": 1, "mib": 1.0, "tags": [], "deployed": {"image": {"name": "d"}}},
    {},
]


@pytest.mark.parametrize(
    "expression",
    [
        "zone",
        "zone ~ '-' ~ mib",
        "tags",
        "deployed.image",
        "deployed['image']",
        "deployed.image | default('none')",
        "(deployed or {}).image | default('none')",
        "tags | length > 1 and zone != 'b'",
        "'debian'",
        "mib is defined",
        "zone if mib is number else tags",
        "tags | map('upper') | list",
        "zone.upper()",
        "lookup('vars', 'zone', default='?')",
        "[zone, mib]",
        "zone +",
    ],
)
def test_a_host_gets_what_it_would_get_alone(expression):
    def value(templar, host):
        templar.available_variables = host
        try:
            return templar.evaluate_expression(trust_as_template(expression))
        except Exception as error:
            return type(error), str(error)

    remembering = RememberingTemplar(Templar(DataLoader()))
    for host in [*HOSTS, *HOSTS]:
        assert repr(value(remembering, host)) == repr(value(Templar(DataLoader()), host))


@pytest.mark.parametrize("how", ["evaluate_expression", "evaluate_conditional"])
def test_hosts_that_are_alike_are_asked_for_once(how):
    plain = Counting(DataLoader())
    templar = RememberingTemplar(plain)
    for number in range(100):
        templar.available_variables = {"deployed": {"image": "d", "at": number}, "mib": number}
        getattr(templar, how)(trust_as_template("deployed.image == 'd'"))
    assert plain.asked == 1


@pytest.mark.parametrize(
    "expression,paths",
    [
        ("zone", [("zone",)]),
        ("deployed.image ~ deployed['at'] ~ tags[0]", [("deployed", "at"), ("deployed", "image"), ("tags",)]),
        ("deployed[zone]", [("deployed",), ("zone",)]),
        ("'debian'", []),
        ("100 | random", None),
        ("tags | shuffle", None),
        ("now()", None),
        ("query('pipe', zone)", None),
        ("tags | map('random')", None),
        ("zone +", None),
    ],
)
def test_what_it_depends_on_is_known_or_it_is_not_remembered(expression, paths):
    assert looks_at(expression) == paths
