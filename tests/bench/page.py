# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs every benchmark, prints their tables as one, and puts them into docs/reference/performance.md with host and date.

Run as root: make bench, or page.py [NAME ...] for some of them. What is written between the tables on the page is left alone.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/performance.md"
BENCHMARKS = {
    "spine": ("One machine, beside its floors", "spine.py"),
    "inventory": ("An inventory of 10,000 machines, beside its floor", "inventory.py"),
    "control-plane": ("Control plane beside Ironic", "control_plane.py"),
    "tftp": ("TFTP beside tftpd-hpa and dnsmasq", "tftp.py", "full"),
    "files": ("Files beside nginx", "files.py"),
    "storm": ("Boot storms", "storm.py"),
}
"""By the name of the place on the page: the heading it is printed under, then script and arguments."""
_MIB = 1 << 20


def host() -> str:
    """What it was measured on, and when."""
    models = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {len(models)} x {models[0] if models else platform.machine()}, {memory:,} MiB, {system}, "
        f"Linux {platform.release()}, Python {platform.python_version()}, load before it began: {load}"
    )


def run(script: str, *arguments: str) -> str:
    """The table that a benchmark prints, fenced unless it is Markdown. Each line is shown as soon as it is there.

    Raises ``SystemExit`` when it fails.
    """
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"{script} failed; docs/reference/performance.md has what was measured before it")
    table = "".join(lines).strip()
    return table if table.startswith("|") else f"```text\n{table}\n```"


def placed(page: str, name: str, table: str) -> str:
    """The page with a table in its place; at its end when it has none for it yet."""
    begin, end = f"<!-- bench: {name} -->", f"<!-- end: {name} -->"
    block = f"{begin}\n\n{table}\n\n{end}"
    if begin not in page:
        return f"{page.rstrip()}\n\n## {BENCHMARKS[name][0]}\n\n{block}\n"
    before, _, rest = page.partition(begin)
    return before + block + rest.partition(end)[2]


def main() -> None:
    """One after the other: each has the host to itself. A table is on the page as soon as it is there."""
    tables = []
    for name in sys.argv[1:] or BENCHMARKS:
        heading, script, *arguments = BENCHMARKS[name]
        print(f"{heading} ...", file=sys.stderr, flush=True)
        where = host()
        table = f"{run(script, *arguments)}\n\n{where}."
        PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), name, table), encoding="utf-8")
        tables.append(f"{heading}\n\n{table}\n")
    print("\n".join(tables))


if __name__ == "__main__":
    main()
