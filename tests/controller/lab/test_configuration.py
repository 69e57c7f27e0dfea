# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's configuration that a lab writes: one that the controller reads, with the settings that were asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalwright.config import load
from metalwright.errors import Invalid
from metalwright.lab.files import write_configuration
from metalwright.lab.spec import LabSpec, Places


def written(tmp_path: Path, **spec: object) -> Path:
    places = Places(tmp_path, tmp_path / "cache")
    write_configuration(LabSpec.model_validate({"name": "x", **spec}), places)
    return places.config


def test_settings_of_the_spec_stand_beside_the_labs_own_or_in_their_place(tmp_path: Path) -> None:
    asked = {"heartbeat": 3, "deadlines": {"netboot": 30, "first_boot": 90}, "dns": {"forwarders": ["9.9.9.9"]}}
    settings = load(written(tmp_path, port=5999, settings=asked), {})
    assert (settings.heartbeat, settings.deadlines.netboot, settings.deadlines.first_boot) == (3, 30, 90)
    assert (settings.dns.forwarders, settings.dns.domain) == (["9.9.9.9"], "x.metalwright.internal")
    assert (settings.deadlines.boot, settings.dhcp.authoritative, settings.admin.listen) == (300, True, "127.0.0.1:5999")


def test_a_setting_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"deadlines\.netbot"):
        load(written(tmp_path, settings={"deadlines": {"netbot": 30}}), {})
