# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP children: gunicorn's threaded worker without gunicorn's arbiter.

The arbiter would be a second supervisor below ours (10 MB, and a worker that outlives it): opening sockets, forking, restarting
and telling of deaths is done by ``supervisor.py`` for every service alike. What is used of gunicorn is the part that speaks HTTP.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

STOP_SECONDS = 3
"""How long requests under way may take once the service stops; long polls and downloads are cut and asked for again."""
KEEP_ALIVE_SECONDS = 15
READ_SECONDS = 15
"""How long a thread waits for the next byte of a request that has begun."""
LOST_SECONDS = 300
"""How long a client may acknowledge nothing of what it is sent: a machine whose power was cut never closes its download."""
CONNECTIONS = 4000
_MAPPED = "::ffff:"
"""Before an IPv4 address that is written as one of IPv6 (RFC 4291, 2.5.5.2)."""


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's log and access log by way of structlog, which blanks tokens."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.propagate = True
        self._access_log_enabled = True
        self._access = structlog.get_logger().bind(plane=cfg.proc_name)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if isinstance(sys.exc_info()[1], (BlockingIOError, TimeoutError)):
            return  # READ_SECONDS or LOST_SECONDS have passed: a slow client is no failure of ours
        super().exception(msg, *args, **kwargs)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:  # noqa: ARG002
        self._access.info(
            "request",
            method=environ.get("REQUEST_METHOD"),
            path=environ.get("RAW_URI"),
            status=int(str(resp.status).split(None, 1)[0]),
            bytes=resp.sent,
            ms=round(request_time.total_seconds() * 1000, 1),
            peer=environ.get("REMOTE_ADDR"),
        )


class _Worker(ThreadWorker):  # type: ignore[misc]
    def init_signals(self) -> None:
        super().init_signals()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def notify(self) -> None:
        """Touches no file at every event: the arbiter that would watch it is not there."""

    def handle(self, conn: Any) -> Any:
        conn.client = _plain(conn.client)
        keep = super().handle(conn)
        if not keep:
            # gunicorn closes in the loop that serves everybody and waits there up to 2 s for each client that does not close
            # its end: a machine that is turned off would hold up all others. Here it holds up only this thread.
            conn.close(graceful=True)
            conn.close = _closed_already
        return keep


def _plain(client: Any) -> Any:
    """A client's address as IPv4 where it is IPv4: a socket that listens on IPv6 has ``::ffff:10.0.0.5`` for 10.0.0.5."""
    if isinstance(client, tuple) and str(client[0]).startswith(_MAPPED):
        return (client[0].removeprefix(_MAPPED), *client[1:])
    return client


def _closed_already(*, graceful: bool = False) -> None:
    """Stands in for the closing of a connection that is closed."""


class _Loaded:
    """What gunicorn's worker wants to be handed: something that gives the application."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def wsgi(self) -> Application:
        return self._application


def serve(plane: str, sockets: list[socket.socket], application: Application, threads: int) -> None:
    """Serve HTTP on open sockets until SIGTERM, then for a few seconds what is under way."""
    for listener in sockets:
        _give_up_on_slow_clients(listener)
    config = Config()
    config.set("proc_name", plane)
    config.set("threads", threads)
    config.set("worker_connections", max(CONNECTIONS, threads * 2))
    config.set("keepalive", KEEP_ALIVE_SECONDS)
    config.set("graceful_timeout", STOP_SECONDS)
    worker = _Worker(1, os.getppid(), sockets, _Loaded(application), 0, config, _Logger(config))
    worker.init_process()


def _give_up_on_slow_clients(listener: socket.socket) -> None:
    """Limits that accepted connections inherit (socket(7), tcp(7)): gunicorn's threads have none and would be held for ever."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_SECONDS, 0))
    if listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_SECONDS * 1000)
