# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker child: carries out the outbox, reaps deadlines, records what the supervisor and the TFTP service
report."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
from functools import partial

from metalwright.config import Settings
from metalwright.lifecycle import measures
from metalwright.lifecycle.effects import Effects
from metalwright.lifecycle.engine import Engine
from metalwright.lifecycle.lost_time import LostTime
from metalwright.lifecycle.playbook_runs import PlaybookRuns
from metalwright.lifecycle.power_polling import Polling
from metalwright.lifecycle.retention import Retention
from metalwright.lifecycle.webhooks import Webhooks
from metalwright.lifecycle.worker import Chore, Worker
from metalwright.runs import place
from metalwright.serve.loader_notes import LoaderNotes
from metalwright.serve.reports import Reports
from metalwright.store import Store


def run(settings: Settings, store: Store, reports: Reports, loader_notes: LoaderNotes) -> None:
    """Work until SIGTERM; what is under way then is finished, put back, or taken over when its lease runs out."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    reports.start_pump(store)
    loader_notes.start_pump(store)
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    place.sweep(settings.runs_dir)
    webhooks, polling, runs = Webhooks(store), Polling(settings, store), PlaybookRuns(settings, store, stop)
    handlers = {**Effects(settings, store).handlers(), **webhooks.handlers(), **polling.handlers(), **runs.handlers()}
    retention = Retention(store, settings)
    engine = Engine(settings)
    chores: list[Chore] = [webhooks.schedule, polling.schedule, partial(measures.fold, store), retention.sweep]
    make_up, threads = LostTime(store, engine, Worker.LEASE).make_up, settings.limits.workers
    Worker(store, engine, handlers, owner=owner, threads=threads, chores=chores, before_reaping=make_up).run(stop)
