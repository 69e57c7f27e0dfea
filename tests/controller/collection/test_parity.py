# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API takes, a module takes, or a reason is written down here why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask

from metalwright.api.openapi import document
from metalwright.power import drivers

CHECKOUT = Path(__file__).resolve().parents[3]
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py"))

ENDPOINTS = {
    "GET /machines": "machine_info",
    "POST /machines": "machine",
    "GET /machines/{name}": "machine_info",
    "PATCH /machines/{name}": "machine",
    "DELETE /machines/{name}": "machine",
    "POST /machines/{name}/converge": "machine",
    "GET /operations/{operation_id}": "operation_info",
    "GET /images": "image_info",
    "POST /images": "image",
    "GET /images/{name}": "image_info",
    "DELETE /images/{name}": "image",
    "POST /subnets": "subnet",
    "GET /subnets/{name}": "subnet",
    "PATCH /subnets/{name}": "subnet",
    "DELETE /subnets/{name}": "subnet",
    "GET /allocations/{name}": "allocation",
    "PUT /allocations/{name}": "allocation",
    "DELETE /allocations/{name}": "allocation",
}

NO_MODULE = {
    "POST /machines/{name}/validate": "a module for validation is still to come",
    "POST /chassis": "a module for chassis is still to come",
    "GET /power/drivers": "for people, and for programs that ask them",
    "POST /machines/{name}/commission": "converge leads there",
    "POST /machines/{name}/deploy": "converge leads there",
    "POST /machines/{name}/release": "converge leads there",
    "POST /machines/{name}/test": "a test is no state that a task could wish",
    "POST /machines/{name}/rescue": "a module for rescue is still to come",
    "POST /machines/{name}/exit-rescue": "a module for rescue is still to come",
    "POST /machines/{name}/adopt": "that a machine runs a system already, a person says once",
    "POST /machines/{name}/mark-broken": "a person judges that",
    "POST /machines/{name}/mark-fixed": "a person judges that",
    "POST /machines/{name}/override-failed-test": "a person judges that",
    "POST /machines/{name}/lock": "a lock protects a machine from playbooks, so people set it",
    "POST /machines/{name}/unlock": "a lock protects a machine from playbooks, so people set it",
    "POST /machines/actions/{action}": "a play has hosts, and a task is done for each of them",
    "POST /machines/{name}/abort": "what is under way is stopped by people",
    "POST /operations/{operation_id}/abort": "what is under way is stopped by people",
    "POST /machines/{name}/power-on": "a module for power is still to come",
    "POST /machines/{name}/power-off": "a module for power is still to come",
    "POST /machines/{name}/power-cycle": "a cycle is no state that a task could wish",
    "POST /machines/{name}/power-query": "what the power state is, operations find out themselves",
    "GET /machines/{name}/timeline": "for people who look for lost time",
    "GET /machines/{name}/explain": "for people who look at a machine that is stuck",
    "GET /operations/{operation_id}/console": "for people who look for what a machine said",
    "GET /machines/{name}/scripts": "a module for scripts is still to come",
    "GET /machines/{name}/scripts/{run}": "a module for scripts is still to come",
    "GET /scripts": "a module for scripts is still to come",
    "GET /scripts/{name}": "a module for scripts is still to come",
    "PUT /scripts/{name}": "a module for scripts is still to come",
    "DELETE /scripts/{name}": "a module for scripts is still to come",
    "GET /operations": "a module for lists of operations is still to come",
    "GET /subnets": "a module for lists of subnets is still to come",
    "GET /vlans": "a module for VLANs is still to come",
    "POST /vlans": "a module for VLANs is still to come",
    "GET /vlans/{name}": "a module for VLANs is still to come",
    "PATCH /vlans/{name}": "a module for VLANs is still to come",
    "DELETE /vlans/{name}": "a module for VLANs is still to come",
    "GET /ranges": "a module for ranges is still to come",
    "POST /ranges": "a module for ranges is still to come",
    "GET /ranges/{name}": "a module for ranges is still to come",
    "PATCH /ranges/{name}": "a module for ranges is still to come",
    "DELETE /ranges/{name}": "a module for ranges is still to come",
    "GET /reservations": "a module for reservations is still to come",
    "POST /reservations": "a module for reservations is still to come",
    "GET /reservations/{name}": "a module for reservations is still to come",
    "PATCH /reservations/{name}": "a module for reservations is still to come",
    "DELETE /reservations/{name}": "a module for reservations is still to come",
    "GET /domains": "a module for domains is still to come",
    "POST /domains": "a module for domains is still to come",
    "GET /domains/{name}": "a module for domains is still to come",
    "PATCH /domains/{name}": "a module for domains is still to come",
    "DELETE /domains/{name}": "a module for domains is still to come",
    "GET /records": "a module for records is still to come",
    "POST /records": "a module for records is still to come",
    "GET /records/{record_id}": "a module for records is still to come",
    "PATCH /records/{record_id}": "a module for records is still to come",
    "DELETE /records/{record_id}": "a module for records is still to come",
    "GET /dhcp-options": "a module for DHCP options is still to come",
    "POST /dhcp-options": "a module for DHCP options is still to come",
    "GET /dhcp-options/{option_id}": "a module for DHCP options is still to come",
    "PATCH /dhcp-options/{option_id}": "a module for DHCP options is still to come",
    "DELETE /dhcp-options/{option_id}": "a module for DHCP options is still to come",
    "GET /addresses": "a module for addresses is still to come",
    "GET /dns": "a module for the resolver is still to come",
    "PATCH /dns": "a module for the resolver is still to come",
    "GET /allocations": "a module for lists of allocations is still to come",
    "GET /rules": "a module for rules is still to come",
    "GET /rules/{name}": "a module for rules is still to come",
    "PUT /rules/{name}": "a module for rules is still to come",
    "DELETE /rules/{name}": "a module for rules is still to come",
    "GET /rules/{name}/matches": "for people who write a rule",
    "POST /rules/apply": "applying again undoes what people changed, so people ask for it",
    "GET /pools": "a module for pools is still to come",
    "GET /pools/{name}": "a module for pools is still to come",
    "PUT /pools/{name}": "a module for pools is still to come",
    "DELETE /pools/{name}": "a module for pools is still to come",
    "GET /events": "a module for events is still to come",
    "GET /webhooks": "a module for webhooks is still to come",
    "GET /webhooks/{name}": "a module for webhooks is still to come",
    "PUT /webhooks/{name}": "a module for webhooks is still to come",
    "PATCH /webhooks/{name}": "a module for webhooks is still to come",
    "DELETE /webhooks/{name}": "a module for webhooks is still to come",
    "POST /webhooks/{name}/test": "a test is no state that a task could wish",
    "GET /tokens": "a module for tokens is still to come",
    "POST /tokens": "a module for tokens is still to come",
    "DELETE /tokens/{name}": "a module for tokens is still to come",
    "GET /status": "for people",
    "GET /openapi.json": "for programs that are being written",
}

