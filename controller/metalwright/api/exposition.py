# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics, computed from the database when they are asked for.

What is now is counted: machines, tasks, running operations, each by an index or over a table that is small. What only grows is
kept in tallies (``lifecycle/measures.py``, ``serve/tallying.py``). Nothing here grows with the number of events or of operations
that have ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from metalwright.api.status import untaken_seconds
from metalwright.lifecycle.measures import BUCKETS
from metalwright.lifecycle.states import State
from metalwright.store import Store, tallies
from metalwright.store.models import Event, Image, Machine, Operation, Task, Webhook

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

Tallied = dict[str, list[tuple[dict[str, str], float]]]

COUNTERS = {
    "operations": ("Operations that have ended.", ("operation", "result")),
    "operation_failures": ("Operations that have failed, by the code of the failure.", ("operation", "code")),
    "power_unreachable": ("How often a BMC or power driver began to fail, or to fail for another reason.", ("code",)),
    "boot_fetches": ("What machines fetched from the node plane over HTTP.", ("what", "code")),
    "dhcp_packets": ("DHCP packets seen and sent by the DHCP server that runs here.", ("packet",)),
    "tftp_requests": ("TFTP requests by what became of them.", ("outcome",)),
    "tftp_bytes": ("Bytes sent by TFTP.", ()),
    "webhook_deliveries": ("Tries to post an event.", ("webhook", "result")),
}
"""Tallies that are counters: help and labels."""


def text(store: Store, now: datetime) -> bytes:
    """All metrics in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    with store.session() as session:
        registry.register(Metrics(session, store.url.get_backend_name(), now))
        return generate_latest(registry)


class Metrics(Collector):
    """Reads the database once, when it is collected."""

    def __init__(self, session: Session, database: str, now: datetime) -> None:
        self._session = session
        self._database = database
        self._now = now

    def describe(self) -> list[Metric]:
        """Nothing beforehand: describing would read the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        info = {"version": version("metalwright"), "database": self._database}
        yield InfoMetricFamily("metalwright", "The controller.", value=info)
        yield from self._machines()
        yield from self._operations()
        yield from self._outbox()
        yield from self._webhooks()
        yield from self._images_and_events()
        yield from _counters(tallies.all_of(self._session))

    def _machines(self) -> Iterator[Metric]:
        machines = GaugeMetricFamily("metalwright_machines", "Machines by state.", labels=["state"])
        found = dict(self._rows(select(Machine.state, func.count()).group_by(Machine.state)))
        for state in State:
            machines.add_metric([state], found.get(state, 0))
        yield machines
        code = Machine.power_failure["code"].as_string()
        failing = GaugeMetricFamily(
            "metalwright_machines_power_failing", "Machines whose BMC could not be asked the last time, by code.", labels=["code"]
        )
        for name, count in self._rows(select(code, func.count()).where(code.is_not(None)).group_by(code)):
            failing.add_metric([name], count)
        yield failing

    def _operations(self) -> Iterator[Metric]:
        running = GaugeMetricFamily("metalwright_operations_live", "Operations under way.", labels=["operation", "state"])
        statement = select(Operation.kind, Operation.state, func.count()).where(Operation.state.in_(("queued", "running")))
        for kind, state, count in self._rows(statement.group_by(Operation.kind, Operation.state)):
            running.add_metric([kind, state], count)
        yield running

    def _outbox(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("metalwright_tasks", "Tasks of the outbox that are not done.", labels=["task", "state"])
        statement = select(Task.kind, Task.state, func.count()).where(Task.state.in_(("pending", "running", "failed")))
        for kind, state, count in self._rows(statement.group_by(Task.kind, Task.state)):
            depth.add_metric([kind, state], count)
        yield depth
        oldest = GaugeMetricFamily(
            "metalwright_task_oldest_seconds", "How long the task that is due the longest has waited.", labels=["task"]
        )
        due = select(Task.kind, func.min(Task.run_at)).where(Task.state == "pending", Task.run_at <= self._now)
        for kind, since in self._rows(due.group_by(Task.kind)):
            oldest.add_metric([kind], (self._now - since).total_seconds())
        yield oldest
        yield GaugeMetricFamily(
            "metalwright_task_untaken_seconds",
            "How long tasks have waited with no worker to take them up; 0 while one is at work.",
            value=untaken_seconds(self._session, self._now) or 0,
        )

    def _webhooks(self) -> Iterator[Metric]:
        failures = GaugeMetricFamily(
            "metalwright_webhook_failures", "Deliveries that failed since one went well.", labels=["webhook"]
        )
        given_up = GaugeMetricFamily(
            "metalwright_webhook_given_up", "Events that were given up since one was delivered.", labels=["webhook"]
        )
        columns = (Webhook.name, Webhook.failures, Webhook.given_up)
        for name, failed, lost in self._rows(select(*columns).where(Webhook.enabled).order_by(Webhook.name)):
            failures.add_metric([name], failed)
            given_up.add_metric([name], lost)
        yield from (failures, given_up)

    def _images_and_events(self) -> Iterator[Metric]:
        stored = select(func.max(Image.stored_bytes).label("size")).where(Image.content_sha256.is_not(None))
        each = stored.group_by(Image.content_sha256).subquery()  # images of the same content share a file
        size = self._session.scalar(select(func.sum(each.c.size))) or 0
        yield GaugeMetricFamily("metalwright_image_store_bytes", "Size of all image files.", value=size)
        first, last = self._session.execute(select(func.min(Event.id), func.max(Event.id))).one()
        kept = last - first + 1 if last is not None else 0
        # counting millions of rows would take a second; ids leave gaps only where transactions were rolled back
        yield GaugeMetricFamily("metalwright_events_kept", "Events in the log, by their numbers.", value=kept)
        yield CounterMetricFamily("metalwright_events", "Events so far, by their numbers.", value=last or 0)
        oldest = self._session.scalar(select(Event.at).where(Event.id == first)) if first is not None else None
        if oldest is not None:
            yield GaugeMetricFamily(
                "metalwright_event_oldest_timestamp_seconds",
                "When the oldest event in the log happened.",
                value=oldest.timestamp(),
            )

    def _rows(self, statement: Any) -> Any:
        return self._session.execute(statement).all()


def _counters(found: Tallied) -> Iterator[Metric]:
    for name, (help_text, labels) in COUNTERS.items():
        family = CounterMetricFamily(f"metalwright_{name}", help_text, labels=labels)
        for values, count in found.get(name, []):
            family.add_metric([values.get(label, "") for label in labels], count)
        yield family
    yield _phases(found)


def _phases(found: Tallied) -> Metric:
    family = HistogramMetricFamily(
        "metalwright_phase_duration_seconds", "How long phases of operations took, retries apart.", labels=["operation", "phase"]
    )
    buckets: dict[tuple[str, str], dict[float, float]] = {}
    for labels, count in found.get("phase_seconds_bucket", []):
        counts = buckets.setdefault((labels["operation"], labels["phase"]), dict.fromkeys(BUCKETS, 0.0))
        bound = float(labels["le"])
        counts[bound] = counts.get(bound, 0.0) + count
    sums = {(labels["operation"], labels["phase"]): value for labels, value in found.get("phase_seconds_sum", [])}
    for which, counts in sorted(buckets.items()):
        total, cumulative = 0.0, []
        for bound, count in sorted(counts.items()):
            total += count
            cumulative.append(("+Inf" if bound == float("inf") else str(bound), total))
        family.add_metric(which, cumulative, sums.get(which, 0.0))
    return family
