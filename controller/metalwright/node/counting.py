# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what machines fetch from the node plane, by what it is and how it was answered."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, request

from metalwright.store import tallies

_WHAT = {
    "boot.start": "start",
    "boot.ipxe": "script",
    "boot.loader": "loader",
    "boot.code": "code",
    "files.image": "image",
    "seed.seed": "seed",
}
_AGENT = {"vmlinuz": "kernel", "initrd.img": "root"}


def install(app: Flask, count: Callable[[tallies.Key], None]) -> None:
    """Have ``count`` called after each fetch of a boot file, an image or a seed; ``code`` is the class of the status: ``2xx``."""

    @app.after_request
    def _counted(response: Response) -> Response:
        what = _WHAT.get(request.endpoint or "")
        if request.endpoint == "boot.agent":
            what = _AGENT.get((request.view_args or {}).get("name", ""))
        if what:
            count(tallies.key("boot_fetches", what=what, code=f"{response.status_code // 100}xx"))
        return response
