# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever firmware and patterns say, what comes out is a label of RFC 1123 or a refusal."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from metalwright.errors import Invalid
from metalwright.lifecycle.name_patterns import VARIABLES, check, fill
from metalwright.store.models import Interface, Machine

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
texts = st.none() | st.text(max_size=80)
parts = st.sampled_from([f"{{{name}}}" for name in VARIABLES]) | st.text("abcXYZ019-", max_size=6)
patterns = st.lists(parts, max_size=8).map("".join) | st.text(max_size=30)


@settings(max_examples=300, deadline=None)
@given(patterns, st.fixed_dictionaries({"s": texts, "v": texts, "l": texts}))
def test_a_name_is_a_label_or_a_refusal(pattern: str, said: dict[str, Any]) -> None:
    nic = {"mac": "52:54:00:00:00:01", "lldp": {"system": said["l"], "port": said["v"]}}
    hardware = {"system": {"vendor": said["v"], "product": said["l"]}, "chassis": None, "nics": [nic]}
    machine = Machine(name="m-1", serial=said["s"], zone="west", pool="default", arch="amd64", hardware=hardware)
    machine.interfaces = [Interface(mac="52:54:00:00:00:01", boot=True)]
    try:
        check(pattern)
    except ValueError:
        return
    try:
        name = fill(pattern, machine)
    except Invalid as refused:
        assert refused.code == "name_impossible"
        assert "m-1" in refused.message
    else:
        assert LABEL.fullmatch(name) and not name.isdigit()
