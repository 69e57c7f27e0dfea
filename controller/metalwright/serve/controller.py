# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the controller together: settings, sockets, database, applications, services; then the supervisor runs them."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, MutableMapping

import structlog

from metalwright import __version__
from metalwright.app import create_admin_app, create_node_app
from metalwright.config import Settings
from metalwright.node import counting
from metalwright.serve import http, package_cache, tftp, worker
from metalwright.serve.children import Service
from metalwright.serve.data import prepare
from metalwright.serve.dhcp import Dhcp
from metalwright.serve.loader_notes import LoaderNotes
from metalwright.serve.notify import Notifier
from metalwright.serve.reports import Reports
from metalwright.serve.sockets import Sockets, open_all
from metalwright.serve.supervisor import Supervisor
from metalwright.serve.tallying import Tallying
from metalwright.store import Store

log = structlog.get_logger()

OPEN_FILES = 16384
HANDOVER = 0.0005
"""Seconds for which a thread that computes keeps the interpreter while others want it (``sys.setswitchinterval``; Python: 0.005).
A transaction of thirty statements waits for it thirty times, and while it writes, all other processes wait as well."""


def run(settings: Settings, environ: MutableMapping[str, str] = os.environ) -> None:
    """Run the controller until it is told to stop.

    Raises ``MetalwrightError`` when it can not start: what ``sockets.open_all`` and ``data.prepare`` raise.
    """
    notify = Notifier(environ)
    _raise_limit_of_open_files()
    sys.setswitchinterval(HANDOVER)
    sockets = open_all(settings, environ)
    reports, loader_notes = Reports(), LoaderNotes()
    try:
        _supervise(settings, sockets, reports, loader_notes, notify)
    finally:
        sockets.close_all_but()
        reports.close()
        loader_notes.close()


def _supervise(settings: Settings, sockets: Sockets, reports: Reports, loader_notes: LoaderNotes, notify: Notifier) -> None:
    store = prepare(settings)
    services = _services(settings, store, sockets, reports, loader_notes)
    store.engine.dispose()  # a connection to SQLite must not be carried across a fork

    def died(service: str, how: str, wait: float) -> None:
        again = f"starts again in {wait:g} s" if wait else "is started again"
        data = {"service": service, "how": how, "delay": wait}
        reports.put("service.restarted", f"service {service} {how} and {again}", data)

    def hangup(pids: dict[str, int]) -> None:
        if "dhcp" in pids:
            os.kill(pids["dhcp"], signal.SIGHUP)

    log.info(
        "serving",
        version=__version__,
        admin=[_where(each) for each in sockets.admin],
        node=[_where(each) for each in sockets.node],
        tftp=settings.tftp.listen or None,
        dhcp=settings.dhcp.interface or None,
    )
    if settings.node.url and not (settings.boot_dir / "agent" / "current").exists():
        log.warning("no machine can boot yet: there is no agent", hint="Run 'metalwright agent build'.")
    Supervisor(services, died, notify, hangup).run()


def _services(settings: Settings, store: Store, sockets: Sockets, reports: Reports, loader_notes: LoaderNotes) -> list[Service]:
    """What runs, the admin plane first: it is what people wait for."""
    admin, node = create_admin_app(settings, store), create_node_app(settings, store)
    tallying = Tallying(store)
    counting.install(node, tallying.count)
    tftp_socket = sockets.tftp

    def child(name: str, run: Callable[[], None], *kept: socket.socket) -> Service:
        def begin() -> None:
            sockets.close_all_but(*kept)
            store.dispose()
            run()

        return Service(name, begin)

    def serve_node() -> None:
        tallying.start()
        http.serve("node", sockets.node, node, settings.node.threads)

    services = [
        child("admin", lambda: http.serve("admin", sockets.admin, admin, settings.admin.threads), *sockets.admin),
        child("node", serve_node, *sockets.node),
        child("worker", lambda: worker.run(settings, store, reports, loader_notes)),
    ]
    if tftp_socket is not None:
        services.append(child("tftp", lambda: tftp.run(settings, tftp_socket, loader_notes), tftp_socket))
    if settings.package_cache.listen:
        services.append(child("packages", lambda: package_cache.run(settings)))
    if settings.dhcp.runs_here:
        services.append(child("dhcp", lambda: Dhcp(settings, store, reports).run()))
    return services


def _raise_limit_of_open_files() -> None:
    """The usual soft limit, 1,024, is below the connections one plane accepts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES)), hard))


def _where(listener: socket.socket) -> str:
    name = listener.getsockname()
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)
