# SPDX-License-Identifier: GPL-3.0-or-later
"""What each process of a controller counts is in the one answer of ``/metrics``, also after it was killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import tomllib

import requests
from processes import children, name, until
from prometheus_client.parser import text_string_to_metric_families
from running_controller import RunningController


def scrape(controller: RunningController) -> dict[tuple[str, ...], float]:
    """Values by name and labels' values, as a Prometheus with a token gets them."""
    saved = tomllib.loads((controller.directory / "xdg/metalwright/client.toml").read_text())
    answer = requests.get(f"{controller.url}/metrics", headers={"Authorization": f"Bearer {saved['token']}"}, timeout=10)
    answer.raise_for_status()
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples}


def test_what_machines_fetch_is_counted_over_restarts(controller: RunningController) -> None:
    controller.start()
    assert requests.get(f"{controller.url}/metrics", timeout=10).status_code == 401
    requests.get(f"{controller.node_url}/boot/ipxe?mac=52:54:00:00:00:01", timeout=10)
    requests.get(f"{controller.node_url}/boot/loaders/nothing.efi", timeout=10)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"\0\1nothing\0octet\0", ("127.0.0.1", controller.tftp_port))
    controller.json("machine", "add", "node-1", "--mac", "52:54:00:00:00:01")
    controller.json("machine", "power", "on", "node-1")
    script, refused = ("metalwright_boot_fetches_total", "2xx", "script"), ("metalwright_tftp_requests_total", "refused")
    operations = ("metalwright_operations_total", "power-on", "succeeded")

    def all_there() -> dict[tuple[str, ...], float]:
        found = scrape(controller)
        return found if all(key in found for key in (script, refused, operations)) else {}

    found = until(all_there, "all is counted")
    assert (found[script], found[refused], found[operations]) == (1, 1, 1)
    assert found[("metalwright_boot_fetches_total", "4xx", "loader")] == 1
    assert found[("metalwright_machines", "new")] == 1
    node = next(pid for pid in children(controller.pid) if name(pid) == "mw-node")
    os.kill(node, signal.SIGKILL)
    requests.get(f"{controller.node_url}/boot/ipxe?mac=52:54:00:00:00:01", timeout=10)
    until(lambda: scrape(controller)[script] == 2, "the new process counts on")
