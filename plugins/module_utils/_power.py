# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How machines are turned on and off, as options. Private to this collection: it may change in any release."""

from __future__ import annotations

VERBS = ("on", "off", "cycle", "query")

PARAMETERS = {
    "address": {"type": "str"},
    "port": {"type": "int"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "privilege_level": {"type": "str", "choices": ["operator", "administrator"]},
    "auth": {"type": "str", "choices": ["auto", "session", "basic"]},
    "system": {"type": "str"},
    "verify": {"type": "str"},
    "uri": {"type": "str"},
    "domain": {"type": "str"},
    "mac": {"type": "str"},
    "broadcast": {"type": "str"},
    **{f"{verb}_{what}": {"type": "str"} for verb in VERBS for what in ("url", "method", "body")},
    "query_on": {"type": "str"},
    "query_off": {"type": "str"},
    "headers": {"type": "str", "no_log": True},
    "secret": {"type": "str", "no_log": True},
}
"""Parameters of all power drivers."""

POWER = {
    "type": "dict",
    "options": {
        "driver": {"type": "str", "required": True, "choices": ["ipmi", "libvirt", "manual", "redfish", "webhook", "wol"]},
        "parameters": {"type": "dict", "options": PARAMETERS},
    },
}
"""The option C(power) of a machine; the documentation fragment C(power) says the same."""
