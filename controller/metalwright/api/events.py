# SPDX-License-Identifier: GPL-3.0-or-later
"""``/events``: what happened, from a cursor on; at once, by long poll, or as a stream of server-sent events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence

from flask import Blueprint, Response, request
from sqlalchemy import or_

from metalwright.api import event_schema
from metalwright.api.context import Context, context
from metalwright.api.endpoint import Reply, endpoint
from metalwright.api.event_schema import LARGEST, EventQuery, Events
from metalwright.errors import Unavailable
from metalwright.store.events import horizon, read
from metalwright.store.models import Event

events = Blueprint("events", __name__)

STREAM_SECONDS = 600
"""How long a stream lasts; the client connects again (its token is looked at again) and goes on where it was."""
KEEP_ALIVE_SECONDS = 5
STREAM_PAUSE = 0.5


@endpoint(events, "GET", "/events", query=EventQuery, answers={200: Events}, streams=True)
def list_events(*, query: EventQuery) -> Reply:
    """List events in the order they happened.

    With ``Accept: text/event-stream`` the answer is a stream (WHATWG HTML, server-sent events): ``id`` is the cursor, ``event``
    the kind, ``data`` the event as JSON; ``Last-Event-ID`` goes before ``after``.
    """
    here = context()
    after = _latest(here) if query.after == "latest" else min(max(query.after, 0), LARGEST)
    if request.accept_mimetypes.best_match(["application/json", "text/event-stream"]) == "text/event-stream":
        return _stream(here, query, _last_event_id(after))

    def look() -> tuple[bool, Sequence[Event]]:
        found = _read(here, query, after)
        return bool(found), found

    found = here.wait_for(look, query.wait)
    return {"events": [event_schema.show(event) for event in found], "cursor": found[-1].id if found else after}


def _latest(here: Context) -> int:
    with here.store.session() as session:
        return horizon(session)


def _last_event_id(after: int) -> int:
    given = request.headers.get("Last-Event-ID", "")
    return min(int(given), LARGEST) if given.isascii() and given.isdigit() and len(given) < 20 else after


def _read(here: Context, query: EventQuery, after: int) -> Sequence[Event]:
    conditions = []
    if query.machine:
        conditions.append(or_(Event.machine_id.in_(query.machine), Event.machine_name.in_(query.machine)))
    if query.operation:
        conditions.append(Event.operation_id.in_(query.operation))
    if query.kind:
        conditions.append(Event.kind.in_(query.kind))
    with here.store.session() as session:
        return read(session, after, query.limit, *conditions)


def _stream(here: Context, query: EventQuery, after: int) -> Response:
    if not here.waits.acquire(blocking=False):
        message = "Too many requests wait or stream already."
        raise Unavailable("too_many_streams", message, "Try again, or raise [admin] threads in the settings.")
    response = Response(_lines(here, query, after), mimetype="text/event-stream")
    response.call_on_close(here.waits.release)
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep events back until its buffer is full
    return response


def _lines(here: Context, query: EventQuery, after: int) -> Iterator[str]:
    yield "retry: 1000\n\n"
    ends = time.monotonic() + STREAM_SECONDS
    spoke = time.monotonic()
    while time.monotonic() < ends:
        found = _read(here, query, after)
        for event in found:
            data = json.dumps(event_schema.show(event), separators=(",", ":"), ensure_ascii=False)
            yield f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
            after = event.id
        if found:
            spoke = time.monotonic()
        elif time.monotonic() - spoke >= KEEP_ALIVE_SECONDS:
            yield ":\n\n"  # a comment; a client that has gone is noticed by it
            spoke = time.monotonic()
        time.sleep(STREAM_PAUSE)
