# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step's name means: the one place where names are written."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from . import AGENT_VERSION
from .disks import Disk
from .errors import Refused, StepFailed
from .work import Work


class Steps:
    """Does the steps of one job, and keeps what a later one or the end needs of an earlier one."""

    def __init__(self, work: Work, pause: Callable[[float], None]) -> None:
        """``pause`` sleeps between tries of a download."""
        self.disk: Disk | None = None
        """The disk that was written to."""
        self.login: list[str] = []
        """What a person has to know who wants to log in, in lines."""
        self._work = work
        self._pause = pause

    def do(self, name: str, step: Mapping[str, Any]) -> dict[str, Any]:
        """Do one step and return its result. Raises ``StepFailed`` and whatever goes wrong, ``Aborted``, ``RestartWanted``.

        The modules are loaded only now: a machine says hello the sooner the less of this it has read.
        """
        work = self._work
        if name == "inspect":
            return self._inspect()
        if name == "scripts":
            return dict(module("scripts").run_scripts(work))
        if name == "wipe":
            return dict(module("wipe").wipe_disks(step, work))
        if name == "write":
            self.disk, result = module("write").write_image(step, work, self._pause)
            return dict(result)
        if name == "configure":
            if self.disk is None:
                raise StepFailed("agent_error", "there is nothing to configure: the job has written no image")
            return dict(module("configure").configure(step, work, self.disk))
        if name == "rescue":
            self.login, result = module("rescue").open_door(step, work)
            return dict(result)
        if name == "inquire":
            raise module("inquire").verdict(work)
        raise StepFailed("agent_error", f"this agent ({AGENT_VERSION}) knows no step {name!r}")

    def _inspect(self) -> dict[str, Any]:
        inventory = module("inventory").collect(self._work.abort)
        try:
            self._work.client.post("inventory", {"inventory": inventory})
        except Refused as error:
            raise StepFailed("agent_error", f"the controller does not take the inventory: {error.message}") from error
        return {"disks": len(inventory["disks"]), "nics": len(inventory["nics"])}


def module(name: str) -> Any:
    """Return a module of the agent, loaded when it is first asked for."""
    return importlib.import_module(f"{__package__}.{name}")
