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
CONNECTION = ("url", "token", "ca_path", "timeout")
"""Options by which every module finds the controller; a field of the same name needs another option."""
MODULES = sorted(path.stem for path in (CHECKOUT / "plugins/modules").glob("*.py"))

ENDPOINTS = {
    "GET /machines": "machine_info",
    "POST /machines": "machine",
    "GET /machines/{name}": "machine_info",
    "PATCH /machines/{name}": "machine",
    "DELETE /machines/{name}": "machine",
    "POST /machines/{name}/converge": "machine",
    "POST /machines/{name}/validate": "machine_power",
    "POST /machines/{name}/power-on": "machine_power",
    "POST /machines/{name}/power-off": "machine_power",
    "POST /machines/{name}/rescue": "machine_rescue",
    "POST /machines/{name}/exit-rescue": "machine_rescue",
    "POST /chassis": "chassis",
    "GET /power/drivers": "power_driver_info",
    "GET /operations": "operation_info",
    "GET /machines/{name}/network": "machine_interface_info",
    "PUT /machines/{name}/network": "machine_interface",
    "GET /operations/{operation_id}": "operation_info",
    "GET /images": "image_info",
    "POST /images": "image",
    "GET /images/{name}": "image_info",
    "DELETE /images/{name}": "image",
    "GET /subnets": "subnet_info",
    "POST /subnets": "subnet",
    "GET /subnets/{name}": "subnet_info",
    "PATCH /subnets/{name}": "subnet",
    "DELETE /subnets/{name}": "subnet",
    "GET /vlans": "vlan_info",
    "POST /vlans": "vlan",
    "GET /vlans/{name}": "vlan_info",
    "PATCH /vlans/{name}": "vlan",
    "DELETE /vlans/{name}": "vlan",
    "GET /ranges": "ip_range_info",
    "POST /ranges": "ip_range",
    "GET /ranges/{name}": "ip_range_info",
    "PATCH /ranges/{name}": "ip_range",
    "DELETE /ranges/{name}": "ip_range",
    "GET /reservations": "ip_reservation_info",
    "POST /reservations": "ip_reservation",
    "GET /reservations/{name}": "ip_reservation_info",
    "PATCH /reservations/{name}": "ip_reservation",
    "DELETE /reservations/{name}": "ip_reservation",
    "GET /addresses": "ip_address_info",
    "GET /domains": "dns_domain_info",
    "POST /domains": "dns_domain",
    "GET /domains/{name}": "dns_domain_info",
    "PATCH /domains/{name}": "dns_domain",
    "DELETE /domains/{name}": "dns_domain",
    "PUT /domains/{name}/records": "dns_domain",
    "GET /records": "dns_record_info",
    "PUT /record-sets": "dns_record",
    "GET /dhcp-options": "dhcp_option_info",
    "POST /dhcp-options": "dhcp_option",
    "PATCH /dhcp-options/{option_id}": "dhcp_option",
    "DELETE /dhcp-options/{option_id}": "dhcp_option",
    "GET /dns": "dns_settings_info",
    "PATCH /dns": "dns_settings",
    "GET /allocations": "allocation_info",
    "GET /allocations/{name}": "allocation_info",
    "PUT /allocations/{name}": "allocation",
    "DELETE /allocations/{name}": "allocation",
    "GET /pools": "pool_info",
    "GET /pools/{name}": "pool_info",
    "PUT /pools/{name}": "pool",
    "DELETE /pools/{name}": "pool",
    "GET /rules": "rule_info",
    "GET /rules/{name}": "rule_info",
    "PUT /rules/{name}": "rule",
    "DELETE /rules/{name}": "rule",
    "GET /scripts": "script_info",
    "GET /scripts/{name}": "script_info",
    "PUT /scripts/{name}": "script",
    "DELETE /scripts/{name}": "script",
    "GET /machines/{name}/scripts": "script_run_info",
    "GET /machines/{name}/scripts/{run}": "script_run_info",
    "GET /events": "event_info",
    "GET /webhooks": "webhook_info",
    "GET /webhooks/{name}": "webhook_info",
    "PUT /webhooks/{name}": "webhook",
    "DELETE /webhooks/{name}": "webhook",
    "GET /tokens": "token_info",
    "GET /tokens/{name}": "token_info",
    "POST /tokens": "token",
    "DELETE /tokens/{name}": "token",
}

