# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell Metalwright how the first boot goes and how it went, then remove every trace of having done so.

Runs on the deployed machine under systemd, from early in the boot until the controller has acknowledged the report. It tells
of cloud-init's stages as they begin and end, and at last of the result, which it writes to disk first and sends again and
again with growing pauses. Whatever interrupts it, the next boot goes on: a result on disk is sent as it is. SIGTERM (the
machine is going down) brings one last try. Each try in vain leaves a line in a log of its own, for whoever looks at the disk of
a machine of which nothing was heard.

Python 3.6 and its standard library, for it must run on whatever the image has.
"""

import errno
import json
import os
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HOME = Path("/var/lib/metalwright")
CLOUD_INIT = Path("/run/cloud-init")
SSH = Path("/etc/ssh")
UPTIME = Path("/proc/uptime")
OUTPUT = Path("/var/log/cloud-init-output.log")  # what cloud-init's modules and their commands have printed
LOG = Path("/var/log/metalwright-report.log")

STAGES = {
    "init-local": "init-local",
    "init": "init-network",
    "modules-config": "modules-config",
    "modules-final": "modules-final",
}
# as status.json calls them, and as cloud-init's own reports do

COMPLAINT = re.compile(
    r"E: |[Ee]rror: |ERROR: |No match for argument|No package |No provider of |Package '.+' (not found|has no installation)"
)
# how apt, dnf, yum, zypper and snap begin a line that says why a package was not installed

CONSOLE_BYTES = 64 << 10
LOG_BYTES = 32 << 10
LOOK_EVERY = 0.25
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
GIVE_UP_AFTER = 6 * 3600.0  # for this boot; the next one tries again
TIMEOUT = 10.0


class Stopping(Exception):
    """The machine is going down."""


def main() -> int:
    """Wait, report, remove. 0 when that is done or need not be done any more, 1 when the next boot has to go on."""
    signal.signal(signal.SIGTERM, stop)
    settings = json.loads((HOME / "report.json").read_text(encoding="utf-8"))
    acknowledged = False
    try:
        tell_of_stages(settings["url"])
        acknowledged = send_until_acknowledged(settings["url"], result())
    except Stopping:
        if has_ended():
            acknowledged = send(settings["url"], result())
    if acknowledged:
        remove([Path(path) for path in settings["remove"]])
    return 0 if acknowledged else 1


def stop(_signal: int, _frame: Any) -> None:
    """Handler of SIGTERM: at once, and once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopping


def has_ended() -> bool:
    """Whether cloud-init has ended, in this boot or in one whose result was not acknowledged."""
    return (HOME / "result.json").exists() or (CLOUD_INIT / "result.json").exists()


def tell_of_stages(url: str) -> None:
    """Return when cloud-init has ended; until then, tell of each stage that begins or ends. What is missed is in the result."""
    told: list[Any] = []
    not_before = 0.0
    while not has_ended():
        seen = stages()
        progress = [(stage["name"], stage["finished"] is None) for stage in seen]
        if progress != told and time.monotonic() >= not_before:
            if send(url, {"origin": "metalwright", "event_type": "progress", "stages": seen, "console": console()}):
                told = progress
            else:
                not_before = time.monotonic() + TIMEOUT
        time.sleep(LOOK_EVERY)


def stages() -> "list[dict[str, Any]]":
    """The stages that have begun, with the moments (seconds since 1970, by this machine's clock) they began and ended."""
    status = read(CLOUD_INIT / "status.json").get("v1", {})
    booted = time.time() - float(UPTIME.read_text(encoding="ascii").split()[0])
    found = []
    for name, told_as in STAGES.items():
        stage = status.get(name)
        if isinstance(stage, dict) and stage.get("start"):
            ended = stage.get("finished")
            found.append(
                {
                    "name": told_as,
                    "started": moment(stage["start"], booted),
                    "finished": moment(ended, booted) if ended else None,
                    "failed": bool(stage.get("errors")),
                }
            )
    return found


def moment(value: float, booted: float) -> float:
    """cloud-init writes seconds since 1970, newer versions seconds since the boot."""
    return value if value > 1e9 else booted + value


