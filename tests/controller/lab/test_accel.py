# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict about KVM is kept for one start of the host, and never without a reason."""

from __future__ import annotations

import json
from pathlib import Path

from metalwright.lab import accel


def test_without_a_kernel_nothing_is_proved_and_machines_are_emulated(tmp_path: Path) -> None:
    verdict = accel.choose(None, tmp_path / "verdict.json")
    assert verdict.kind == "tcg"
    assert verdict.reason


def test_what_is_no_kernel_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").write_bytes(b"not a kernel")
    assert accel.probe(tmp_path / "vmlinuz", limit=2).kind == "tcg"


def test_a_verdict_is_kept_until_the_host_starts_again(tmp_path: Path) -> None:
    kept = tmp_path / "verdict.json"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    kept.write_text(json.dumps({"boot": boot, "kind": "kvm", "reason": "a kernel boots under it"}))
    assert accel.choose(None, kept).kind == "kvm"
    kept.write_text(json.dumps({"boot": "another", "kind": "kvm", "reason": "a kernel boots under it"}))
    assert accel.choose(None, kept).kind == "tcg"
