# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines that the conformance suite is run on. An engine that is added here has to pass all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from metalwright.config import Dhcp, Node, Settings, Tftp

URL = "http://10.99.0.1:5248"


def _dnsmasq(directory: Path) -> Settings:
    return Settings(
        data_dir=directory,
        node=Node(url=URL),
        dhcp=Dhcp(engine="dnsmasq", interface="server"),
        tftp=Tftp(listen="0.0.0.0:69"),
    )


def _kea_bind(directory: Path) -> Settings:
    return Settings(
        data_dir=directory,
        node=Node(url=URL),
        dhcp=Dhcp(engine="kea+bind", interface="server"),
        tftp=Tftp(listen="0.0.0.0:69"),
    )


ENGINES: dict[str, Callable[[Path], Settings]] = {"dnsmasq": _dnsmasq, "kea+bind": _kea_bind}
"""Name of the engine to the settings by which it keeps its files in a directory and serves the interface ``server``."""
