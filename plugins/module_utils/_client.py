# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The HTTP client of the controller's API. Private to this collection: it may change in any release.

TLS certificates are always verified; a private authority is given with C(ca_path). Redirects are not followed, so that the
token is never sent to anybody but the controller.
"""

from __future__ import annotations

import json
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urljoin

from ansible.module_utils.basic import env_fallback
from ansible.module_utils.urls import Request, SSLValidationError

DEFAULT_URL = "http://127.0.0.1:5240"
PAGE = 1000
"""Items that are asked for at once: as many as the controller gives."""

CONNECTION = {
    "url": {"type": "str", "default": DEFAULT_URL, "fallback": (env_fallback, ["METALWRIGHT_URL"])},
    "token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["METALWRIGHT_TOKEN"])},
    "ca_path": {"type": "path", "fallback": (env_fallback, ["METALWRIGHT_CA_PATH"])},
    "timeout": {"type": "int", "default": 30},
}
"""The connection options of every module; the documentation fragment C(connection) says the same."""


class ApiError(Exception):
    """What went wrong, as the controller said it: ``code`` for programs, ``message`` for people, ``hint`` for what to do.

    ``status`` is the HTTP status, 0 when there was no answer (``code`` is then C(unreachable)) or nothing was asked.
    """

    def __init__(self, code, message, status=0, details=None, hint=""):
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.details = details or {}
        self.hint = hint

    def as_result(self):
        """Return the keyword arguments of ``fail_json``."""
        error = {"code": self.code, "message": self.message, "status": self.status, "details": self.details, "hint": self.hint}
        return {"msg": self.told(), "error": error}

    def told(self):
        """Return message and hint as sentences."""
        return " ".join(part if part.endswith((".", "?", "!")) else part + "." for part in (self.message, self.hint) if part)


class Client:
    """Requests to one controller. With ``dry_run`` every write asks what would be, and nothing is written."""

    def __init__(self, url, token=None, ca_path=None, timeout=30, dry_run=False):
        self.url = url.rstrip("/") + "/"
        self.timeout = timeout
        self.dry_run = dry_run
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # a password of ~/.netrc would take the place of the token
        self._http = Request(
            headers=headers, ca_path=ca_path, http_agent="metalwright.fleet", follow_redirects="none", use_netrc=False
        )

    def get(self, path, wait=0, **query):
        """Return the JSON at C(path). A long poll names the seconds that it may C(wait), beside the timeout."""
        if wait:
            query["wait"] = wait
        return self._send("GET", path, query, timeout=self.timeout + wait)

    def find(self, path):
        """Return the JSON at C(path), None where there is nothing."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def items(self, path, at_most=None, **query):
        """Return all items of a list, or the first ones, page by page."""
        items = []
        cursor = None
        while True:
            limit = PAGE if at_most is None else min(PAGE, at_most - len(items))
            page = self.get(path, limit=limit, cursor=cursor, **query)
            items.extend(page["items"])
            cursor = page.get("next")
            if cursor is None or len(items) == at_most:
                return items

    def ask(self, path):
        """Have something looked at that takes a POST and changes nothing, in check mode, too; return the JSON of the answer."""
        return self._send("POST", path, {}, timeout=self.timeout)

    def write(self, method, path, body=None, patience=0):
        """Change something, or ask what would change; return the JSON of the answer, which may take ``patience`` seconds."""
        timeout = max(self.timeout, patience)
        return self._send(method, path, {"dry_run": "true"} if self.dry_run else {}, body=body, timeout=timeout)

    def _send(self, method, path, query, body=None, timeout=None):
        pairs = [(name, value) for name, value in query.items() if value is not None]
        url = urljoin(self.url, "api/v1" + path) + ("?" + urlencode(pairs, doseq=True) if pairs else "")
        data = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            with self._http.open(method, url, data=data, headers=headers, timeout=timeout) as response:
                return _decoded(response.read(), url)
        except HTTPError as error:
            raise _refusal(error, url) from error
        except (SSLValidationError, URLError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            hint = "Check that the controller runs, and the url (METALWRIGHT_URL) and ca_path (METALWRIGHT_CA_PATH)."
            raise ApiError("unreachable", f"No answer from the controller at {self.url}: {reason}.", hint=hint) from error


def segment(name):
    """Return a name as one segment of a path; a slash stays, as in the name of an image."""
    return quote(name, safe="/")


def _decoded(content, url):
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError as error:
        message = f"The answer from {url} is not JSON: {content[:100]!r}."
        raise ApiError("bad_answer", message, hint="Does the url lead to the controller?") from error


def _refusal(error, url):
    content = error.read()
    try:
        answer = json.loads(content)
        return ApiError(answer["code"], answer["message"], error.code, answer.get("details"), answer.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        excerpt = content[:100].decode("utf-8", "replace")
        return ApiError("http_error", f"HTTP status {error.code} from {url}: {excerpt}", error.code)
