# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests that switch the power of one machine. Calls: ``query`` and ``power`` as in ``ipmi``, and ``check``.

``requests`` of the request say for ``on``, ``off``, ``cycle`` and ``query`` what is sent: ``{"url", "method", "body"}``; those
for ``cycle`` and ``query`` may be missing. ``query_on`` and ``query_off`` are regular expressions for what a query answers.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.request
from typing import IO, Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit

from metalwright.calls.conversation import Failed, arrive, out_of_reach, within
from metalwright.outbound import LinkLocal, Plain, Secure, connect

LARGEST = 64 << 10
"""Bytes of an answer that are looked at."""
CONNECT = 5.0


class Answer(NamedTuple):
    """What was answered: status, length in bytes (as far as it is looked at) and text."""

    status: int
    size: int
    text: str


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(Plain, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._tls = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(Secure, req, context=self._tls)


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the same server only: the headers hold secrets."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Refuse what leads elsewhere."""
        if _server(urlsplit(newurl)) != _server(urlsplit(req.full_url)):
            raise Failed("power_refused", f"it redirects to another server ({urlsplit(newurl).netloc}), which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _server(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)


def converse(request: dict[str, Any]) -> Any:
    """Do the call."""
    end = time.monotonic() + request["timeout"]
    with within(request["timeout"], "bmc_unreachable", "it did not answer in time"):
        return CALLS[request["call"]](request, end)


def send(request: dict[str, Any], name: str) -> Answer:
    """Send the request of that name and return what was answered."""
    what = request["requests"][name]
    opener = urllib.request.OpenerDirector()
    secure = urlsplit(what["url"]).scheme == "https"  # authorities are loaded where they are wanted: that takes 20 ms
    for handler in (
        _Https(_tls(request["verify"])) if secure else _Http(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SameServer(),
    ):
        opener.add_handler(handler)
    body = what["body"].encode() if what["body"] else None
    wanted = urllib.request.Request(what["url"], body, dict(request["headers"]), method=what["method"])  # noqa: S310 - checked
    try:
        with opener.open(wanted, timeout=request["timeout"]) as answer:
            said = bytes(answer.read(LARGEST))
            return Answer(answer.status, len(said), said.decode(errors="replace"))
    except HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise Failed("bmc_auth_failed", f"it answered {error.code} to the request for {name}") from None
        raise Failed("power_refused", f"it answered {error.code} to the request for {name}") from None
    except (URLError, OSError) as error:
        raise _failed(error) from None
    except (http.client.HTTPException, ValueError) as error:
        raise Failed("power_refused", f"what answers there does not speak HTTP ({type(error).__name__})") from None


def _failed(error: OSError) -> Failed:
    inner = error.reason if isinstance(error, URLError) else error
    return Failed("power_refused", str(inner)) if isinstance(inner, LinkLocal) else out_of_reach(error)


def _tls(verify: bool | str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    except (OSError, ssl.SSLError):
        raise Failed("power_misconfigured", f"the certificates to verify it by can not be read: {verify}") from None
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def query(request: dict[str, Any], _end: float) -> str:
    """Return the power state, by the regular expression that fits what is answered."""
    if "query" not in request["requests"]:
        return "unknown"
    answer = send(request, "query")
    fits = [state for state in ("on", "off") if re.search(request[f"query_{state}"], answer.text)]
    if len(fits) == 1:
        return fits[0]
    how = "both query_on and query_off fit" if fits else "neither query_on nor query_off fits"
    # What it answered is not told: the URL may lead to where only the controller can read.
    raise Failed("power_misconfigured", f"{how} what it answered (status {answer.status}, {answer.size} bytes)")


def power(request: dict[str, Any], end: float) -> str:
    """Bring about the wanted state and, where it can be asked, wait for it."""
    wanted, now = request["wanted"], query(request, end)
    if wanted == "cycle":
        if now == "off":
            return switch(request, "on", now, end)
        if "cycle" in request["requests"]:
            send(request, "cycle")
            return "on"
        switch(request, "off", now, end)
        return switch(request, "on", "off" if now == "on" else now, end)
    return switch(request, wanted, now, end)


def switch(request: dict[str, Any], wanted: str, now: str, end: float) -> str:
    """Turn on or off, unless it is."""
    if now == wanted:
        return wanted
    send(request, wanted)
    arrive(now, (wanted, "unknown"), lambda: query(request, end), end)
    return wanted


def check(request: dict[str, Any], end: float) -> str:
    """Ask what can be asked without changing anything: the state, else whether the servers answer at all."""
    if "query" in request["requests"]:
        return query(request, end)
    for url in {(_server(urlsplit(each["url"]))) for each in request["requests"].values()}:
        scheme, host, port = url
        try:
            with connect(host or "", port, CONNECT) as connection:
                if scheme == "https":
                    _tls(request["verify"]).wrap_socket(connection, server_hostname=host).close()
        except OSError as error:
            raise _failed(error) from None
    return "unknown"


CALLS = {"query": query, "power": power, "check": check}
