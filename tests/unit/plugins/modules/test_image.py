# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: imported once, replaced when another is wished, waited for."""

from __future__ import annotations

import pytest

DRY = {"dry_run": "true"}
MISSING = {"code": "image_not_found", "message": "There is no image debian/12.", "details": {}, "hint": ""}
READY = {"id": "i1", "name": "debian/12", "status": "ready", "source": "http://a/1.raw", "source_sha256": "aa"}
READY.update(failure=None, progress=None)
IMPORTING = {**READY, "status": "importing", "progress": 0}
BODY = {"name": "debian/12", "source": "http://a/1.raw", "sha256": "aa"}


def test_an_image_is_imported_and_waited_for(controller, run_module):
    controller.hears("GET", "/images/debian/12", status=404, answers=MISSING)
    controller.hears("POST", "/images", BODY, status=202, answers=IMPORTING)
    controller.hears("GET", "/images/debian/12", answers=READY)
    result = run_module("image", **BODY)
    assert (result["changed"], result["image"]["status"]) == (True, "ready")


def test_an_image_that_is_there_is_left_alone(controller, run_module):
    controller.hears("GET", "/images/debian/12", answers=READY)
    assert run_module("image", name="debian/12", source="http://mirror/1.raw", sha256="AA")["changed"] is False


@pytest.mark.parametrize("source", ["http://user:password@a/1.raw", "http://a/1.raw?signature=x", "1.raw"])
def test_the_same_source_may_be_written_otherwise(controller, run_module, source):
    controller.hears("GET", "/images/debian/12", answers=READY)
    assert run_module("image", name="debian/12", source=source)["changed"] is False


def test_an_import_that_is_under_way_is_waited_for(controller, run_module):
    controller.hears("GET", "/images/debian/12", answers=IMPORTING)
    controller.hears("GET", "/images/debian/12", answers=READY)
    result = run_module("image", **BODY)
    assert (result["changed"], result["image"]["status"]) == (False, "ready")


@pytest.mark.parametrize("wish", [{"source": "http://a/2.raw", "sha256": "bb"}, {"source": "http://a/2.raw"}])
def test_another_image_takes_the_place(controller, run_module, wish):
    controller.hears("GET", "/images/debian/12", answers=READY)
    asked = {"name": "debian/12", "replace": True, **wish}
    controller.hears("POST", "/images", asked, status=202, answers={**READY, "progress": 0})
    new = {**READY, "source": "http://a/2.raw", "source_sha256": "bb"}
    controller.hears("GET", "/images/debian/12", answers=new)
    result = run_module("image", name="debian/12", **wish)
    assert result["changed"] is True
    assert (result["diff"]["before"]["source"], result["diff"]["after"]["source"]) == ("http://a/1.raw", "http://a/2.raw")


def test_a_check_of_another_image_imports_nothing(controller, run_module):
    controller.hears("GET", "/images/debian/12", answers=READY)
    asked = {"name": "debian/12", "replace": True, "source": "http://a/2.raw"}
    controller.hears("POST", "/images", asked, query=DRY, status=202, answers={**READY, "progress": 0})
    result = run_module("image", check=True, name="debian/12", source="http://a/2.raw")
    assert (result["changed"], result["diff"]["after"]["source"]) == (True, "http://a/2.raw")


def test_an_image_that_could_not_be_replaced_is_still_there(controller, run_module):
    controller.hears("GET", "/images/debian/12", answers=READY)
    asked = {"name": "debian/12", "replace": True, "source": "http://a/2.raw"}
    controller.hears("POST", "/images", asked, status=202, answers={**READY, "progress": 0})
    failure = {"code": "image_not_found", "message": "http://a/2.raw: HTTP 404.", "hint": "Check the URL."}
    controller.hears("GET", "/images/debian/12", answers={**READY, "failure": failure})
    result = run_module("image", name="debian/12", source="http://a/2.raw")
    assert (result["failed"], result["error"]["code"]) == (True, "image_not_found")
    assert "It stays what it was." in result["msg"]


def test_an_image_that_is_the_wished_one_is_fine_whatever_else_was_tried(controller, run_module):
    failure = {"code": "image_not_found", "message": "http://a/2.raw: HTTP 404.", "hint": "Check the URL."}
    controller.hears("GET", "/images/debian/12", answers={**READY, "failure": failure})
    assert run_module("image", **BODY)["changed"] is False


def test_a_failed_import_is_tried_again(controller, run_module):
    controller.hears("GET", "/images/debian/12", answers={**READY, "status": "failed"})
    controller.hears("POST", "/images", BODY, status=202, answers=READY)
    assert run_module("image", **BODY)["changed"] is True


def test_an_image_without_a_source_must_be_there(controller, run_module):
    controller.hears("GET", "/images/debian/12", status=404, answers=MISSING)
    result = run_module("image", name="debian/12")
    assert (result["failed"], result["error"]["code"]) == (True, "no_source")


def test_an_image_is_removed(controller, run_module):
    controller.hears("GET", "/images/debian/12", answers=READY)
    controller.hears("DELETE", "/images/debian/12", status=204)
    assert run_module("image", name="debian/12", state="absent")["changed"] is True
