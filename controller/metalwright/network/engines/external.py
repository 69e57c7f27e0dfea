# SPDX-License-Identifier: GPL-3.0-or-later
"""For sites whose own servers answer DHCP and DNS: they are told what to serve, and what of it has changed.

Everything lies in ``<data_dir>/network``: ``state.json``, all there is to serve; ``changes.json``, what of it the site's servers
were not told yet; snippets for those who want to include them; and ``acknowledged.json``, the state that was carried over last. A
hook, if there is one, gets the changes on standard input; when it ends with status 0, they were carried over. It may be run
again with the same changes, and has to come to the same then. Where there is none, a person is shown the changes, and says when
they were carried over: ``shown.json`` is the state that they lead to.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metalwright.config import Settings
from metalwright.errors import Unavailable
from metalwright.network.engines import Change, Process, external_snippets
from metalwright.network.engines.configuration import replace
from metalwright.network.engines.leases import Lease
from metalwright.network.model import NetworkState

Changes = dict[str, dict[str, list[Any]]]
"""By kind (``networks, hosts, domains, records, settings``): ``added`` and ``removed`` things, ``changed`` ones as
``{"before": ..., "after": ...}``. Kinds and lists that are empty are left out."""

_KEYS = {
    "networks": ("id",),
    "hosts": ("address", "mac"),
    "domains": ("name",),
    "records": ("domain", "name", "type", "data"),
    "settings": (),
}
_ENDS_WITHIN = 5.0
"""Seconds that a hook has to put things in order when it has taken too long."""
_POLL = 0.02


class External:
    """Files, and the hook."""

    def __init__(self, settings: Settings) -> None:
        self._hook = settings.dhcp.hook
        self._patience = settings.dhcp.hook_seconds
        self.directory = settings.data_dir.resolve() / "network"
        self._state = self.directory / "state.json"
        self._acknowledged = self.directory / "acknowledged.json"
        self._shown = self.directory / "shown.json"

    def check(self, state: NetworkState) -> None:
        """What the site's own servers can do is not known here."""

    def apply(self, state: NetworkState) -> Change:
        """Write the files, and have the hook carry over what has changed; see ``Engine.apply``.

        Raises ``Unavailable`` (``hook_failed``): then the changes are told again, with those that come meanwhile.
        """
        with self._locked():
            self._write("state.json", json.dumps(asdict(state), indent=1) + "\n")
            found = self._differences()
            self._write("changes.json", json.dumps(found, indent=1) + "\n")
            for name, text in external_snippets.files(state).items():
                self._write(name, text)
            if not found:
                return Change.NOTHING
            if self._hook:
                self._run(found)
                self._acknowledge(self._state)
            return Change.RELOADED

    def differences(self) -> Changes:
        """What the site's servers were not told yet, as of the last ``apply``."""
        with self._locked():
            return self._differences()

    def show(self) -> Changes:
        """The ``differences``, for a person who carries them over and then calls ``acknowledge``."""
        with self._locked():
            found = self._differences()
            if found:
                replace(self._shown, self._state.read_text(encoding="utf-8"))
            else:
                self._shown.unlink(missing_ok=True)
            return found

    def acknowledge(self) -> bool:
        """What ``show`` told last was carried over, but nothing that came since. False if it told nothing since the last time."""
        with self._locked():
            shown = self._shown.exists()
            if shown:
                self._acknowledge(self._shown)
            return shown

    def processes(self) -> Sequence[Process]:
        """There are none."""
        return ()

    def leases(self) -> list[Lease]:
        """None that we know of."""
        return []

    def lease_files(self) -> Sequence[Path]:
        """There are none."""
        return ()

    def take_over(self, leases: Sequence[Lease]) -> None:
        """The site's own servers have their own."""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            replace(path, text)

    def _differences(self) -> Changes:
        return differences(_parts(self._acknowledged), _parts(self._state))

    def _acknowledge(self, carried_over: Path) -> None:
        text = carried_over.read_text(encoding="utf-8")
        self._shown.unlink(missing_ok=True)
        replace(self._acknowledged, text)
        self._write("changes.json", json.dumps(self._differences(), indent=1) + "\n")

    def _run(self, found: Changes) -> None:
        told = json.dumps({"directory": str(self.directory), "changes": found})
        pipe = subprocess.PIPE
        try:
            with subprocess.Popen(
                self._hook, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
            ) as hook:
                try:
                    out, err = hook.communicate(told, self._patience)
                except BaseException:
                    _end(hook)
                    raise
        except subprocess.TimeoutExpired:
            why = f"it has not ended within {self._patience} s"
        except OSError as error:
            why = f"it can not be run ({error.strerror})"
        else:
            if hook.returncode == 0:
                return
            words = (err.strip() or out.strip() or "it said nothing").splitlines()[-1][:200]
            why = f"it ended with status {hook.returncode}: {words}"
        message = f"The site's servers were not told what has changed by {self._hook[0]}: {why}."
        raise Unavailable(
            "hook_failed", message, "Mend the hook; 'metalwright network apply' runs it at once.", hook=self._hook[0]
        )


def _end(hook: subprocess.Popen[str]) -> None:
    """End a hook and all it has started, so that nothing of it goes on when it is run again.

    They are told to end first: what is killed leaves its locks behind. Their process group has the number of the hook's own
    process, which nobody else gets while one of them is there.
    """
    until = time.monotonic() + _ENDS_WITHIN
    with suppress(ProcessLookupError, PermissionError):  # none is left, or none but another user's
        os.killpg(hook.pid, signal.SIGTERM)
        while time.monotonic() < until:
            time.sleep(_POLL)
            hook.poll()  # the hook itself is there until it was waited for
            os.killpg(hook.pid, 0)
        os.killpg(hook.pid, signal.SIGKILL)


def differences(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> Changes:
    """What is between two states, by kind."""
    found: Changes = {}
    for kind, key in _KEYS.items():
        old, new = ({tuple(each[name] for name in key): each for each in state.get(kind, ())} for state in (before, after))
        told = {
            "added": [each for name, each in new.items() if name not in old],
            "changed": [{"before": old[name], "after": each} for name, each in new.items() if old.get(name, each) != each],
            "removed": [each for name, each in old.items() if name not in new],
        }
        if any(told.values()):
            found[kind] = {what: things for what, things in told.items() if things}
    return found


def _parts(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The things of a state by kind; records apart from their domains."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    domains = [{name: value for name, value in domain.items() if name != "records"} for domain in state["domains"]]
    records = [{"domain": domain["name"], **record} for domain in state["domains"] for record in domain["records"]]
    settings = [{"default_domain": state["default_domain"], "resolver": state["resolver"]}]
    return {"networks": state["networks"], "hosts": state["hosts"], "domains": domains, "records": records, "settings": settings}
