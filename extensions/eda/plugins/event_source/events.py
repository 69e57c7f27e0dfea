# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of a controller, for ansible-rulebook. Each is delivered at least once, in order, from a cursor on that is kept."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

DOCUMENTATION = r"""
short_description: What happens to machines, as a source of events
version_added: 0.1.0
description:
  - Asks the controller for events by long polls, which are answered as soon as something happens.
  - After a restart it goes on where it was. Nothing is lost meanwhile, unless the controller was told to keep its events for a
    shorter time. An event that was being worked on when the rulebook was stopped is delivered again.
  - A controller that does not answer is asked again, with pauses that grow to half a minute. What can not get better by itself,
    such as a token that is refused, ends the rulebook with a message.
author:
  - The Metalwright authors (@metalwright)
options:
  url:
    description: URL of the controller. The environment variable C(METALWRIGHT_URL) if not given.
    type: str
    default: http://127.0.0.1:5240
  token:
    description: Its token. The environment variable C(METALWRIGHT_TOKEN) if not given.
    type: str
  ca_path:
    description: Certificates by which the controller is verified. C(METALWRIGHT_CA_PATH), else those of the system, if not given.
    type: str
  kind:
    description: Only events of these kinds, for example V(operation.failed). All if not given.
    type: list
    elements: str
  machine:
    description: Only events of these machines. Of all if not given.
    type: list
    elements: str
  cursor_file:
    description: File in which the cursor is kept. Not kept if not given.
    type: str
  after:
    description:
      - Where to begin when there is no cursor in O(cursor_file).
      - V(latest), with what happens from now on. A number is the cursor of the last event that is known already.
    type: str
    default: latest
  wait:
    description: Seconds that a poll waits for an event, 60 at most.
    type: int
    default: 30
"""

EXAMPLES = r"""
- metalwright.fleet.events:
    url: https://metal.example.com
    ca_path: /etc/ssl/metal.pem
    kind: [operation.failed]
    cursor_file: /var/lib/eda/metalwright.cursor
"""

LONGEST_PAUSE = 30.0
"""Seconds between two tries while the controller does not answer."""
TIMEOUT = 20
"""Seconds that an answer may take beyond what the poll waits."""
BATCH = 100


class _NoRedirect(HTTPRedirectHandler):
    """The token goes to the controller and to nobody else."""

    def redirect_request(self, *_arguments: Any) -> None:
        """Follow none."""


class Source:
    """Asks one controller; holds the cursor."""

    def __init__(self, args: dict[str, Any]) -> None:
        self.url = (args.get("url") or os.environ.get("METALWRIGHT_URL") or "http://127.0.0.1:5240").rstrip("/")
        self.wait = max(0, min(int(args.get("wait", 30)), 60))
        self._filter = [(name, value) for name in ("kind", "machine") for value in _listed(args.get(name))]
        self._file = Path(args["cursor_file"]) if args.get("cursor_file") else None
        self._token = args.get("token") or os.environ.get("METALWRIGHT_TOKEN") or ""
        self._opener = _opener(args.get("ca_path") or os.environ.get("METALWRIGHT_CA_PATH"))
        self.cursor = self._kept() or str(args.get("after", "latest"))
        self._done = -1

    def ask(self) -> tuple[list[dict[str, Any]], int]:
        """The events after the cursor, and the cursor after them. Waits for one if there is none."""
        query = urlencode([*self._filter, ("after", self.cursor), ("wait", self.wait), ("limit", BATCH)])
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        request = Request(f"{self.url}/api/v1/events?{query}", headers=headers)
        with self._opener.open(request, timeout=self.wait + TIMEOUT) as response:
            answer = json.load(response)
        return answer["events"], int(answer["cursor"])

    def keep(self, cursor: int) -> None:
        """Note that everything up to the cursor is done with; the file is replaced whole or not at all."""
        if self._file is not None and cursor > self._done:
            fresh = self._file.with_name(self._file.name + ".new")
            fresh.write_text(f"{cursor}\n", encoding="ascii")
            fresh.replace(self._file)
            self._done = cursor

    def _kept(self) -> str:
        if self._file is None or not self._file.exists():
            return ""
        text = self._file.read_text(encoding="ascii", errors="replace").strip()
        if not text.isdigit():
            raise ValueError(f"metalwright.fleet.events: {self._file} holds no cursor; remove it to begin anew")
        return text


async def main(queue: asyncio.Queue[Any], args: dict[str, Any]) -> None:
    """Put the controller's events into the queue, for ever. Raises for what does not get better by itself."""
    source = Source(args)
    pause = 1.0
    while True:
        try:
            events, cursor = await asyncio.to_thread(source.ask)
        except (HTTPError, URLError, OSError, ValueError, KeyError) as error:
            _raise_if_final(source, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            continue
        pause = 1.0
        if not events:  # the last one was taken a poll ago
            await asyncio.to_thread(source.keep, cursor)
        for event in events:
            await queue.put(event)  # there is room for one: what came before has been taken
            await asyncio.to_thread(source.keep, event["id"] - 1)
            await asyncio.sleep(0)
        source.cursor = str(cursor)


def _raise_if_final(source: Source, error: Exception) -> None:
    """A refusal of what is asked, or a certificate that is not trusted, is the same again however often one asks."""
    if isinstance(error, HTTPError) and error.code in (400, 401, 403, 404, 422):
        raise RuntimeError(f"metalwright.fleet.events: {source.url} answered {error.code}: {_said(error)}") from None
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        message = f"metalwright.fleet.events: {source.url} is not trusted: {reason.verify_message}"
        raise RuntimeError(message) from None  # noqa: TRY004 - a certificate, not an argument


def _said(error: HTTPError) -> str:
    try:
        answer = json.load(error)
        return f"{answer['message']} {answer.get('hint', '')}".strip()
    except (ValueError, KeyError, TypeError):
        return str(error.reason)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value or []]


def _opener(ca_path: str | None) -> OpenerDirector:
    return build_opener(_NoRedirect(), HTTPSHandler(context=ssl.create_default_context(cafile=ca_path)))


if __name__ == "__main__":

    class _Shown:
        """Stands for the queue when this file is run by hand: python events.py"""

        async def put(self, event: dict[str, Any]) -> None:
            """Print the event."""
            print(json.dumps(event))  # noqa: T201

    asyncio.run(main(_Shown(), {"after": "0"}))  # type: ignore[arg-type]
