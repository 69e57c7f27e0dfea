# SPDX-License-Identifier: GPL-3.0-or-later
"""Webhooks: events of the log are posted in order to URLs, each until it is taken or given up.

A webhook's row holds all there is to know: the cursor, how long it has been failing, when it is tried again. ``schedule`` puts a
task into the outbox for each webhook that has something to deliver now; ``deliver`` carries it out and moves the cursor after
each event that was taken. So a killed process repeats at most the event it was at, and a webhook that was deleted or disabled is
found out before the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, delete, func, or_, select, true, update
from sqlalchemy.orm import Session

from metalwright.errors import Invalid
from metalwright.lifecycle import tasks
from metalwright.lifecycle.tasks import Claimed
from metalwright.lifecycle.webhook_post import Poster, Undelivered, host_and_port
from metalwright.lifecycle.worker import DELIVER, Handler
from metalwright.outbound import is_link_local
from metalwright.store import Store, tallies
from metalwright.store.base import Clock, utcnow
from metalwright.store.events import as_dict, horizon, read, record
from metalwright.store.models import Event, Task, Webhook

GIVE_UP = timedelta(hours=24)
"""How long an event is tried, counted from when it happened or, if that is later, from the first failure in a row."""
LONGEST_PAUSE = timedelta(hours=1)
TURN = timedelta(seconds=5)
"""How long one task goes on; then others have their turn at its thread."""
RETRIES = 4
"""Webhooks that failed the last time and are tried at once: half of a worker's threads for webhooks, so that those whose servers
hang keep none from the others."""
_PAGE = 100
_PATTERN = re.compile(r"[a-z0-9*][a-z0-9_.*-]{0,47}")


def check_url(url: str) -> str:
    """Raise ``Invalid`` unless events can be posted there: ``webhook_url_invalid``, ``webhook_url_link_local`` or
    ``webhook_url_has_password``.
    """
    try:
        known = url.isascii() and url.isprintable() and " " not in url and bool(host_and_port(url))
    except (ValueError, KeyError):
        known = False
    if not known:
        raise Invalid("webhook_url_invalid", "The URL of a webhook begins with http:// or https:// and names a host.")
    if is_link_local(urlsplit(url).hostname or ""):
        hint = "Use an address of the server that can be routed: clouds give out secrets at link-local ones."
        raise Invalid("webhook_url_link_local", "Nothing is sent to a link-local address.", hint)
    if "@" in urlsplit(url).netloc:
        hint = "Leave them out: what is posted is signed with the webhook's secret."
        raise Invalid("webhook_url_has_password", "The URL of a webhook holds no user name and no password.", hint)
    return url


def check_pattern(pattern: str) -> str:
    """Raise ``Invalid`` (``webhook_pattern_invalid``) unless it is a kind of events, perhaps with ``*`` for any text."""
    if not _PATTERN.fullmatch(pattern):
        message = f"{pattern!r} is no pattern of event kinds."
        raise Invalid("webhook_pattern_invalid", message, "Write it like operation.failed, operation.* or *.")
    return pattern


def matching(patterns: Sequence[str]) -> ColumnElement[bool]:
    """The condition that an event's kind fits one of the patterns; none at all: every kind does."""
    if not patterns:
        return true()
    escaped = (re.sub(r"([_%\\])", r"\\\1", pattern).replace("*", "%") for pattern in patterns)
    return or_(*(Event.kind.like(pattern, escape="\\") for pattern in escaped))


def lane(url: str) -> str:
    """What deliveries to one server share: few of them go there at once."""
    host, port = host_and_port(url)
    return f"{host}:{port}"[:255]


def tally_keys(name: str) -> dict[bool, tallies.Key]:
    """The counters of a webhook: of deliveries that went well, and of those that did not."""
    return {well: tallies.key("webhook_deliveries", webhook=name, result="taken" if well else "failed") for well in (True, False)}


def secret_of(hook: Webhook) -> str:
    """The key of a webhook's signature. Raises ``Undelivered`` where there is none: the key to the credentials was lost."""
    if "hmac" not in hook.secrets:
        raise Undelivered(f"it has no secret; to give it one: metalwright webhook set {hook.name} --secret-file FILE")
    return str(hook.secrets["hmac"])