NO_OPTION = {
    "machine.locked": "a lock protects a machine from playbooks, so people set it",
    "subnet.rack": "there is one rack",
}


@pytest.fixture(scope="module")
def options(collections: Path) -> dict[str, dict[str, Any]]:
    """The documented options of every module; ansible-test holds the documentation and the code together."""
    names = [f"metalwright.fleet.{name}" for name in MODULES]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "LC_ALL": "C.UTF-8"}
    command = [str(Path(sys.executable).with_name("ansible-doc")), "--json", "--type", "module", *names]
    told = json.loads(subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout)
    return {name: told[f"metalwright.fleet.{name}"]["doc"]["options"] for name in MODULES}


def endpoints(api: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}": operation
        for path, methods in api["paths"].items()
        if path.startswith("/api/v1")
        for method, operation in methods.items()
    }


def test_every_endpoint_has_a_module_or_a_reason(app: Flask) -> None:
    assert set(endpoints(document(app))) == set(ENDPOINTS) | set(NO_MODULE)
    assert set(ENDPOINTS.values()) == set(MODULES)


def test_every_field_has_an_option_or_a_reason(app: Flask, options: dict[str, dict[str, Any]]) -> None:
    api = document(app)
    missing, needless = [], set(NO_OPTION)
    for endpoint, operation in endpoints(api).items():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        if body is None or endpoint in NO_MODULE:
            continue
        module = ENDPOINTS[endpoint]
        for field in lacking(api, body, options[module]):
            if f"{module}.{field}" in NO_OPTION:
                needless.discard(f"{module}.{field}")
            else:
                missing.append(f"{endpoint}: {module} has no option {field}")
    assert not missing
    assert not needless


def test_every_power_driver_and_its_parameters_are_options(options: dict[str, dict[str, Any]]) -> None:
    described = options["machine"]["power"]["suboptions"]
    assert set(described["driver"]["choices"]) == set(drivers())
    wanted = {name for driver in drivers().values() for name in driver.Parameters.model_fields}
    assert wanted == set(described["parameters"]["suboptions"])


def lacking(api: dict[str, Any], schema: dict[str, Any], options: dict[str, Any]) -> list[str]:
    """Fields of a schema that are no options, those of fields that have suboptions included."""
    found = []
    for field, described in resolved(api, schema).get("properties", {}).items():
        if field not in options:
            found.append(field)
        elif suboptions := options[field].get("suboptions"):
            found.extend(f"{field}.{inner}" for inner in lacking(api, described, suboptions))
    return found


def resolved(api: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that is referred to; of alternatives the one that is an object."""
    if "$ref" in schema:
        return resolved(api, api["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    for alternative in schema.get("anyOf", schema.get("allOf", [])):
        if "properties" in (inner := resolved(api, alternative)):
            return inner
    return schema


def test_every_module_is_in_the_action_group() -> None:
    runtime = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text())
    assert sorted(runtime["action_groups"]["metalwright"]) == MODULES


def test_every_module_is_tried_against_a_real_controller() -> None:
    assert [name for name in MODULES if not (CHECKOUT / f"tests/integration/targets/{name}/tasks/main.yml").exists()] == []
