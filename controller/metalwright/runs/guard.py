# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a run: ansible-runner in a child, and whatever that starts; when it ends, none of them is left.

It reads one line of JSON, ``{"directory", "project", "playbook"}``, from its standard input, which stays open: its end means that
nobody wants the run any more, because the worker says so or is dead. It prints lines of JSON: ``{"text": ..}`` as Ansible prints,
``{"task": ..}`` as a task begins, ``{"failed": ..}`` for a task that failed, and last ``{"status", "code", "recap"}``.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any

from metalwright.runs import processes

_NUMBERS = {"ok": "ok", "changed": "changed", "dark": "unreachable", "failures": "failed", "skipped": "skipped"}
"""Names in Ansible's statistics, and in ours."""


def main() -> None:
    """Run, wait for the end of it or of the worker, and leave nothing behind."""
    request = _first_line(sys.stdin.fileno())
    processes.adopt_orphans()
    ended, end = os.pipe()  # the child holds the other end; what it executes does not inherit it
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            processes.die_with(parent)
            os.close(ended)
            _play(json.loads(request))
            code = 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(end)
    select.select([sys.stdin.fileno(), ended], [], [])
    processes.end_descendants()


def _first_line(descriptor: int) -> bytes:
    """Read byte by byte: what is behind the line must stay where ``select`` sees it."""
    line = b""
    while (byte := os.read(descriptor, 1)) not in (b"", b"\n"):
        line += byte
    return line


def _say(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _play(request: dict[str, str]) -> None:
    os.close(sys.stdin.fileno())
    sys.stdin = open(os.devnull, encoding="ascii")  # noqa: SIM115, PTH123 - what is started gets it as its standard input
    import ansible_runner  # in the child alone: the guard stays small

    recap: dict[str, int] = {}

    def heard(event: dict[str, Any]) -> bool:
        kind, data = event.get("event"), event.get("event_data") or {}
        if event.get("stdout"):
            _say(text=event["stdout"])
        if kind == "playbook_on_task_start":
            _say(task=str(data.get("task", "")))
        elif kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
            result = data.get("res") or {}
            _say(failed=str(data.get("task", "")), why=str(result.get("msg") or result.get("stderr") or ""))
        elif kind == "playbook_on_stats":
            recap.update({ours: sum((data.get(theirs) or {}).values()) for theirs, ours in _NUMBERS.items()})
        return False  # the event is not kept in a file

    done = ansible_runner.run(
        private_data_dir=request["directory"],
        project_dir=request["project"],
        playbook=request["playbook"],
        inventory=os.path.join(request["directory"], "inventory"),  # noqa: PTH118 - it wants a string
        event_handler=heard,
        settings={"pexpect_timeout": 1},
        quiet=True,
    )
    _say(status=done.status, code=done.rc, recap=recap)


if __name__ == "__main__":
    main()
