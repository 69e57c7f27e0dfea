# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocations, images, events and status."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, select

from metalwright.errors import NotFound
from metalwright.images import catalogue
from metalwright.lifecycle.tasks import claim, enqueue
from metalwright.store import Store
from metalwright.store.events import record
from metalwright.store.models import Image, Machine, Operation, Task


def answer(response: Any, status: int) -> Any:
    assert response.status_code == status, response.json
    return response.json


def tasks(store: Store) -> list[tuple[str, dict[str, Any]]]:
    with store.session() as session:
        return [(task.kind, task.payload) for task in session.scalars(select(Task).order_by(Task.id))]


# -- allocations ---------------------------------------------------------------------------------------------------------------


def test_an_allocation_is_made_changed_and_given_back(client: FlaskClient, add_machine: Any) -> None:
    for name in ("a", "b"):
        add_machine(name, cpu_count=4, memory_mib=16384)
    body = {"count": 1, "constraints": {"min_memory": "16GiB"}}
    made = answer(client.put("/api/v1/allocations/hadoop", json=body), 200)
    assert (made["changed"], made["added"], made["removed"]) == (True, ["a"], [])
    assert made["allocation"]["constraints"] == {"min_memory": 16384}
    assert answer(client.get("/api/v1/allocations/hadoop"), 200) == made["allocation"]
    assert answer(client.put("/api/v1/allocations/hadoop", json=body), 200)["changed"] is False
    assert answer(client.get("/api/v1/machines?allocation=hadoop&fields=name,allocation,state"), 200)["items"] == [
        {"name": "a", "state": "allocated", "allocation": "hadoop"}
    ]
    assert answer(client.put("/api/v1/allocations/hadoop?dry_run=true", json={**body, "count": 2}), 200)["added"] == ["b"]
    assert answer(client.get("/api/v1/allocations"), 200)["items"] == [made["allocation"]]
    assert answer(client.delete("/api/v1/allocations/hadoop?dry_run=true"), 200)["removed"] == ["a"]
    gone = answer(client.delete("/api/v1/allocations/hadoop"), 200)
    assert (gone["allocation"], gone["removed"]) == (None, ["a"])
    assert answer(client.get("/api/v1/allocations"), 200)["items"] == []


def test_too_few_machines_are_counted(client: FlaskClient, add_machine: Any) -> None:
    add_machine("a")
    error = answer(client.put("/api/v1/allocations/hadoop", json={"count": 2}), 409)
    assert (error["code"], error["details"]["fit"]) == ("not_enough_machines", 1)
    assert answer(client.get("/api/v1/allocations"), 200)["items"] == []


@pytest.mark.parametrize("body", [{}, {"count": -1}, {"count": 1, "constraints": {"min_memory": "much"}}, {"count": "x"}])
def test_wrong_allocations(client: FlaskClient, body: Any) -> None:
    answer(client.put("/api/v1/allocations/hadoop", json=body), 422)
    answer(client.put("/api/v1/allocations/a%20b", json={"count": 0}), 422)


# -- images --------------------------------------------------------------------------------------------------------------------


def test_an_import_is_a_task(client: FlaskClient, store: Store) -> None:
    body = {"name": "debian/12", "source": "https://user:s3cret@example.com/debian.qcow2", "sha256": "A" * 64}
    assert answer(client.post("/api/v1/images?dry_run=true", json=body), 202)["status"] == "importing"
    assert tasks(store) == []
    image = answer(client.post("/api/v1/images", json=body), 202)
    assert (image["status"], image["source"]) == ("importing", "https://example.com/debian.qcow2")
    assert tasks(store) == [("image.import", {"image": image["id"], "source": body["source"], "sha256": "a" * 64})]
    assert answer(client.get("/api/v1/images/debian/12"), 200) == image
    assert answer(client.get(f"/api/v1/images/{image['id']}"), 200) == image
    assert answer(client.get("/api/v1/images?status=importing"), 200)["items"] == [image]
    assert answer(client.post("/api/v1/images", json=body), 409)["code"] == "image_importing"
    with store.write() as session:
        catalogue.fail(session.get_one(Image, image["id"]), NotFound("image_not_found", "the server answered 404"))
    assert answer(client.post("/api/v1/images", json=body), 202)["id"] == image["id"]


def test_files_are_imported_from_one_directory_only(client: FlaskClient, tmp_path: Path) -> None:
    allowed = tmp_path / "import"
    (allowed / "debian.img").write_bytes(b"disk")
    (tmp_path / "secret.img").write_bytes(b"secret")
    (allowed / "link.img").symlink_to(tmp_path / "secret.img")
    for number, source in enumerate([str(allowed / "debian.img"), "debian.img", f"file://{allowed}/debian.img"]):
        image = answer(client.post("/api/v1/images", json={"name": f"i{number}", "source": source}), 202)
        assert image["source"] == str(allowed / "debian.img")
    for source in (
        str(tmp_path / "secret.img"),
        "../secret.img",
        "link.img",
        "file:///etc/shadow",
        "ftp://example.com/a",
        "http://[::1",
        "http://h:99999/",
    ):
        error = answer(client.post("/api/v1/images", json={"name": "x", "source": source}), 422)
        assert error["code"] == "image_source_refused", source
    assert answer(client.post("/api/v1/images", json={"name": "x", "source": "none.img"}), 422)["code"] == "image_source_missing"


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "..", "../a", "A", "a b"])
def test_wrong_names_of_images(client: FlaskClient, name: str) -> None:
    answer(client.post("/api/v1/images", json={"name": name, "source": "https://example.com/a"}), 422)


