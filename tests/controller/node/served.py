# SPDX-License-Identifier: GPL-3.0-or-later
"""The node plane as it is served: gunicorn's worker, in a process of its own, on a loopback port."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from metalwright.config import load
from metalwright.lifecycle.engine import Engine
from metalwright.node.app import create_app
from metalwright.serve import http
from metalwright.store import Store, sealed

if __name__ == "__main__":
    settings = load(Path(sys.argv[1]))
    sealed.unlock(settings.secret_key)
    store = Store(settings.database)
    listener = socket.socket(fileno=int(sys.argv[2]))
    http.serve("node", [listener], create_app(settings, store, Engine(settings)), threads=4)
