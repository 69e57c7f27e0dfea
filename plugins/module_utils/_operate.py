# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Operations on machines that a task wishes. Private to this collection: it may change in any release."""

from __future__ import annotations

from ansible_collections.metalwright.fleet.plugins.module_utils._machine import MACHINE
from ansible_collections.metalwright.fleet.plugins.module_utils._wait import WAITING, Waiter, once_idle


class Condition:
    """Something that a machine is or is not, and that operations change.

    C(stands(client, machine)) says how it is, as one of the option C(state)'s choices. ``ways`` holds for each of these choices
    the action that leads there and the options that are its body. The result shows it under the machine's key ``name``.
    """

    def __init__(self, name, stands, ways, default=None, options=None):
        self.name = name
        self._stands = stands
        self._ways = ways
        self._default = default
        self._options = options or {}

    def options(self):
        """Return the argument spec of the module."""
        wished = {"default": self._default} if self._default else {"required": True}
        state = {"type": "str", "choices": list(self._ways), **wished}
        return {"name": {"type": "str", "required": True}, "state": state, **self._options, **WAITING}

    def ensure(self, module, client):
        """Bring the machine there; return the module's result."""
        params = module.params
        waiter = None if module.check_mode else Waiter(client, params["wait_timeout"])
        result = once_idle(waiter, lambda: self._started(client, params))
        if not result["changed"] or waiter is None:
            return {**result, "operation": None}
        if params["wait"]:
            result["operation"] = waiter.operation(result["operation"])
            result["timeline"] = waiter.timeline()
        return {**result, "machine": client.get(MACHINE.where(params["name"]))}

    def _started(self, client, params):
        """Look where the machine stands, and start what leads to where it is wished to."""
        where = MACHINE.where(params["name"])
        machine = client.get(where)
        before, after = self._stands(client, machine), params["state"]
        result = {
            "changed": before != after,
            "machine": machine,
            "operation": None,
            "timeline": [],
            "diff": {
                "before": {"name": machine["name"], self.name: before},
                "after": {"name": machine["name"], self.name: after},
            },
        }
        if before != after:
            action, said = self._ways[after]
            body = {option: params[option] for option in said}
            result["operation"] = client.write("POST", f"{where}/{action}", body)["operation"]
        return result
