# SPDX-License-Identifier: GPL-3.0-or-later
"""The NoCloud seed of a deployment: what cloud-init on the installed system reads from its own disk.

The agent fetches it while it works and writes it to ``/var/lib/cloud/seed/nocloud``; at any other time it does not exist. All
four names answer 200 while it does, empty or not: cloud-init and agents retry a 404 for a long time.

Precedence, from cloud-init's ``helpers.ConfigMerger``: user-data, then vendor-data, then the image's own configuration. They
are merged key by key into each other, a list as a whole: user-data that names ``packages`` replaces ours. SSH keys are
meta-data (``public-keys``), which ``cc_ssh`` adds to those of user-data instead.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import yaml
from flask import Blueprint, Response
from sqlalchemy.orm import Session

from metalwright.errors import NotFound
from metalwright.lifecycle import tokens, userdata
from metalwright.node import job
from metalwright.node import network_config as network_config_of
from metalwright.node.plane import Plane
from metalwright.store.models import Operation

NO_USER_DATA = "#cloud-config\n{}\n"
"""cloud-init takes a seed only when it has user-data; this one says nothing."""

_VENDOR_OPTIONS = ("manage_etc_hosts", "packages", "package_update", "package_upgrade", "timezone", "power_state")
_OLD_APT_KEYS = frozenset(
    {
        "add_apt_repo_match",
        "apt_custom_sources_list",
        "apt_ftp_proxy",
        "apt_http_proxy",
        "apt_https_proxy",
        "apt_mirror",
        "apt_mirror_search",
        "apt_mirror_search_dns",
        "apt_preserve_sources_list",
        "apt_proxy",
        "apt_sources",
    }
)
"""Before 22.1 these stood for what is below ``apt:`` now."""


def routes(plane: Plane) -> Blueprint:
    """``/seed/<token>/...``."""
    room = Blueprint("seed", __name__, url_prefix="/seed")
    makers = {"meta-data": meta_data, "user-data": user_data, "vendor-data": vendor_data, "network-config": network_config}

    @room.get("/<token>/<name>")
    def seed(token: str, name: str) -> Response:
        with plane.store.session() as session:
            operation = tokens.find(session, token, plane.clock)
            if operation.kind != "deploy" or not job.working(operation) or name not in makers:
                raise NotFound("not_found", "There is nothing here.")
            text = makers[name](plane, session, operation)
        return Response(text, mimetype="text/plain", headers={"Cache-Control": "no-store"})

    return room


def meta_data(plane: Plane, session: Session, operation: Operation) -> str:
    """``instance-id`` is the operation: another deployment is another instance, a reboot is not."""
    hostname = operation.parameters.get("hostname") or operation.machine.name
    domain = _domain(plane, session, operation)
    data: dict[str, Any] = {
        "instance-id": operation.id,
        "local-hostname": f"{hostname}.{domain}" if domain and "." not in hostname else hostname,
    }
    if keys := operation.parameters.get("ssh_keys"):
        data["public-keys"] = keys
    return _yaml(data)


def user_data(_plane: Plane, _session: Session, operation: Operation) -> str:
    """Exactly what was given."""
    return str(operation.parameters.get("user_data") or NO_USER_DATA)


def vendor_data(plane: Plane, _session: Session, operation: Operation) -> str:
    """The options of the deployment as cloud-config, and the package cache; empty when there are none.

    What user-data names is left out: merged key by key, half of our ``power_state`` would survive in the user's.
    """
    given = operation.parameters
    named = userdata.names(given.get("user_data") or "")
    config = {name: given[name] for name in _VENDOR_OPTIONS if given.get(name) is not None and name not in named}
    if "power_state" in config:
        config["power_state"] = _with_minutes(config["power_state"])
    if proxy := plane.settings.package_proxy:
        # where apt: and old keys meet, even from two sources, cloud-init drops the old ones: the user's would be lost
        config |= {"apt_proxy": proxy} if named & _OLD_APT_KEYS else {"apt": {"proxy": proxy}}
    return f"#cloud-config\n{_yaml(config)}" if config else ""


def network_config(plane: Plane, session: Session, operation: Operation) -> str:
    """Network configuration, version 2 (``node.network_config``): empty for a machine of which no card is known."""
    host = urlsplit(plane.url).hostname
    ours = [host] if host and plane.settings.dhcp.runs_here else []  # else somebody else answers names
    site = network_config_of.Site(ours, plane.settings.dns.domain)
    config = network_config_of.of(session, operation.machine, operation.parameters.get("address", "auto"), site)
    return _yaml(config) if config else ""


def _domain(plane: Plane, session: Session, operation: Operation) -> str:
    return network_config_of.main_domain(session, operation.machine) or plane.settings.dns.domain


def _with_minutes(power_state: dict[str, Any]) -> dict[str, Any]:
    """``delay`` as a number of minutes: cloud-init deprecates ``"+30"`` (22.3) and reports a warning for it."""
    delay = str(power_state.get("delay", "")).removeprefix("+")
    return {**power_state, "delay": int(delay)} if delay.isdigit() else power_state


def _yaml(data: dict[str, Any]) -> str:
    return yaml.safe_dump(data, sort_keys=False, default_flow_style=False, allow_unicode=True, width=1000)
