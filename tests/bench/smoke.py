# SPDX-License-Identifier: GPL-3.0-or-later
"""Each benchmark at its smallest size: whether it still runs, prints its rows and loses nothing. Nothing here is about time.

Those that need virtual machines or Ironic are left out. Run as root: make bench-smoke
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SMALL: dict[tuple[str, ...], tuple[str, ...]] = {
    ("tftp.py", "smoke"): (
        "| 1 MB, 1 client | Metalwright |",
        "| 1 MB, 1 client | tftpd-hpa |",
        "| 1 MB, 1 client | dnsmasq |",
        "| 1 MB, 8 clients | Metalwright |",
        "| 1 MB, 8 clients | Metalwright, windows of 4 |",
        "| 1 MB, 8 clients | tftpd-hpa |",
        "| 1 MB, 8 clients | dnsmasq |",
    ),
    ("files.py", "smoke"): (
        "| kernel, 4 clients | Metalwright |",
        "| kernel, 4 clients | nginx |",
        "| agent's root, 1 client | Metalwright |",
        "| agent's root, 1 client | nginx |",
        "| 1 MiB of the image, 4 clients | Metalwright |",
        "| 1 MiB of the image, 4 clients | nginx |",
    ),
    ("storm.py", "10"): ("| 10 | 10 |",),
    ("inventory.py", "200", "1"): (
        "200 machines;",
        "all fields ",
        "fields that are used, grouped",
        "and one of the hardware",
        "all fields, grouped",
        "all fields and all of the hardware",
    ),
    ("network.py", "--hosts", "20"): ("first 20 hosts", "one host more", "its address changed", "it is gone", "a CNAME more"),
}
"""What is run, and what has to be in the lines that it prints."""


def run(script: str, *arguments: str) -> str:
    """Run a benchmark, and show what it printed. Raises ``SystemExit`` when it fails."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout, flush=True)
    if done.returncode:
        raise SystemExit(f"{script} failed: {done.stderr[-4000:]}")
    return done.stdout


def main() -> None:
    """Ends with an error when a row is missing."""
    missing = []
    for (script, *arguments), rows in SMALL.items():
        printed = run(script, *arguments)
        missing += [f"{script}: {row}" for row in rows if row not in printed]
    if missing:
        raise SystemExit("rows that were not printed:\n" + "\n".join(missing))


if __name__ == "__main__":
    main()
