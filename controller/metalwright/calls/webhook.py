# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests that switch the power of one machine. Calls: ``query`` and ``power`` as in ``ipmi``, and ``check``.

``requests`` of the request say for ``on``, ``off``, ``cycle`` and ``query`` what is sent: ``{"url", "method", "body"}``; those
for ``cycle`` and ``query`` may be missing. ``query_on`` and ``query_off`` are regular expressions for what a query answers.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
import urllib.request
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit

from metalwright.calls.conversation import Failed, carry_out, out_of_reach, within

LARGEST = 64 << 10
"""Bytes of an answer that are looked at."""
CONNECT = 5.0


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


def send(request: dict[str, Any], name: str) -> str:
    """Send the request of that name and return what was answered, as text."""
    what = request["requests"][name]
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_tls(request["verify"])),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SameServer(),
    ):
        opener.add_handler(handler)
    body = what["body"].encode() if what["body"] else None
    wanted = urllib.request.Request(what["url"], body, dict(request["headers"]), method=what["method"])  # noqa: S310 - checked
    try:
        with opener.open(wanted, timeout=request["timeout"]) as answer:
            return bytes(answer.read(LARGEST)).decode(errors="replace")
    except HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise Failed("bmc_auth_failed", f"it answered {error.code} to the request for {name}") from None
        raise Failed("power_refused", f"it answered {error.code} to the request for {name}") from None
    except (URLError, OSError) as error:
        raise out_of_reach(error) from None
    except (http.client.HTTPException, ValueError) as error:
        raise Failed("power_refused", f"what answers there does not speak HTTP ({type(error).__name__})") from None


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
    fits = [state for state in ("on", "off") if re.search(request[f"query_{state}"], answer)]
    if len(fits) == 1:
        return fits[0]
    how = "both query_on and query_off fit" if fits else "neither query_on nor query_off fits"
    # What it answered is not told: the URL may lead to where only the controller can read.
    raise Failed("power_misconfigured", f"{how} what it answered ({len(answer)} characters)")


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
    while now not in (wanted, "unknown"):
        if time.monotonic() > end - 1:
            raise Failed("power_refused", f"it accepted the request but the machine is still {now}")
        time.sleep(0.2)
        now = query(request, end)
    return wanted


def check(request: dict[str, Any], end: float) -> str:
    """Ask what can be asked without changing anything: the state, else whether the servers answer at all."""
    if "query" in request["requests"]:
        return query(request, end)
    for url in {(_server(urlsplit(each["url"]))) for each in request["requests"].values()}:
        scheme, host, port = url
        try:
            with socket.create_connection((host, port), CONNECT) as connection:
                if scheme == "https":
                    _tls(request["verify"]).wrap_socket(connection, server_hostname=host).close()
        except OSError as error:
            raise out_of_reach(error) from None
    return "unknown"


CALLS = {"query": query, "power": power, "check": check}

if __name__ == "__main__":
    carry_out(converse)
