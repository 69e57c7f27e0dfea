# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens: written to a file that only the owner reads, told to nobody else."""

from __future__ import annotations

import stat

import pytest

DRY = {"dry_run": "true"}
MISSING = {"code": "token_not_found", "message": "There is no token ops.", "details": {}, "hint": ""}
TOKEN = {"name": "ops", "created_at": "2026-01-01T00:00:00+00:00", "expires_at": None, "last_used_at": None}


def test_the_text_goes_to_the_file_and_nowhere_else(controller, run_module, tmp_path):
    file = tmp_path / "token"
    controller.hears("GET", "/tokens/ops", status=404, answers=MISSING)
    controller.hears("POST", "/tokens", {"name": "ops", "expires_in": 60}, status=201, answers={**TOKEN, "token": "mw_hidden"})
    result = run_module("token", name="ops", path=str(file), expires_in=60)
    assert (result["changed"], result["token"]) == (True, TOKEN)
    assert "mw_hidden" not in str(result)
    assert file.read_text() == "mw_hidden\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_check_writes_nothing(controller, run_module, tmp_path):
    controller.hears("GET", "/tokens/ops", status=404, answers=MISSING)
    controller.hears("POST", "/tokens", {"name": "ops"}, query=DRY, status=201, answers={**TOKEN, "token": "mw_hidden"})
    result = run_module("token", check=True, name="ops", path=str(tmp_path / "token"))
    assert result["changed"] is True
    assert "mw_hidden" not in str(result)
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_there_is_left_alone(controller, run_module, tmp_path):
    (tmp_path / "token").write_text("mw_hidden\n")
    controller.hears("GET", "/tokens/ops", answers=TOKEN)
    assert run_module("token", name="ops", path=str(tmp_path / "token"))["changed"] is False


@pytest.mark.parametrize("there,expires_at,why", [(False, None, "is not"), (True, "2026-01-02T00:00:00+00:00", "has expired")])
def test_one_that_nobody_can_use_is_told_or_renewed(controller, run_module, tmp_path, there, expires_at, why):
    file = tmp_path / "token"
    if there:
        file.write_text("mw_old\n")
    old = {**TOKEN, "expires_at": expires_at}
    controller.hears("GET", "/tokens/ops", answers=old)
    told = run_module("token", name="ops", path=str(file))
    assert (told["failed"], told["error"]["code"]) == (True, "token_lost")
    assert why in told["msg"]
    controller.hears("GET", "/tokens/ops", answers=old)
    again = {"name": "ops", "replace": True}
    controller.hears("POST", "/tokens", again, query=DRY, status=201, answers={**TOKEN, "token": "mw_new"})
    assert run_module("token", check=True, name="ops", path=str(file), renew=True)["changed"] is True
    controller.hears("GET", "/tokens/ops", answers=old)
    controller.hears("POST", "/tokens", again, status=201, answers={**TOKEN, "token": "mw_new"})
    assert run_module("token", name="ops", path=str(file), renew=True)["changed"] is True
    assert file.read_text() == "mw_new\n"


def test_a_token_that_can_not_be_kept_is_not_made(controller, run_module, tmp_path):
    controller.hears("GET", "/tokens/ops", status=404, answers=MISSING)
    result = run_module("token", name="ops", path=str(tmp_path / "nowhere" / "token"))
    assert (result["failed"], result["error"]["code"]) == (True, "bad_file")


def test_one_that_is_removed_is_void(controller, run_module):
    controller.hears("GET", "/tokens/ops", answers=TOKEN)
    controller.hears("DELETE", "/tokens/ops", status=204)
    controller.hears("GET", "/tokens/ops", status=404, answers=MISSING)
    first, second = (run_module("token", name="ops", state="absent") for _time in range(2))
    assert (first["changed"], second["changed"], first["token"]) == (True, False, None)
