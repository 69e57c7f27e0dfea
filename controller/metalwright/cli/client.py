# SPDX-License-Identifier: GPL-3.0-or-later
"""Speaks with the controller's API.

Where it is: METALWRIGHT_URL, METALWRIGHT_TOKEN, METALWRIGHT_CA_PATH, else the client file that ``metalwright init`` wrote
(``$XDG_CONFIG_HOME/metalwright/client.toml``), else http://127.0.0.1:5240. The file's token is sent to the file's URL only.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from metalwright.errors import Conflict, Invalid, MetalwrightError, NotFound, TooLarge, Unauthorized, Unavailable

DEFAULT_URL = "http://127.0.0.1:5240"
_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 60
_ERRORS: dict[int, type[MetalwrightError]] = {
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: Invalid,
    503: Unavailable,
}


def client_file(environ: Mapping[str, str]) -> Path:
    """Where the client file of this user lies."""
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
    return Path(base) / "metalwright" / "client.toml"


@dataclass(frozen=True)
class Access:
    """How the controller is reached; ``ca_path`` is a file or directory of certificates, or empty for the system's."""

    url: str
    token: str
    ca_path: str = ""


def read_client_file(path: Path) -> dict[str, str]:
    """What the client file says; nothing if there is none. Raises ``Invalid`` (``client_file_invalid``) naming the file."""
    try:
        saved = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        hint = "Mend it, delete it, or set METALWRIGHT_URL and METALWRIGHT_TOKEN."
        raise Invalid("client_file_invalid", f"{path} can not be read: {error}", hint) from None
    return {name: str(value) for name, value in saved.items()}


def find_access(environ: Mapping[str, str]) -> Access:
    """The controller that commands talk to. Raises what ``read_client_file`` raises."""
    complete = environ.get("METALWRIGHT_URL") and environ.get("METALWRIGHT_TOKEN")
    saved = {} if complete else read_client_file(client_file(environ))
    url = (environ.get("METALWRIGHT_URL") or saved.get("url") or DEFAULT_URL).rstrip("/")
    ours = saved if url == saved.get("url", "").rstrip("/") else {}
    token = environ.get("METALWRIGHT_TOKEN") or ours.get("token", "")
    return Access(url, token, environ.get("METALWRIGHT_CA_PATH") or ours.get("ca_path", ""))


class Client:
    """The API, one method a way of asking. Errors are those of ``metalwright.errors``, as the controller answered them."""

    def __init__(self, access: Access) -> None:
        import requests

        self._access = access
        self._http = requests.Session()
        self._http.trust_env = False  # no proxy of the environment stands between us and a controller on the loopback
        self._http.verify = access.ca_path or True
        self._http.headers["Accept"] = "application/json"
        if access.token:
            self._http.headers["Authorization"] = f"Bearer {access.token}"

    def get(self, *path: str, **parameters: Any) -> Any:
        """GET; path segments are quoted, parameters that are None or empty are left out."""
        return self._ask("GET", path, parameters=parameters)

    def post(self, *path: str, body: Any = None, **parameters: Any) -> Any:
        """POST a JSON body, or none."""
        return self._ask("POST", path, body=body, parameters=parameters)

    def patch(self, *path: str, body: Any, **parameters: Any) -> Any:
        """PATCH with a JSON body."""
        return self._ask("PATCH", path, body=body, parameters=parameters)

    def put(self, *path: str, body: Any, **parameters: Any) -> Any:
        """PUT a JSON body."""
        return self._ask("PUT", path, body=body, parameters=parameters)

    def delete(self, *path: str, **parameters: Any) -> Any:
        """DELETE."""
        return self._ask("DELETE", path, parameters=parameters)

    def items(self, *path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page."""
        cursor: Any = None
        while True:
            page = self.get(*path, **parameters, cursor=cursor)
            yield from page["items"]
            cursor = page.get("next")
            if cursor is None:
                return

    def _ask(self, method: str, path: tuple[str, ...], body: Any = None, parameters: Mapping[str, Any] | None = None) -> Any:
        import requests

        url = "/".join((self._access.url, "api", "v1", *(quote(segment, safe="/") for segment in path)))
        wanted = {name: value for name, value in (parameters or {}).items() if value not in (None, "", ())}
        patience = _ANSWER_SECONDS + float(wanted.get("wait", 0))
        try:
            answer = self._http.request(method, url, json=body, params=wanted, timeout=(_CONNECT_SECONDS, patience))
        except requests.exceptions.SSLError as error:
            hint = "Name the controller's CA certificate in METALWRIGHT_CA_PATH."
            raise Unavailable("certificate_refused", f"{self._access.url} is not trusted: {error}", hint) from None
        except requests.exceptions.Timeout:
            raise Unavailable("controller_silent", f"The controller at {self._access.url} does not answer.") from None
        except requests.exceptions.RequestException:
            hint = "Is 'metalwright serve' running there? METALWRIGHT_URL says where it is."
            raise Unavailable("controller_unreachable", f"There is no controller at {self._access.url}.", hint) from None
        if answer.status_code >= 400:
            raise self._error(answer)
        return answer.json() if answer.content else None

    def _error(self, answer: Any) -> MetalwrightError:
        try:
            told = answer.json()
            message, code = str(told["message"]), str(told.get("code", "error"))
        except (ValueError, KeyError, TypeError):
            told, code = {}, "error"
            message = f"{self._access.url} answered {answer.status_code} {answer.reason}: is that a Metalwright controller?"
        hint = str(told.get("hint") or "")
        if answer.status_code == 401 and not self._access.token:
            hint = "Set METALWRIGHT_TOKEN; 'metalwright token create NAME' on the controller's host makes one."
        details = told.get("details") if isinstance(told.get("details"), dict) else {}
        return refusal(code, message, hint, details or {}, answer.status_code)


def refusal(code: str, message: str, hint: str, details: Mapping[str, Any], status: int) -> MetalwrightError:
    """An error of the family, as the controller told it."""
    error = _ERRORS.get(status, MetalwrightError)(code, message, hint)
    error.status = status
    error.details = dict(details)
    return error


def connect() -> Client:
    """A client of the controller that the environment or the client file names."""
    return Client(find_access(os.environ))
