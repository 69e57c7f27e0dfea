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
    spec = {**CONNECTION, **options}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, **rules)
    connection = {name: module.params[name] for name in CONNECTION}
    invocation = {"invocation": {"module_args": _blanked(spec, module.params)}}
    for name, option in options.items():
        if option.get("no_log") and option["type"] == "dict":
            # each value in it would be blanked wherever it stands in the result: a 3 in every ID
            module.no_log_values -= set(_leaves(module.params[name]))
    try:
        result = act(module, Client(dry_run=module.check_mode, **connection))
    except ApiError as error:
        module.fail_json(**error.as_result(), **invocation)
    module.exit_json(**{"changed": False, **result}, **invocation)


def _blanked(spec, params):
    """Return parameters as Ansible shows them: what is secret is not there."""
    return {name: _shown(spec[name], value) for name, value in params.items()}


def _shown(option, value):
    if value is not None and option.get("no_log"):
        return "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    if isinstance(value, dict) and "options" in option:
        return _blanked(option["options"], value)
    if isinstance(value, list) and "options" in option:
        return [_blanked(option["options"], part) for part in value]
    return value


def _leaves(value):
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)
    elif value is not None:
        yield str(value)


class Resource:
    """A kind of thing that the controller keeps: its name, its path, the fields that may be wished.

    ``key`` is the option by which one of them is known, where that is not its name.

    ``fields`` are options of the module, as an argument spec, and fields of the API under the same name, unless ``called`` has
    another: C(option: field). Where the API shows one in another way, ``seen`` says how it reads there: C(field:
    function(thing)). Where what there is may satisfy a wish without
    being equal to it, ``satisfied`` says when: C(field: function(value, wished_value)). ``secrets`` are fields that the
    controller keeps and never shows, ``needed`` those without which there can not be a new one, ``fixed`` those that it keeps as
    it was made with. Of a thing that is shown though nobody has made it, ``exists`` tells. ``nothing`` holds the values by which
    an option says that there is to be none: C(option: value).

    Some things lie in others, which a task before may have made, but for the check: ``awaits`` are the controller's codes for
    what is not there yet. A check then says so, and takes the thing for what is wished.

    What seems to differ is sent; whether it did, the controller says, since it alone knows the secrets. A thing that is written
    ``whole`` (with PUT) is sent as it is, with what is wished in it.
    """

    def __init__(
        self,
        name,
        path,
        fields,
        key="name",
        whole=False,
        called=None,
        seen=None,
        satisfied=None,
        secrets=(),
        needed=(),
        fixed=(),
        exists=None,
        nothing=None,
        awaits=(),
    ):
        self.name = name
        self.path = path
        self.fields = fields
        self.key = key
        self._whole = whole
        self._called = called or {}
        self._seen = seen or {}
        self._satisfied = satisfied or {}
        self._secrets = secrets
        self._needed = needed
        self._fixed = fixed
        self._exists = exists or (lambda _thing: True)
        self._nothing = nothing or {}
        self._awaits = awaits

    def options(self):
        """Return the argument spec of the module that manages this: its name, whether it is to be there, its fields."""
        state = {"type": "str", "choices": ["present", "absent"], "default": "present"}
        return {self.key: {"type": "str", "required": True}, "state": state, **self.fields}

    def manage(self, module, client):
        """Bring the thing to the module's parameters; return the module's result."""
        try:
            return self.result(*self.ensure(client, module.params))
        except ApiError as error:
            if not (client.dry_run and error.code in self._awaits):
                raise
            module.warn(
                f"{error.message} As long as that is so, {self.name} {module.params[self.key]} can not be checked further."
            )
            wished = {self.key: module.params[self.key], **self._wished(module.params)}
            before = self.read(client, module.params[self.key])
            return {"changed": True, self.name: None, "diff": {"before": self.view(before), "after": wished}}

    def where(self, name):
        """Return the path of one of them."""
        return f"{self.path}/{segment(name)}"

    def read(self, client, name):
        """Return the thing as it is, None if it is not."""
        thing = client.find(self.where(name))
        return thing if thing is not None and self._exists(thing) else None

    def view(self, thing):
        """Return a thing as the options that describe it, without secrets."""
        if thing is None:
            return {}
        fields = (self.key, *(field for field in self.fields if field not in self._secrets))
        return {field: self._seen[field](thing) if field in self._seen else thing.get(self._as_called(field)) for field in fields}

    def _as_called(self, option):
        return self._called.get(option, option)

    def ensure(self, client, params):
        """Bring the thing to C(params), which holds ``name``, ``state`` and the fields; return it before and after."""
        before = self.read(client, params[self.key])
        if before is not None and before.get("id") == params[self.key] != before[self.key]:
            message = f"{params[self.key]} is the ID of {self.name} {before[self.key]}; here it would become its {self.key}."
            raise ApiError("id_given", message, hint=f"Give the {self.key}, which is {before[self.key]}.")
        if params["state"] == "absent":
            if before is not None:
                client.write("DELETE", self.where(params[self.key]))
            return before, None
        if before is None:
            return None, self._create(client, params)
        return before, self.change(client, before, params)

    def _create(self, client, params):
        for field in self._needed:
            if params[field] is None:
                message = f"There is no {self.name} {params[self.key]}, and one can not be made without {field}."
                raise ApiError("missing_option", message, hint=f"Give {field}, or check the name.")
        wished = self._wished(params)
        if self._whole:
            return client.write("PUT", self.where(params[self.key]), self._body(wished))
        return client.write("POST", self.path, self._body({self.key: params[self.key], **wished}))

    def change(self, client, before, params):
        """Bring a thing that is there, perhaps under another name, to C(params); return it after."""
        view = self.view(before)
        if self._whole:
            del view[self.key]
            return client.write("PUT", self.where(before[self.key]), self._body({**view, **self._wished(params)}))
        wished = {self.key: params[self.key], **self._wished(params)}
        changes = {field: value for field, value in wished.items() if not self._is_satisfied(field, view.get(field), value)}
        for field in changes:
            if field in self._fixed:
                message = f"{self.name} {before[self.key]} has {field} {view[field]}, which can not become {changes[field]}."
                raise ApiError("fixed_option", message, hint="Remove it first, or make another.")
        return client.write("PATCH", self.where(before[self.key]), self._body(changes)) if changes else before

    def _body(self, wished):
        return {self._as_called(field): value for field, value in wished.items()}

    def _wished(self, params):
        wished = {field: stated(params[field]) for field in self.fields if params[field] is not None}
        return {field: None if value == self._nothing.get(field) else value for field, value in wished.items()}

    def _is_satisfied(self, field, value, wished):
        return self._satisfied[field](value, wished) if field in self._satisfied else value == wished

    def result(self, before, after):
        """Return the module's result: the thing itself, whether it changed, and the difference."""
        diff = {"before": self.view(before), "after": self.view(after)}
        visibly = diff["before"] != diff["after"]
        if after is not None:
            after = {key: value for key, value in after.items() if key not in self._secrets}
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


def text(params, name):
    """Return a text that is given by the option C(name), or by a file of the option C(name_file); None if by neither."""
    path = params[name + "_file"]
    if path is None:
        return params[name]
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ApiError("bad_file", f"{name}_file {path} can not be read: {error}.") from error
