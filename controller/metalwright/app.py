# SPDX-License-Identifier: GPL-3.0-or-later
"""The two applications, wired: the admin plane for people and programs, the node plane for machines."""

from __future__ import annotations

import threading

from flask import Flask, Response

from metalwright.api import auth, errors
from metalwright.api.context import EXTENSION, Context
from metalwright.api.endpoint import PREFIX
from metalwright.config import Settings
from metalwright.lifecycle.engine import Engine
from metalwright.store import Store
from metalwright.store.base import Clock, utcnow

BODY_BYTES = 2 << 20
"""The largest body the admin plane reads; user-data is the largest thing in one."""


def create_admin_app(settings: Settings, store: Store, clock: Clock = utcnow) -> Flask:
    """The admin plane as a WSGI application."""
    app = Flask("metalwright", static_folder=None)
    _configure_limits(app)
    _configure_context(app, settings, store, clock)
    auth.install(app)
    errors.install(app)
    _configure_headers(app)
    _configure_resources(app)
    return app


def create_node_app(settings: Settings, store: Store, clock: Clock = utcnow) -> Flask:
    """The node plane as a WSGI application; no admin route is in it."""
    from metalwright.node.app import create_app

    return create_app(settings, store, Engine(settings, clock), clock)


def _configure_limits(app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False


def _configure_context(app: Flask, settings: Settings, store: Store, clock: Clock) -> None:
    waits = threading.BoundedSemaphore(max(1, settings.admin.threads * 3 // 4))
    app.extensions[EXTENSION] = Context(settings, store, clock, Engine(settings, clock), waits)


def _configure_headers(app: Flask) -> None:
    @app.after_request
    def _headers(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _configure_resources(app: Flask) -> None:
    from metalwright.api.addresses import addresses
    from metalwright.api.allocations import allocations
    from metalwright.api.chassis import chassis
    from metalwright.api.console import consoles
    from metalwright.api.dhcp_options import dhcp_options
    from metalwright.api.domains import domains
    from metalwright.api.events import events
    from metalwright.api.explain import explanations
    from metalwright.api.images import images
    from metalwright.api.machine_actions import machine_actions
    from metalwright.api.machine_network import machine_network
    from metalwright.api.machines import machines
    from metalwright.api.metrics import metrics
    from metalwright.api.openapi import openapi
    from metalwright.api.operations import operations
    from metalwright.api.pools import pools
    from metalwright.api.power import power_drivers
    from metalwright.api.ranges import ranges
    from metalwright.api.record_sets import record_sets
    from metalwright.api.records import records
    from metalwright.api.reservations import reservations
    from metalwright.api.resolver import resolver
    from metalwright.api.rules import rules
    from metalwright.api.scripts import scripts
    from metalwright.api.status import health, status
    from metalwright.api.subnets import subnets
    from metalwright.api.tokens import tokens
    from metalwright.api.vlans import vlans
    from metalwright.api.webhooks import webhooks

    for resource in (machines, machine_actions, operations, images, subnets, allocations, scripts):
        app.register_blueprint(resource, url_prefix=PREFIX)
    for resource in (events, webhooks, tokens, status, openapi):
        app.register_blueprint(resource, url_prefix=PREFIX)
    for resource in (rules, pools, consoles, explanations, power_drivers, chassis, machine_network):
        app.register_blueprint(resource, url_prefix=PREFIX)
    for resource in (vlans, ranges, reservations, addresses, domains, records, record_sets, resolver, dhcp_options):
        app.register_blueprint(resource, url_prefix=PREFIX)
    app.register_blueprint(health)
    app.register_blueprint(metrics)
