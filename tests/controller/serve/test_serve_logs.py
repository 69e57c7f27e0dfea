# SPDX-License-Identifier: GPL-3.0-or-later
"""No token and no secret is ever logged, whatever wrote the line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOKEN = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF"

LOGGING = f"""
import logging, sys
from metalwright.serve import logs
logs.configure()
import structlog
structlog.get_logger().info("asked", path="/agent/{TOKEN}/hello", password="hunter2", count=3)
logging.getLogger("other.library").warning("can not send %s", "/seed/{TOKEN}/user-data")
try:
    raise ValueError("/files/{TOKEN}/image")
except ValueError:
    structlog.get_logger().exception("broken")
logging.getLogger("other.library").info("chatter")
assert not any(name.partition(".")[0] == "rich" for name in sys.modules)
"""


def test_tokens_and_secrets_are_blanked_in_every_line() -> None:
    run = subprocess.run([sys.executable, "-W", "error", "-c", LOGGING], capture_output=True, text=True, check=True)
    assert TOKEN not in run.stderr
    assert "hunter2" not in run.stderr
    asked, foreign, broken = (json.loads(line) for line in run.stderr.splitlines())
    assert asked["path"] == "/agent/***/hello"
    assert asked["password"] == "***"
    assert asked["count"] == 3
    assert foreign["event"] == "can not send /seed/***/user-data"
    assert foreign["level"] == "warning"
    assert "ValueError: /files/***/image" in broken["exception"]


@pytest.mark.parametrize(
    "path", ["/agent/enlist", "/report/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/srv/files/2024-backup-of-a-week.tar"]
)
def test_what_only_looks_alike_is_no_token(path: str) -> None:
    from metalwright.lifecycle.tokens import blanked

    assert blanked(f"POST {path}") == f"POST {path}"


GOING_ON = """
import logging, sys
from metalwright.serve import logs
logs.configure()
import structlog
structlog.get_logger().warning("service died")
logging.getLogger("other.library").warning("too")
print("goes on")
"""


def test_a_full_disk_under_the_log_ends_nothing() -> None:
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run([sys.executable, "-c", GOING_ON], stdout=subprocess.PIPE, stderr=full, text=True)
    assert run.stdout == "goes on\n"
