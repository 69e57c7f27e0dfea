# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine of all modules: read, compare, write, result and diff. Private to this collection: it may change in any release.

Check mode is the client's C(dry_run): the same requests are sent, and the controller answers what would be. So a check finds
the same faults, and shows the same difference, as the run.
"""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.metalwright.fleet.plugins.module_utils._client import CONNECTION, ApiError, Client, segment


def run(act, options, **rules):
    """Be an Ansible module: C(act(module, client)) returns the result or raises ApiError."""
    module = AnsibleModule(argument_spec={**CONNECTION, **options}, supports_check_mode=True, **rules)
    connection = {name: module.params[name] for name in CONNECTION}
    try:
        result = act(module, Client(dry_run=module.check_mode, **connection))
    except ApiError as error:
        module.fail_json(**error.as_result())
    module.exit_json(**{"changed": False, **result})


class Resource:
    """A kind of thing that the controller keeps: its name, its path, the fields that may be wished.

    ``fields`` are options of the module and fields of the API under the same name. Where the API shows one in another way,
    ``seen`` says how it reads there: C(field: function(thing)). Where what there is may satisfy a wish without being equal to
    it, ``satisfied`` says when: C(field: function(value, wished_value)).

    What seems to differ is sent; whether it did, the controller says, since it alone knows the secrets.
    """

    def __init__(self, name, path, fields, seen=None, satisfied=None):
        self.name = name
        self.path = path
        self.fields = fields
        self._seen = seen or {}
        self._satisfied = satisfied or {}

    def where(self, name):
        """Return the path of one of them."""
        return f"{self.path}/{segment(name)}"

    def read(self, client, name):
        """Return the thing as it is, None if it is not."""
        return client.find(self.where(name))

    def view(self, thing):
        """Return a thing as the options that describe it."""
        if thing is None:
            return {}
        fields = ("name", *self.fields)
        return {field: self._seen[field](thing) if field in self._seen else thing.get(field) for field in fields}

    def ensure(self, client, params):
        """Bring the thing to C(params), which holds ``name``, ``state`` and the fields; return it before and after."""
        before = self.read(client, params["name"])
        if params["state"] == "absent":
            if before is not None:
                client.write("DELETE", self.where(params["name"]))
            return before, None
        if before is None:
            return None, client.write("POST", self.path, {"name": params["name"], **self._wished(params)})
        return before, self.change(client, before, params)

    def change(self, client, before, params):
        """Bring a thing that is there, perhaps under another name, to C(params); return it after."""
        view = self.view(before)
        wished = {"name": params["name"], **self._wished(params)}
        changes = {field: value for field, value in wished.items() if not self._is_satisfied(field, view[field], value)}
        return client.write("PATCH", self.where(before["name"]), changes) if changes else before

    def _wished(self, params):
        return {field: stated(params[field]) for field in self.fields if params[field] is not None}

    def _is_satisfied(self, field, value, wished):
        return self._satisfied[field](value, wished) if field in self._satisfied else value == wished

    def result(self, before, after):
        """Return the module's result: the thing itself, whether it changed, and the difference."""
        diff = {"before": self.view(before), "after": self.view(after)}
        visibly = diff["before"] != diff["after"]
        changed = (after or {}).pop("changed", visibly)
        if changed and not visibly:
            diff["after"]["secrets"] = "changed"
        return {"changed": changed, self.name: after, "diff": diff}


def stated(value):
    """Return what the user said, without the options of dictionaries that were left out."""
    if isinstance(value, dict):
        return {name: stated(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [stated(part) for part in value]
    return value
