# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent leaves on the written disk, so that the installed system reports how its first boot went.

The finisher (``target/report.py``, run by systemd) tells of cloud-init's stages, then of the result and the SSH host keys, and
does not give up. It reads what cloud-init writes below ``/run/cloud-init``. cloud-init's own webhook is not used: it tries
before the network is up, which leaves warnings (and from 23.4 on the status "degraded", exit code 2 of ``cloud-init status``)
on every machine; before 22.3 it holds up the boot while a controller is away; and it neither brings keys nor tries again.

The unit is pulled in by a drop-in of ``multi-user.target`` and not by a link: ``systemctl preset-all``, which runs on a first
boot, does not undo a drop-in.
"""

from __future__ import annotations

import json
from importlib.resources import files as resources
from typing import Any

_CLOUD_CFG = "/etc/cloud/cloud.cfg.d"
_HOME = "/var/lib/metalwright"
_UNIT = "/etc/systemd/system/metalwright-report.service"
_DROP_IN = "/etc/systemd/system/multi-user.target.d/metalwright-report.conf"

_DATASOURCE = """\
# Written by Metalwright. The seed is in /var/lib/cloud/seed/nocloud.
datasource_list: [NoCloud, None]
"""

# Type=simple and not oneshot: the boot is complete without it, however long the controller is away. It is stopped before the
# network goes down, and uses that moment for a last report when user-data turns the machine off straight after cloud-init.
_SERVICE = f"""\
[Unit]
Description=Report the result of the first boot to Metalwright
After=network.target systemd-networkd.service NetworkManager.service networking.service
Before=cloud-final.service
ConditionPathExists={_HOME}/report.py

[Service]
Type=simple
ExecStart=/bin/sh -c 'exec "$(command -v python3 || echo /usr/libexec/platform-python)" {_HOME}/report.py'
TimeoutStopSec=15
"""

_WANTED = "[Unit]\nWants=metalwright-report.service\n"


def files(report_url: str) -> list[dict[str, Any]]:
    """The files, as ``{path, mode, content}`` with absolute paths; those that hold the token are readable by root only."""
    settings = {"url": report_url, "remove": [_DROP_IN, _UNIT]}
    program = (resources("metalwright.node") / "target" / "report.py").read_text(encoding="utf-8")
    return [
        _file(f"{_CLOUD_CFG}/90_metalwright.cfg", _DATASOURCE),
        _file(f"{_HOME}/report.py", program),
        _file(f"{_HOME}/report.json", json.dumps(settings, indent=2) + "\n", 0o600),
        _file(_UNIT, _SERVICE),
        _file(_DROP_IN, _WANTED),
    ]


def _file(path: str, content: str, mode: int = 0o644) -> dict[str, Any]:
    return {"path": path, "mode": mode, "content": content}