class Webhooks:
    """Schedules and carries out deliveries."""

    def __init__(self, store: Store, clock: Clock = utcnow) -> None:
        self._store = store
        self._clock = clock

    def handlers(self) -> dict[str, Handler]:
        """Kind of task to what carries it out."""
        return {DELIVER: self.deliver}

    # -- when ------------------------------------------------------------------------------------------------------------------

    def schedule(self, now: datetime) -> None:
        """Put a task into the outbox for every webhook that has an event to deliver now and no task yet."""
        due = select(Webhook).where(Webhook.enabled, or_(Webhook.retry_at.is_(None), Webhook.retry_at <= now))
        with self._store.session() as session:
            newest = session.scalar(select(func.max(Event.id))) or 0
            if session.scalar(due.where(Webhook.cursor < newest).with_only_columns(Webhook.id).limit(1)) is None:
                return
        with self._store.write() as session:
            hooks = session.scalars(due.with_for_update(skip_locked=True).order_by(Webhook.id)).all()
            live = select(Task.payload).where(Task.kind == DELIVER, Task.state.in_(("pending", "running")))
            busy = {payload.get("webhook") for payload in session.scalars(live)}
            retried = sum(hook.id in busy for hook in hooks if hook.failures)
            for hook in sorted(hooks, key=lambda hook: (hook.retry_at or now, hook.id)):
                if hook.id in busy or (hook.failures and retried >= RETRIES):
                    continue
                settled = horizon(session)
                wanted = select(Event.id).where(Event.id > hook.cursor, Event.id <= settled, matching(hook.events)).limit(1)
                if session.scalar(wanted) is not None:
                    tasks.enqueue(session, DELIVER, {"webhook": hook.id}, now=now).lane = lane(hook.url)
                    retried += bool(hook.failures)
                elif hook.cursor < settled:
                    hook.cursor = settled

    # -- what ------------------------------------------------------------------------------------------------------------------

    def deliver(self, task: Claimed) -> None:
        """Post what the webhook waits for, in order, until there is no more, it fails, or others want the thread.

        The task is deleted then: the webhook's row says what became of it.
        """
        hook = self._look(task.payload["webhook"])
        if hook is not None:
            self._post_all(hook)
        with self._store.write() as session:
            session.execute(delete(Task).where(Task.id == task.id, Task.fence == task.fence))

    def _post_all(self, hook: Webhook) -> None:
        ends = self._clock() + TURN
        with Poster(hook.url, verify_tls=hook.verify_tls) as poster:
            while events := self._next(hook):
                for event in events:
                    current = self._look(hook.id)
                    if current is None or current.cursor != hook.cursor or current.url != hook.url or self._clock() > ends:
                        return  # gone, disabled, in other hands, leads elsewhere; or enough for one turn
                    hook = current
                    try:
                        poster.post(as_dict(event), secret_of(hook), self._clock())
                    except Undelivered as failure:
                        moved = self._failed(hook, event, failure)
                    else:
                        moved = self._delivered(hook, event)
                    if not moved:
                        return
                    hook.cursor = event.id

    def _look(self, webhook_id: str) -> Webhook | None:
        with self._store.session() as session:
            hook = session.get(Webhook, webhook_id)
            return hook if hook is not None and hook.enabled else None

    def _next(self, hook: Webhook) -> Sequence[Event]:
        """The next events to post; when there are none the cursor moves past the others."""
        with self._store.session() as session:
            settled = horizon(session)
            found = read(session, hook.cursor, _PAGE, matching(hook.events))
        if not found and hook.cursor < settled:
            with self._store.write() as session:
                _move(session, hook, settled)
        return found

    def _delivered(self, hook: Webhook, event: Event) -> bool:
        """Note that an event was taken; False when somebody else was first."""
        well = {"failures": 0, "last_error": "", "failing_since": None, "retry_at": None, "given_up": 0}
        with self._store.write() as session:
            moved = _move(session, hook, event.id, last_delivery_at=self._clock(), **well)
            if moved:
                tallies.add(session, {tally_keys(hook.name)[True]: 1})
        return moved

    def _failed(self, hook: Webhook, event: Event, failure: Undelivered) -> bool:
        """Note that an event was not taken. True when it is given up and the next one is to be tried now."""
        now = self._clock()
        since = hook.failing_since or now
        pause = min(timedelta(seconds=2.0 ** min(hook.failures, 20)), LONGEST_PAUSE)
        values: dict[str, Any] = {
            "failures": hook.failures + 1,
            "failing_since": since,
            "last_error": failure.reason[:1024],
            "retry_at": now + pause,
        }
        with self._store.write() as session:
            last, count = self._overdue(session, hook, event, failure, since, now)
            values["given_up"] = hook.given_up + count
            if not _move(session, hook, last, **values):
                return False
            tallies.add(session, {tally_keys(hook.name)[False]: 1})
            if count and not hook.given_up:
                give_up(session, hook, count, f"{GIVE_UP // timedelta(hours=1)} h in vain: {failure.reason}", now)
        return count > 0 and failure.status is not None

    def _overdue(
        self, session: Session, hook: Webhook, event: Event, failure: Undelivered, since: datetime, now: datetime
    ) -> tuple[int, int]:
        """The new cursor and how many events are given up: of a server that answers the one it has refused for so long, for it
        may take the next; of one that does not answer all that have waited for so long."""
        if now - max(event.at, since) < GIVE_UP:
            return hook.cursor, 0
        if failure.status is not None:
            return event.id, 1
        late = [Event.id > hook.cursor, Event.id <= horizon(session), Event.at <= now - GIVE_UP, matching(hook.events)]
        last, count = session.execute(select(func.max(Event.id), func.count()).where(*late)).one()
        return last or hook.cursor, count


def give_up(session: Session, hook: Webhook, count: int, why: str, now: datetime) -> None:
    """Tell once that events of a webhook are given up; until one is delivered there is no other such event."""
    what = f"{count} events" if count > 1 else "an event"
    message = f"webhook {hook.name} gave {what} up after {why}"
    data = {"webhook": hook.name, "events": count, "error": why}
    record(session, "webhook.given_up", message, data=data, at=now)


def _move(session: Session, hook: Webhook, cursor: int, **values: Any) -> bool:
    """Write to a webhook if its cursor is still where it was read; False when somebody else has moved it or it is gone."""
    statement = update(Webhook).where(Webhook.id == hook.id, Webhook.cursor == hook.cursor).values(cursor=cursor, **values)
    changed = session.execute(statement.execution_options(synchronize_session=False))
    return bool(changed.rowcount)  # type: ignore[attr-defined]
