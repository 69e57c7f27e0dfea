# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests are conversations: what a module asks the controller, what that answers, what the module makes of it.

They run under C(ansible-test units), and under plain pytest, for which the collection is given its place here.
"""

from __future__ import annotations

import importlib.util
import json
import ssl
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

if importlib.util.find_spec("ansible_collections") is None:
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    place = tempfile.TemporaryDirectory(prefix="metalwright-")
    fleet = Path(place.name, "ansible_collections", "metalwright", "fleet")
    fleet.parent.mkdir(parents=True)
    fleet.symlink_to(Path(__file__).resolve().parents[2])
    sys.path.insert(0, place.name)
    _AnsibleCollectionFinder(paths=[place.name])._install()


class Controller:
    """Plays the controller's part of a conversation. What is asked out of turn is answered 599 and told at the end."""

    def __init__(self):
        self._expected = []
        self.faults = []
        self.heard = []
        controller = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

        def serve(request):
            controller._serve(request)

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, "do_" + method, serve)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def speak_tls(self, certificate, key):
        """Go on with TLS, with this certificate."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *arguments: None  # a client that hangs up is what is tested
        self.url = self.url.replace("http:", "https:")

    def hears(self, method, path, body=None, query=None, answers=None, status=200):
        """Expect one request, after those expected already, and answer it."""
        self._expected.append((method, "/api/v1" + path, query or {}, body, status, answers))
        return self

    def _serve(self, request):
        address = urlsplit(request.path)
        content = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        asked = (request.command, address.path, dict(parse_qsl(address.query)), json.loads(content) if content else None)
        self.heard.append((*asked, request.headers.get("Authorization")))
        status, answer = 599, {"code": "out_of_turn", "message": repr(asked)}
        if self._expected and self._expected[0][:4] == asked:
            status, answer = self._expected.pop(0)[4:]
        else:
            self.faults.append(f"heard {asked}, expected {self._expected[:1]}")
        data = b"" if answer is None else (answer if isinstance(answer, bytes) else json.dumps(answer).encode())
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def end(self):
        """Stop; tell what was said out of turn, and what was not said."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        assert not self.faults
        assert not self._expected


@pytest.fixture
def controller():
    """A controller to talk to; the test fails unless the conversation was exactly the expected one."""
    playing = Controller()
    yield playing
    playing.end()


@pytest.fixture
def run_module(controller, capsys, monkeypatch):
    """Run a module by its name, as Ansible would; returns what it returns."""
    for name in ("METALWRIGHT_URL", "METALWRIGHT_TOKEN", "METALWRIGHT_CA_PATH"):
        monkeypatch.delenv(name, raising=False)

    def run(name, /, check=False, **options):
        from ansible.module_utils.testing import patch_module_args

        module = importlib.import_module("ansible_collections.metalwright.fleet.plugins.modules." + name)
        arguments = {
            "url": controller.url,
            "token": "mw_of_the_tests",
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            **options,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return run


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def clock():
    """A clock that the test owns."""
    return Clock()
