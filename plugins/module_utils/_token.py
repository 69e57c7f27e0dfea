# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tokens: the text of one is told once, to a file. Private to this collection: it may change in any release.

A result is printed, logged and kept by callbacks, whatever is said of it, so a token's text is never in one.
"""

from __future__ import annotations

import os
import tempfile
from datetime import datetime, timezone

from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource

FIELDS = {"expires_in": {"type": "int"}}

TOKEN = Resource("token", "/tokens", {"created_at": {}, "expires_at": {}})


def ensure(module, client):
    """Have a token, and its text in a file; return the module's result."""
    params = module.params
    before = TOKEN.read(client, params["name"])
    if params["state"] == "absent":
        if before is not None:
            client.write("DELETE", TOKEN.where(params["name"]))
        return TOKEN.result(before, None)
    fault = _fault(before, params["path"])
    if fault is None:
        return TOKEN.result(before, before)
    if before is not None and not params["renew"]:
        message = f"Token {params['name']} {fault}."
        raise ApiError("token_lost", message, hint="Its text is told only once. Name its file, or make it anew with renew=true.")
    return TOKEN.result(before, {**_made(module, client, before), "changed": True})


def _fault(token, path):
    """Why nobody can use the token by its file; None when that may be."""
    if token is None:
        return "is missing"
    if token["expires_at"] and datetime.fromisoformat(token["expires_at"]) <= datetime.now(timezone.utc):
        return f"has expired at {token['expires_at']}"
    if not os.path.exists(path):
        return f"is there, but the file {path} is not"
    return None


def _made(module, client, before):
    """Make the token and write it down. The file is begun first: a token whose text can not be kept is not made."""
    params = module.params
    body = {"name": params["name"], **({"expires_in": params["expires_in"]} if params["expires_in"] else {})}
    if before is not None:
        body["replace"] = True  # in one step: it may be the one that this task works with
    draft = _begun(params["path"])
    try:
        made = client.write("POST", TOKEN.path, body)
        secret = made.pop("token")
        if not module.check_mode:
            _written(secret, draft, params["path"])
        return made
    finally:
        if os.path.exists(draft):
            os.unlink(draft)


def _begun(path):
    """Make a file beside C(path) that nobody else can read; it takes that place in one step."""
    try:
        number, draft = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=".token-")
    except OSError as error:
        raise ApiError("bad_file", f"path {path} can not be written: {error}.") from error
    os.close(number)
    return draft


def _written(secret, draft, path):
    try:
        with open(draft, "w", encoding="ascii") as file:
            file.write(secret + "\n")
        os.replace(draft, path)
    except OSError as error:
        hint = "Run the task again with renew=true when that is mended."
        raise ApiError("bad_file", f"The token was made, but path {path} can not be written: {error}.", hint=hint) from error