def test_an_image_in_use_is_not_deleted(client: FlaskClient, add_machine: Any, image: str) -> None:
    add_machine("fresh", "new")
    answer(
        client.post("/api/v1/machines/fresh/converge", json={"state": "deployed", "image": "debian/12", "address": "dhcp"}), 202
    )
    error = answer(client.delete("/api/v1/images/debian/12"), 409)
    assert (error["code"], "fresh" in error["message"]) == ("image_in_use", True)
    answer(client.post("/api/v1/machines/fresh/abort"), 202)
    assert client.delete("/api/v1/images/debian/12").status_code == 204
    answer(client.get("/api/v1/images/debian/12"), 404)


# -- events --------------------------------------------------------------------------------------------------------------------


def happen(store: Store, *kinds: str) -> None:
    for kind in kinds:
        with store.write() as session:
            record(session, kind, f"{kind} happened", machine=session.scalars(select(Machine)).first())


def test_events_are_read_from_a_cursor_on(client: FlaskClient, store: Store, add_machine: Any) -> None:
    add_machine("node-1")
    happen(store, "one", "two", "three")
    first = answer(client.get("/api/v1/events?limit=2"), 200)
    assert [each["kind"] for each in first["events"]] == ["one", "two"]
    rest = answer(client.get(f"/api/v1/events?after={first['cursor']}"), 200)
    assert [each["kind"] for each in rest["events"]] == ["three"]
    assert answer(client.get(f"/api/v1/events?after={rest['cursor']}"), 200) == {"events": [], "cursor": rest["cursor"]}
    assert answer(client.get("/api/v1/events?after=latest"), 200) == {"events": [], "cursor": rest["cursor"]}
    assert [each["kind"] for each in answer(client.get("/api/v1/events?kind=one,three&machine=node-1"), 200)["events"]] == [
        "one",
        "three",
    ]
    assert answer(client.get("/api/v1/events?machine=other"), 200)["events"] == []
    assert answer(client.get("/api/v1/events?operation=other"), 200)["events"] == []
    assert answer(client.get(f"/api/v1/events?after={10**30}"), 200)["events"] == []
    answer(client.get("/api/v1/events?after=never"), 422)


def test_a_long_poll_answers_when_something_happens(client: FlaskClient, store: Store) -> None:
    later = threading.Timer(0.2, happen, (store, "later"))
    later.start()
    told = answer(client.get("/api/v1/events?wait=30"), 200)
    later.join()
    assert [each["kind"] for each in told["events"]] == ["later"]


def test_a_stream_of_events(client: FlaskClient, store: Store) -> None:
    happen(store, "one", "two")
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "1"}
    response = client.get("/api/v1/events", headers=headers, buffered=False)
    assert response.mimetype == "text/event-stream"
    retry, event = (part.decode() for part in islice(response.response, 2))  # type: ignore[union-attr]
    assert retry == "retry: 1000\n\n"
    lines = dict(line.split(": ", 1) for line in event.strip().split("\n"))
    assert (lines["id"], lines["event"], json.loads(lines["data"])["message"]) == ("2", "two", "two happened")
    waits = client.application.extensions["metalwright"].waits
    response.close()
    taken = sum(waits.acquire(blocking=False) for _ in range(100))
    assert taken == 48  # three quarters of the 64 threads: the stream gave its place back


# -- status --------------------------------------------------------------------------------------------------------------------


def test_status_counts_and_tells_a_worker_that_is_missing(
    client: FlaskClient, add_machine: Any, clock: Any, store: Store
) -> None:
    add_machine("node-1")
    add_machine("node-2", "new")
    assert answer(client.get("/api/v1/status"), 200)["oldest_task_seconds"] is None
    answer(client.post("/api/v1/machines/node-1/power-on"), 202)
    clock.advance(7)
    status = answer(client.get("/api/v1/status"), 200)
    assert (status["machines"], status["operations"]) == ({"ready": 1, "new": 1}, {"running": 1})
    assert (status["tasks"], status["oldest_task_seconds"]) == ({"pending": 1}, 7.0)
    assert answer(client.get("/healthz"), 200) == {"status": "ok"}
    with store.session() as session:
        assert session.scalars(select(Operation)).one().kind == "power-on"


def test_tasks_that_wait_for_their_turn_miss_no_worker(client: FlaskClient, clock: Any, store: Store) -> None:
    """As the third import does beside two, and calls to a BMC that takes few: whatever holds them back, somebody is at work."""

    def oldest() -> float | None:
        seconds: float | None = answer(client.get("/api/v1/status"), 200)["oldest_task_seconds"]
        return seconds

    with store.write() as session:
        for _ in range(3):
            enqueue(session, "image.import", {}, now=clock())
        enqueue(session, "network.apply", {}, now=clock() + timedelta(seconds=5))
    died, lives = (claim(store, owner, clock(), lease) for owner, lease in (("one host", 9), ("another", 60)))
    assert died is not None and lives is not None
    clock.advance(30)
    assert oldest() is None
    clock.advance(60)
    assert oldest() == 90, "nobody renews a lease any more"
    with store.write() as session:
        session.execute(delete(Task).where(Task.state == "pending"))
    assert oldest() == 81, "what they were at is due again since the first lease ended"
