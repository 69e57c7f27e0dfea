# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a lab, step by step; each step finds out what is there already and does the rest."""

from __future__ import annotations

import secrets
import time
from typing import Any

import requests
from sqlalchemy import select

from metalwright.api.auth import issue
from metalwright.config import load
from metalwright.errors import Conflict, MetalwrightError, Unavailable
from metalwright.lab import accel, assets, daemon, files, host, netns
from metalwright.lab.spec import LabSpec, Places
from metalwright.lab.steps import Steps
from metalwright.serve.data import prepare
from metalwright.store import Store
from metalwright.store.base import utcnow
from metalwright.store.models import ApiToken

TOKEN = "lab"  # noqa: S105 - the name of it
PATIENCE = 60.0


def up(spec: LabSpec, places: Places, steps: Steps) -> None:
    """Have the whole lab: rack, controller, agent, image, subnet, token, and the files that lead to them.

    What is there already is kept. Machines are not enlisted: the playbooks do that.
    """
    with steps.step("Checking this host"):
        host.check()
    with host.alone(places):
        keep_spec(spec, places)
        if not daemon.running(places):
            daemon.check_port(spec)
        agent, image = steps.both(
            ("The agent machines boot into", lambda tell: assets.agent(places, tell)),
            ("Debian 12", lambda tell: assets.image(places, tell)),
        )
        with steps.step("How machines run") as tell:
            chosen = accel.choose(agent.kernel, places.accelerator)
            tell("KVM" if chosen.kind == "kvm" else "emulated: KVM does not boot a kernel here", 1.0)
        with steps.step("Controller's database and files"):
            files.write_configuration(spec, places)
            settings = load(places.config, {})
            store = prepare(settings)
            assets.install_boot_files(settings, agent)
            assets.install_image(settings, store, places, image)
            _keep_token(spec, places, store)
        with steps.step("Network, machines, BMCs, controller") as tell:
            rack(spec, places)
            api = Api(spec, places)
            api.wait()
            tell(f"machines: {len(spec.machines)}", 1.0)
        with steps.step("Subnet") as tell:
            api.have_subnet()
            tell(str(spec.subnet), 1.0)
        files.write_fleet(spec, places)


def rack(spec: LabSpec, places: Places) -> None:
    """Have the network, the machines and the daemon; what runs is left alone.

    Raises ``Conflict("lab_differs")`` if there is a lab of this name that is made of something else, and what ``launch`` and
    ``netns.create`` raise.
    """
    keep_spec(spec, places)
    if not places.bmc_password.exists():
        places.bmc_password.touch(mode=0o600)
        places.bmc_password.write_text(f"{secrets.token_urlsafe(12)}\n", encoding="utf-8")
    netns.write_files(spec, places)
    netns.create(spec)
    if not daemon.running(places):
        daemon.launch(spec, places)


def keep_spec(spec: LabSpec, places: Places) -> None:
    """Write down what the lab is made of, or make sure that it is what was written down."""
    if not places.spec.exists():
        places.spec.write_text(spec.model_dump_json(indent=1), encoding="utf-8")
    elif LabSpec.model_validate_json(places.spec.read_text(encoding="utf-8")) != spec:
        raise Conflict(
            "lab_differs",
            f"There is a lab {spec.name} already, and it is made of something else.",
            f"Leave out the options to go on with it, or remove it: metalwright lab down --name {spec.name}",
        )


def _keep_token(spec: LabSpec, places: Places, store: Store) -> None:
    """Have a token in the environment file. Only its hash is in the database, so a lost one is replaced."""
    if places.env.exists():
        return
    with store.write() as session:
        known = session.scalar(select(ApiToken).where(ApiToken.name == TOKEN))
        if known is not None:
            session.delete(known)
            session.flush()
        _, token = issue(session, TOKEN, now=utcnow())
    files.write_environment(spec, places, token)


class Api:
    """The few calls that making a lab needs of its controller."""

    def __init__(self, spec: LabSpec, places: Places) -> None:
        self._spec = spec
        self._places = places
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the host's has no business here
        self._session.headers["Authorization"] = f"Bearer {files.read_environment(places)['METALWRIGHT_TOKEN']}"

    def wait(self) -> None:
        """Return when the controller answers; ``Unavailable("controller_failed")`` with the end of its log if it does not."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if self._session.get(f"{self._spec.url}/healthz", timeout=5).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.2)
        log = self._places.logs / "controller.log"
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        raise Unavailable("controller_failed", f"The controller does not answer: {' | '.join(last)}", f"Its log is {log}.")

    def have_subnet(self) -> None:
        """Create the machines' subnet unless there is one of that name."""
        spec = self._spec
        if self._session.get(f"{spec.url}/api/v1/subnets/{spec.name}", timeout=10).status_code == requests.codes.ok:
            return
        body: dict[str, Any] = {
            "name": spec.name,
            "cidr": str(spec.subnet),
            "gateway": spec.gateway,
            "dns_servers": [spec.gateway],
            "ranges": [
                {"kind": kind, "start": start, "end": end}
                for kind, (start, end) in (("static", spec.static_range), ("dynamic", spec.dynamic_range))
            ],
        }
        answer = self._session.post(f"{spec.url}/api/v1/subnets", json=body, timeout=10)
        if not answer.ok:
            said = answer.json()
            raise MetalwrightError(said["code"], said["message"], said.get("hint", ""))
