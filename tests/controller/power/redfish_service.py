# SPDX-License-Identifier: GPL-3.0-or-later
"""sushy-tools' Redfish emulator in a process of its own, with machines that are only a memory.

Its configuration is a Python file: ours makes power changes take a second (or for ever) instead of a random one to eleven,
writes down every request, and puts sessions (DSP0266 section 13.3.4) before it, which the emulator itself does not know.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import bcrypt

USER, PASSWORD = "operator", "calvin and hobbes"

CONFIGURATION = """
import json, random, secrets
from sushy_tools.emulator import main

GIVEN = json.loads(%(given)r)
random.randint = lambda first, last: GIVEN["delay"]
SUSHY_EMULATOR_STATE_DIR = GIVEN["directory"]
SUSHY_EMULATOR_AUTH_FILE = GIVEN["users"]
SUSHY_EMULATOR_FAKE_SYSTEMS = GIVEN["systems"]
SESSIONS = "/redfish/v1/SessionService/Sessions"


class Door(main.RedfishAuthMiddleware):
    tokens = {}

    def __call__(self, env, start_response):
        path, method = env["PATH_INFO"], env["REQUEST_METHOD"]
        token = env.get("HTTP_X_AUTH_TOKEN")
        body = env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0))
        env["wsgi.input"] = __import__("io").BytesIO(body)
        how = "session" if token else "basic" if "HTTP_AUTHORIZATION" in env else "none"
        with open(GIVEN["log"], "a") as log:
            log.write(json.dumps([method, path, how, body.decode() if "Sessions" not in path else ""]) + "\\n")
        if path.endswith(tuple(GIVEN["failing"])):
            return self.answer(start_response, "500 Internal Server Error")
        if not GIVEN["sessions"] or path.strip("/") in self._EXCLUDE_PATHS:
            return super().__call__(env, start_response)
        if (method, path) == ("POST", SESSIONS):
            asked = json.loads(body)
            if (asked["UserName"], asked["Password"]) != (GIVEN["user"], GIVEN["password"]):
                return self.answer(start_response, "401 Unauthorized")
            token = secrets.token_hex(8)
            self.tokens[token] = SESSIONS + "/" + token
            return self.answer(start_response, "201 Created", ("X-Auth-Token", token), ("Location", self.tokens[token]))
        if token not in self.tokens:
            return self.answer(start_response, "401 Unauthorized")
        if method == "DELETE" and path == self.tokens[token]:
            del self.tokens[token]
            return self.answer(start_response, "204 No Content")
        return self.app(env, start_response)

    def answer(self, start_response, status, *headers):
        start_response(status, [("Content-Type", "application/json"), *headers])
        return [b"{}"]


main.app.wsgi_app = Door(main.app.wsgi_app, GIVEN["users"])
"""


class RedfishService:
    """Context manager: a service at ``url``; ``systems`` are names, all of them off. Paths that end in one of ``failing`` are
    answered 500."""

    def __init__(
        self,
        directory: Path,
        *systems: str,
        sessions: bool = False,
        delay: int = 1,
        tls: Path | None = None,
        failing: tuple[str, ...] = (),
    ) -> None:
        self.directory = directory
        self.systems = [
            {
                "uuid": f"00000000-0000-4000-8000-{number:012d}",
                "name": name,
                "power_state": "Off",
                "nics": [{"mac": f"52:54:00:0B:{number:02X}:01"}, {"mac": f"52:54:00:0B:{number:02X}:02"}],
            }
            for number, name in enumerate(systems, start=1)
        ]
        self.ids = {str(system["name"]): str(system["uuid"]) for system in self.systems}
        self._sessions, self._delay, self._tls, self._failing = sessions, delay, tls, failing

    def __enter__(self) -> Self:
        self.directory.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://localhost:{self.port}"
        users = self.directory / "users"
        users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
        given = {
            "directory": str(self.directory),
            "users": str(users),
            "user": USER,
            "password": PASSWORD,
            "systems": self.systems,
            "sessions": self._sessions,
            "delay": self._delay,
            "failing": self._failing,
            "log": str(self.directory / "requests"),
        }
        configuration = self.directory / "emulator.conf"
        configuration.write_text(CONFIGURATION % {"given": json.dumps(given)})
        command = [str(Path(sys.executable).with_name("sushy-emulator")), "--fake", "--config", str(configuration)]
        command += ["--interface", "127.0.0.1", "--port", str(self.port)]
        if self._tls:
            command += ["--ssl-certificate", str(self._tls / "server.crt"), "--ssl-key", str(self._tls / "server.key")]
        self._output = (self.directory / "output").open("w")
        self._process = subprocess.Popen(command, stdout=self._output, stderr=self._output, cwd=self.directory)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise AssertionError((self.directory / "output").read_text())

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()

    def parameters(self, **other: Any) -> dict[str, Any]:
        """Parameters of the driver that fit."""
        return {"address": self.url, "username": USER, "password": PASSWORD, **other}

    def requests(self) -> list[tuple[str, str, str, str]]:
        """Method, path, way of logging in and body of every request so far."""
        return [tuple(json.loads(line)) for line in (self.directory / "requests").read_text().splitlines()]  # type: ignore[misc]


def authority(directory: Path) -> Path:
    """Make a certificate authority (``ca.crt``) and a certificate of localhost by it (``server.crt``, ``server.key``)."""
    directory.mkdir()

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=Rack authority")
    openssl("req", *new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (directory / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *signed, "-out", "server.crt")
    return directory
