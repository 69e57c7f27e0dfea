# SPDX-License-Identifier: GPL-3.0-or-later
"""``/metrics`` for Prometheus: with a token like everything else, and without ``/api/v1``, where it is looked for."""

from __future__ import annotations

from flask import Blueprint, Response

from metalwright.api.context import context
from metalwright.api.endpoint import Reply, endpoint

metrics = Blueprint("metrics", __name__)


@endpoint(metrics, "GET", "/metrics", answers={200: str}, media="text/plain")
def get_metrics() -> Reply:
    """Numbers for Prometheus, in its text format. All come from the database, so every controller of it answers the same."""
    from metalwright.api.exposition import CONTENT_TYPE, text  # the library is loaded only where somebody asks

    here = context()
    return Response(text(here.store, here.clock()), content_type=CONTENT_TYPE)