NO_MODULE = {
    "POST /machines/{name}/commission": "converge leads there",
    "POST /machines/{name}/deploy": "converge leads there",
    "POST /machines/{name}/release": "converge leads there",
    "POST /machines/{name}/test": "to have just been tested is no state: a task would do it again each time",
    "POST /machines/{name}/adopt": "that a machine runs a system already, a person says once",
    "POST /machines/{name}/mark-broken": "a person judges that",
    "POST /machines/{name}/mark-fixed": "a person judges that",
    "POST /machines/{name}/override-failed-test": "a person judges that",
    "POST /machines/{name}/lock": "a lock protects a machine from playbooks, so people set it",
    "POST /machines/{name}/unlock": "a lock protects a machine from playbooks, so people set it",
    "POST /machines/actions/{action}": "a play has hosts, and a task is done for each of them",
    "POST /machines/{name}/abort": "what is under way is stopped by people",
    "POST /operations/{operation_id}/abort": "what is under way is stopped by people",
    "POST /machines/{name}/power-cycle": "to have been started again is no state: a task would do it again each time",
    "POST /machines/{name}/power-query": "machine_power asks by validating, which leaves no operation behind",
    "GET /machines/{name}/timeline": "modules that wait return it",
    "GET /machines/{name}/explain": "for people who look at a machine that is stuck; modules return the failure's record",
    "GET /operations/{operation_id}/console": "for people who look for what a machine said; failures have the end of it",
    "GET /rules/{name}/matches": "rule returns them",
    "POST /records": "dns_record declares all records of a name and type at once",
    "GET /records/{record_id}": "dns_record_info lists them, and nobody knows an identifier before that",
    "PATCH /records/{record_id}": "dns_record declares all records of a name and type at once",
    "DELETE /records/{record_id}": "dns_record declares all records of a name and type at once",
    "GET /dhcp-options/{option_id}": "dhcp_option_info lists them, and nobody knows an identifier before that",
    "POST /rules/apply": "applying again undoes what people changed, so people ask for it",
    "PATCH /webhooks/{name}": "webhook writes all of it with PUT, and what is not wished as it is",
    "POST /webhooks/{name}/test": "a test is no state that a task could wish",
    "GET /status": "for people, and for whoever watches the controller",
    "GET /openapi.json": "for programs that are being written",
}
"""There are no settings in the API, so there is no module for them: they are in a file of the controller (role controller)."""

NO_OPTION = {
    "machine.locked": "a lock protects a machine from playbooks, so people set it",
    "subnet.rack": "there is one rack",
    "vlan.rack": "there is one rack",
    "image.replace": "the module replaces an image that is not the one wished",
    "token.replace": "the option is renew",
    "webhook.url": "the controller's own URL has this name; the option is target_url",
}

NO_FILTER = {
    "limit": "lists are read to their end, or as far as the option limit says",
    "cursor": "lists are read to their end, or as far as the option limit says",
    "dry_run": "check mode",
    "wait": "wait_timeout says how long, which is longer than a request",
    "machine_info.tag": "the option is tags, as everywhere in the collection",
    "machine_info.name": "a play has hosts; the option name is for one",
    "machine.force": "a deployed machine is released first, with state=ready",
}
"""Parameters of a query that are no options."""


@pytest.fixture(scope="module")
def options(collections: Path) -> dict[str, dict[str, Any]]:
    """The documented options of every module; ansible-test holds the documentation and the code together."""
    names = [f"metalwright.fleet.{name}" for name in MODULES]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "LC_ALL": "C.UTF-8"}
    command = [str(Path(sys.executable).with_name("ansible-doc")), "--json", "--type", "module", *names]
    told = json.loads(subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout)
    documented = {name: told[f"metalwright.fleet.{name}"]["doc"]["options"] for name in MODULES}
    return {
        name: {option: documented[name][option] for option in documented[name] if option not in CONNECTION} for name in MODULES
    }


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


def test_every_parameter_of_a_query_has_an_option_or_a_reason(app: Flask, options: dict[str, dict[str, Any]]) -> None:
    missing, needless = [], set(NO_FILTER)
    for endpoint, operation in endpoints(document(app)).items():
        module = ENDPOINTS.get(endpoint)
        for parameter in operation.get("parameters", []) if module else []:
            name, reasons = parameter["name"], {parameter["name"], f"{module}.{parameter['name']}"} & set(NO_FILTER)
            needless -= reasons
            if parameter["in"] == "query" and not reasons and name not in options[module]:
                missing.append(f"{endpoint}: {module} has no option {name}")
    assert not missing
    assert not needless


def test_whoever_probes_can_be_told_how_by_an_option(options: dict[str, dict[str, Any]]) -> None:
    probing: dict[str, Any] = {name: driver for name, driver in drivers().items() if hasattr(driver, "probe")}
    assert set(options["chassis"]["driver"]["choices"]) == set(probing)
    wanted = {name for driver in probing.values() for name in driver.Service.model_fields}
    assert wanted == set(options["chassis"]["parameters"]["suboptions"])


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
    """The schema that is referred to; of alternatives the one that is an object; of a list, that of what it is made of."""
    if "$ref" in schema:
        return resolved(api, api["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "items" in schema:
        return resolved(api, schema["items"])
    for alternative in schema.get("anyOf", schema.get("allOf", [])):
        if "properties" in (inner := resolved(api, alternative)):
            return inner
    return schema


def test_every_module_is_in_the_action_group() -> None:
    runtime = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text())
    assert sorted(runtime["action_groups"]["metalwright"]) == MODULES


def tasks_of(target: str) -> list[dict[str, Any]]:
    """All tasks of an integration target."""
    plays = yaml.safe_load((CHECKOUT / f"tests/integration/targets/{target}/tasks/main.yml").read_text())
    return [task for block in plays for task in block["block"]]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_tried_against_a_real_controller(module: str) -> None:
    tasks = tasks_of(module)
    mine = {task.get("register"): task for task in tasks if f"metalwright.fleet.{module}" in task}
    asserted = {claim for task in tasks for claim in task.get("ansible.builtin.assert", {}).get("that", [])}
    changed = {name for name in mine if f"{name} is changed" in asserted}
    unchanged = {name for name in mine if f"{name} is not changed" in asserted}
    assert unchanged
    if module.endswith("_info"):
        assert any(task.get("check_mode") for task in mine.values())
        return
    assert changed
    assert {name for name in changed if mine[name].get("check_mode")}
    assert {name for name in changed if mine[name].get("diff")}
    assert any(f"{name}.diff" in claim for name in changed for claim in asserted)
