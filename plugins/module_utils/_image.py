# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images: fetched once, then never changed. Private to this collection: it may change in any release."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, stated
from ansible_collections.metalwright.fleet.plugins.module_utils._wait import Waiter

FIELDS = {
    "source": {"type": "str"},
    "sha256": {"type": "str"},
}

IMAGE = Resource("image", "/images", FIELDS, seen={"sha256": lambda image: image["source_sha256"]})


def ensure(module, client):
    """Have an image imported, or removed; return the module's result."""
    params = module.params
    if params["state"] == "absent":
        return IMAGE.result(*IMAGE.ensure(client, params))
    before = IMAGE.read(client, params["name"])
    fault = _fault(before, params)
    after = before if fault is None else _import(module, client, before, params, fault)
    if params["wait"] and not module.check_mode:
        after = Waiter(client, params["wait_timeout"]).image(after)
    return {**IMAGE.result(before, after), "changed": fault is not None}


def _fault(image, params):
    """Why an image is not the one that is wished; None when it is."""
    if image is None:
        return "missing"
    if image["status"] == "failed":
        return "failed"
    if params["sha256"] is not None:
        return None if image["source_sha256"] == params["sha256"].lower() else "of another content"
    wished = params["source"] or ""
    if wished.startswith(("http://", "https://")) and image["source"] != _without_password(wished):
        return "from another source"
    return None


def _without_password(address):
    """An address as the controller shows it."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _import(module, client, before, params, fault):
    if params["source"] is None:
        raise ApiError("no_source", f"Image {params['name']} is {fault}.", hint="Give a source, or build it on the controller.")
    body = {"name": params["name"], **stated({field: params[field] for field in FIELDS})}
    if before is not None and fault != "failed":
        client.write("DELETE", IMAGE.where(params["name"]))
        if module.check_mode:
            # the name is not free as long as nothing was removed, so the import can not be rehearsed
            return {**before, "source": params["source"], "source_sha256": params["sha256"], "status": "importing"}
    return client.write("POST", IMAGE.path, body)
