# SPDX-License-Identifier: GPL-3.0-or-later
"""Which erase a drive is asked for, and what happens when it can not. The drives are played by programs in PATH."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from file_disks import file_disk

from metalwright.agent.abort import Abort
from metalwright.agent.disks import Disk
from metalwright.agent.errors import CommandFailed, StepFailed
from metalwright.agent.pace import Pace
from metalwright.agent.secure import PASSWORD, NotOffered, ata_security, own_erase, sanitize_state
from metalwright.agent.wipe import clean, wipe_disks
from metalwright.agent.work import Work

MIB = 1 << 20
Play = Callable[[str, str], Path]

HDPARM = """
/dev/sda:

ATA device, with non-removable media
\tModel Number:       Samsung SSD 860 EVO 500GB
\tSerial Number:      S3Z2NB0K000000
Commands/features:
\tEnabled\tSupported:
\t   *\tSMART feature set
\t    \tSecurity Mode feature set
\t   *\tWRITE_BUFFER command
Security: 
\tMaster password revision code = 65534
\t\tsupported
\tnot\tenabled
\tnot\tlocked
\tnot\tfrozen
\tnot\texpired: security count
\t\tsupported: enhanced erase
\t4min for SECURITY ERASE UNIT. 8min for ENHANCED SECURITY ERASE UNIT.
Logical Unit WWN Device Identifier: 5002538e40000000
\tNAA\t\t: 5
Checksum: correct
"""  # noqa: W291 - as hdparm 9.65 prints it


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Put a program into PATH that notes how it was called; its shell source finds its arguments in ``$*``."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")

    def make(name: str, source: str) -> Path:
        calls = tmp_path / f"{name}.calls"
        calls.touch()
        program = directory / name
        program.write_text(f'#!/bin/sh\necho "$*" >>{calls}\n{source}\n')
        program.chmod(0o755)
        return calls

    return make


def drive(tmp_path: Path, name: str) -> Disk:
    disk = file_disk(tmp_path / name, 4 * MIB)
    (tmp_path / name).write_bytes(b"x" * (4 * MIB))
    return disk


def erase(disk: Disk, abort: Abort) -> str:
    return own_erase(disk, Pace({disk.path: disk.size_bytes}, 600, lambda: 0.0), 600, abort)


def hdparm(text: str, more: str = "") -> str:
    return f"case $* in\n{more}\n-I*) cat <<'X'\n{text}\nX\n;;\nesac"


@pytest.mark.parametrize(
    ("oacs", "fna", "method", "ses"), [(0x6, 0x4, "nvme-format-crypto", "2"), (0x2, 0x0, "nvme-format", "1")]
)
def test_an_nvme_drive_is_formatted(oacs: int, fna: int, method: str, ses: str, play: Play, tmp_path: Path, abort: Abort) -> None:
    calls = play("nvme", f"case $1 in id-ctrl) echo '{json.dumps({'oacs': oacs, 'fna': fna, 'sanicap': 3})}' ;; esac")
    disk = drive(tmp_path, "nvme0n1")
    assert erase(disk, abort) == method
    assert calls.read_text().splitlines() == [
        f"id-ctrl {disk.path} --output-format=json",
        f"format {disk.path} --ses={ses} --force --timeout=600000",
    ]


@pytest.mark.parametrize(("sanicap", "action"), [(0x3, "2"), (0x2, "2"), (0x1, "4")])
def test_an_nvme_drive_that_does_not_format_is_sanitized(
    sanicap: int, action: str, play: Play, tmp_path: Path, abort: Abort, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = play(
        "nvme",
        f"""case $1 in
        id-ctrl) echo '{json.dumps({"oacs": 2, "fna": 4, "sanicap": sanicap})}' ;;
        format) echo 'NVMe status: Invalid Format' >&2; exit 1 ;;
        sanitize-log)
            if [ -e {tmp_path}/polled ]; then state='(1) Completed'; else state='(2) In Progress'; touch {tmp_path}/polled; fi
            echo "{{\\"nvme0\\": {{\\"sprog\\": 32768, \\"sstat\\": {{\\"status\\": \\"$state\\"}}}}}}" ;;
        esac""",
    )
    monkeypatch.setattr(abort, "sleep", lambda _seconds: None)
    disk = drive(tmp_path, "nvme0n1")
    pace = Pace({disk.path: disk.size_bytes}, 600, lambda: 0.0)
    assert own_erase(disk, pace, 600, abort) == "nvme-sanitize"
    assert pace.total() == (2 * MIB, 4 * MIB)
    assert f"sanitize {tmp_path}/nvme0 --sanact={action}" in calls.read_text().splitlines()


def test_an_nvme_drive_with_neither_says_so(play: Play, tmp_path: Path, abort: Abort) -> None:
    play("nvme", 'echo \'{"oacs": 0, "fna": 0, "sanicap": 0}\'')
    with pytest.raises(NotOffered, match="the drive has no NVMe Format; the drive has no NVMe Sanitize; the drive has no secure"):
        erase(drive(tmp_path, "nvme0n1"), abort)


@pytest.mark.parametrize(
    ("log", "state"),
    [
        ({"sprog": 655, "sstat": 2}, (2, 655)),
        ({"nvme0": {"sprog": 65535, "sstat": 0x101}}, (1, 65535)),
        ({"nvme0": {"sprog": 1, "sstat": {"status": "(3) Failed."}}}, (3, 1)),
    ],
)
def test_the_sanitize_log_is_read_in_all_its_shapes(log: dict[str, object], state: tuple[int, int]) -> None:
    assert sanitize_state(log) == state


@pytest.mark.parametrize("log", [{}, [], {"nvme0": {}}, {"nvme0": {"sprog": 1, "sstat": {"status": "?"}}}])
def test_a_sanitize_log_of_another_shape_is_a_failure(log: object) -> None:
    with pytest.raises(CommandFailed, match="can not be read"):
        sanitize_state(log)


@pytest.mark.parametrize(
    ("text", "how", "method"),
    [
        (HDPARM, "--security-erase-enhanced", "ata-security-erase-enhanced"),
        (HDPARM.replace("\t\tsupported: enhanced", "\tnot\tsupported: enhanced"), "--security-erase", "ata-security-erase"),
    ],
)
def test_an_ata_drive_erases_itself(text: str, how: str, method: str, play: Play, tmp_path: Path, abort: Abort) -> None:
    calls = play("hdparm", hdparm(text))
    disk = drive(tmp_path, "sda")
    assert erase(disk, abort) == method
    assert calls.read_text().splitlines() == [
        f"-I {disk.path}",
        f"--user-master u --security-set-pass {PASSWORD} {disk.path}",
        f"--user-master u {how} {PASSWORD} {disk.path}",
    ]


@pytest.fixture
def cut_off(play: Play, tmp_path: Path) -> Callable[[str], tuple[Disk, Path]]:
    """Make a drive that is locked by a password, as an erase that was cut off leaves it. The file ``state`` holds its flags."""

    def make(password: str) -> tuple[Disk, Path]:
        disk, state = drive(tmp_path, "sda"), tmp_path / "state"
        state.write_text("enabled locked")
        for flags in ("", "enabled", "enabled locked"):
            text = HDPARM
            for flag in flags.split():
                text = text.replace(f"not\t{flag}", f"\t{flag}")
            (tmp_path / f"says {flags}").write_text(text)
        own = f"""[ "$4" = {password} ] || {{ echo 'SECURITY: Input/output error' >&2; exit 5; }}"""
        calls = play(
            "hdparm",
            f"""case $* in
            -I*) cat "{tmp_path}/says $(cat {state})" ;;
            *security-unlock*) {own}; echo enabled >{state} ;;
            *security-disable*) {own}; [ "$(cat {state})" = enabled ] || exit 5; echo >{state} ;;
            *security-set-pass*) echo enabled >{state} ;;
            *security-erase*) {own}; [ "$(cat {state})" = enabled ] || exit 5; echo >{state} ;;
            esac""",
        )
        play("wipefs", f"""[ "$(cat {state})" != "enabled locked" ] || {{ echo 'Input/output error' >&2; exit 1; }}""")
        return disk, calls

    return make


@pytest.mark.parametrize(("mode", "method"), [("secure", "ata-security-erase-enhanced"), ("full", "full"), ("quick", "quick")])
def test_a_drive_locked_by_an_erase_that_was_cut_off_is_unlocked_before_anything_else(
    mode: str, method: str, cut_off: Callable[[str], tuple[Disk, Path]], tmp_path: Path, work_on: Callable[..., Work]
) -> None:
    disk, calls = cut_off(PASSWORD)
    result = wipe_disks({"name": "wipe", "mode": mode, "disks": "all"}, work_on(disk))
    assert [done["method"] for done in result["disks"]] == [method]
    assert calls.read_text().splitlines()[1:3] == [
        f"--user-master u --security-unlock {PASSWORD} {disk.path}",
        f"--user-master u --security-disable {PASSWORD} {disk.path}",
    ]
    assert (tmp_path / "state").read_text().strip() == "", "it would be locked again from its next power-on on"


def test_a_password_that_waits_for_the_next_power_on_is_taken_off(
    cut_off: Callable[[str], tuple[Disk, Path]], tmp_path: Path, abort: Abort
) -> None:
    disk, _ = cut_off(PASSWORD)
    (tmp_path / "state").write_text("enabled")
    clean(disk, [], abort)
    assert (tmp_path / "state").read_text().strip() == ""


def test_a_drive_that_is_locked_by_another_password_is_told_of(
    cut_off: Callable[[str], tuple[Disk, Path]], tmp_path: Path, work_on: Callable[..., Work]
) -> None:
    disk, calls = cut_off("of-somebody-else")
    with pytest.raises(StepFailed, match="the drive is locked and does not take our password: hdparm failed with status 5"):
        wipe_disks({"name": "wipe", "mode": "quick", "disks": "all"}, work_on(disk))
    assert len(calls.read_text().splitlines()) == 2, "a drive lets nobody guess often"


def test_a_password_that_is_not_ours_stays_on_a_drive_that_is_not_locked(
    cut_off: Callable[[str], tuple[Disk, Path]], tmp_path: Path, abort: Abort
) -> None:
    disk, _ = cut_off("of-somebody-else")
    (tmp_path / "state").write_text("enabled")
    clean(disk, [], abort)
    assert (tmp_path / "state").read_text() == "enabled"


def test_a_drive_that_fails_to_erase_itself_is_not_left_with_a_password_and_is_written_over(
    play: Play, tmp_path: Path, work_on: Callable[..., Work]
) -> None:
    failing = "*security-erase*) echo 'SECURITY_ERASE: Input/output error' >&2; exit 5 ;;"
    calls = play("hdparm", hdparm(HDPARM, failing))
    disk = drive(tmp_path, "sda")
    result = wipe_disks({"name": "wipe", "mode": "secure", "disks": "all", "stall_seconds": 600}, work_on(disk))
    assert [done["method"] for done in result["disks"]] == ["full"]
    assert not any(Path(disk.path).read_bytes())
    assert calls.read_text().splitlines()[-1] == f"--user-master u --security-disable {PASSWORD} {disk.path}"


def test_a_drive_that_erases_itself_is_wiped_at_its_ends_and_not_written_over(
    play: Play, tmp_path: Path, work_on: Callable[..., Work]
) -> None:
    play("hdparm", hdparm(HDPARM))
    disk = drive(tmp_path, "sda")
    result = wipe_disks({"name": "wipe", "mode": "secure", "disks": "all"}, work_on(disk))
    assert [done["method"] for done in result["disks"]] == ["ata-security-erase-enhanced"]
    content = Path(disk.path).read_bytes()
    assert not any(content[:MIB])
    assert not any(content[-MIB:])
    assert all(content[MIB:-MIB]), "this drive only said that it has erased itself"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HDPARM.replace("not\tfrozen", "\tfrozen"), "frozen"),
        (HDPARM.replace("\t\tsupported\n", "\tnot\tsupported\n"), "no ATA Security Erase"),
        (HDPARM.partition("Security: ")[0], "no ATA Security Erase"),
    ],
)
def test_a_drive_that_does_not_offer_it_is_not_touched(text: str, says: str, play: Play, tmp_path: Path, abort: Abort) -> None:
    calls = play("hdparm", hdparm(text))
    with pytest.raises(NotOffered, match=says):
        erase(drive(tmp_path, "sda"), abort)
    assert len(calls.read_text().splitlines()) == 1


def test_a_program_that_is_missing_is_a_reason_like_any_other(
    tmp_path: Path, abort: Abort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotOffered, match=r"hdparm can not be started.*no secure discard"):
        erase(drive(tmp_path, "sda"), abort)
    with pytest.raises(NotOffered, match=r"nvme can not be started.*no secure discard"):
        erase(drive(tmp_path, "nvme0n1"), abort)


def test_what_hdparm_says_of_security_is_understood() -> None:
    assert ata_security(HDPARM) == {
        "supported": 1,
        "enabled": 0,
        "locked": 0,
        "frozen": 0,
        "supported: enhanced erase": 1,
        "minutes": 4,
        "enhanced minutes": 8,
    }


def test_a_device_without_secure_discard_is_written_over(
    tmp_path: Path, loop: Callable[..., Path], work_on: Callable[..., Work]
) -> None:
    backing = drive(tmp_path, "backing")
    device = loop(Path(backing.path))
    disk = backing._replace(path=str(device), name=device.name)
    result = wipe_disks({"name": "wipe", "mode": "secure", "disks": "all"}, work_on(disk))
    assert [done["method"] for done in result["disks"]] == ["full"]
    assert not any(Path(backing.path).read_bytes())