def result() -> "dict[str, Any]":
    """How it ended. Written down when it is first made: a later boot has other results, and they are not what counts."""
    path = HOME / "result.json"
    if not path.exists():
        ended = read(CLOUD_INIT / "result.json").get("v1", {})
        report = {
            "origin": "metalwright",
            "event_type": "finished",
            "status": "error" if ended.get("errors") else "done",
            "errors": [str(error)[:2000] for error in ended.get("errors", [])][:20],
            "warnings": warnings(read(CLOUD_INIT / "status.json").get("v1", {})),
            "datasource": str(ended.get("datasource") or ""),
            "host_keys": host_keys(),
            "stages": stages(),
            "complaints": complaints() if ended.get("errors") else [],
            "console": console(),
        }
        new = HOME / "result.json.new"
        with new.open("w", encoding="utf-8") as file:
            json.dump(report, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    return read(path)


def warnings(status: "dict[str, Any]") -> "list[str]":
    """What cloud-init 23.4 and later calls recoverable errors: told, but no failure."""
    found: list[str] = []
    for stage in status.values():
        recoverable = stage.get("recoverable_errors") if isinstance(stage, dict) else None
        for texts in (recoverable or {}).values():
            found.extend(str(text)[:500] for text in texts)
    return found[:20]


def console() -> str:
    """The end of what cloud-init has printed, 64 KiB at most."""
    try:
        with OUTPUT.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - CONSOLE_BYTES, 0))
            return file.read(CONSOLE_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def complaints() -> "list[str]":
    """The lines by which package managers say what they could not do, each once."""
    found: list[str] = []
    try:
        with OUTPUT.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                text = line.strip()[:300]
                if COMPLAINT.match(text) and text not in found and len(found) < 20:
                    found.append(text)
    except OSError:
        pass
    return found


def host_keys() -> "list[str]":
    """Public host keys as ``type base64``, without the comment."""
    paths = sorted(SSH.glob("ssh_host_*_key.pub"))
    return [" ".join(path.read_text(encoding="utf-8", errors="replace").split()[:2]) for path in paths]


def read(path: Path) -> "dict[str, Any]":
    """A JSON object; empty when there is none, or while it is being written."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def send_until_acknowledged(url: str, report: "dict[str, Any]") -> bool:
    """Send with growing pauses; False when that was in vain for hours."""
    pause = FIRST_PAUSE
    until = time.monotonic() + GIVE_UP_AFTER
    while not send(url, report):
        if time.monotonic() > until:
            return False
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
    return True


def send(url: str, report: "dict[str, Any]") -> bool:
    """True when the controller has it, or has nothing to do with this machine's first boot any more."""
    body = json.dumps(dict(report, now=time.time())).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 -- ours
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            if json.loads(response.read().decode()).get("acknowledged"):
                return True
            note(request.host, "its answer is no acknowledgement")
    except urllib.error.HTTPError as error:
        if error.code == 404 and says_not_found(error):
            return True
        note(request.host, f"it answered {error.code}")
    except (OSError, ValueError, AttributeError) as error:
        note(request.host, str(getattr(error, "reason", error)))
    return False


def note(host: str, reason: str) -> None:
    """Leave a line about a try in vain, for people and for the agent that looks at this disk; the oldest lines go first."""
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} cannot reach {host}: {reason}\n"
    sys.stderr.write(line)
    try:
        before = LOG.read_text(encoding="utf-8", errors="replace") if LOG.exists() else ""
        kept = before if len(before) < LOG_BYTES else before[-LOG_BYTES // 2 :].partition("\n")[2]
        with LOG.open("w", encoding="utf-8") as file:
            file.write(kept + line)
            file.flush()
            os.fsync(file.fileno())  # what comes next may be that the machine is cut off
    except OSError:
        pass


def says_not_found(error: urllib.error.HTTPError) -> bool:
    """A 404 of the controller itself: the token is void. Anybody else's 404 means nothing."""
    try:
        return bool(json.loads(error.read().decode()).get("code") == "not_found")
    except (OSError, ValueError, AttributeError):
        return False


def remove(paths: "list[Path]") -> None:
    """Remove the given files, then this program's own, and of their directories those that are left empty.

    Nothing else: user-data may just have installed a controller, which keeps its own data in the same place.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ours = [HOME / name for name in ("report.py", "report.json", "result.json.new", "result.json")]
    for path in [*paths, *ours, LOG]:
        try:
            if path.exists():
                path.unlink()
            if path.parent == HOME or path.parent.name.endswith(".target.d"):
                path.parent.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                sys.stderr.write(f"{path} was not removed: {error}\n")


if __name__ == "__main__":
    sys.exit(main())
