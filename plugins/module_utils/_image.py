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
    waiter = Waiter(client, params["wait_timeout"]) if params["wait"] and not module.check_mode else None
    before = IMAGE.read(client, params["name"])
    if before is not None and waiter is not None:
        before = waiter.imported(before)
    fault = _fault(before, params)
    if fault is None:  # also where another content was tried meanwhile, in vain
        return IMAGE.result(before, before)
    after = _import(client, before, params, fault)
    if waiter is not None:
        after = waiter.image(after)
    return {**IMAGE.result(before, after), "changed": True}


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


def _import(client, before, params, fault):
    """Ask for the import. An image that is there stays what it is until the new content is complete, and if it never is."""
    if params["source"] is None:
        raise ApiError("no_source", f"Image {params['name']} is {fault}.", hint="Give a source, or build it on the controller.")
    wished = {"name": params["name"], **stated({field: params[field] for field in FIELDS})}
    replaces = before is not None and fault != "failed"
    answer = client.write("POST", IMAGE.path, {**wished, "replace": True} if replaces else wished)
    shown = {"source": _without_password(params["source"]), "source_sha256": params["sha256"]}
    return {**answer, **shown} if client.dry_run else answer
