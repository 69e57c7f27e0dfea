# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts are fetched, run and told of; how they end decides how the step ends."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controller_side import TOKEN, ControllerSide

from metalwright.agent import scripts
from metalwright.agent.abort import Abort
from metalwright.agent.errors import Aborted, RestartWanted, StepFailed
from metalwright.agent.group import TAIL_BYTES
from metalwright.agent.script import LARGEST_RESULT, Run, text
from metalwright.agent.scripts import batches, run_scripts
from metalwright.agent.work import Work

Offer = Callable[..., None]
COUNTS = {"passed": 0, "failed": 0, "timeout": 0, "skipped": 0}


@pytest.fixture
def offer(side: ControllerSide) -> Offer:
    """Have the controller want scripts run: ``offer(name=source, other=(source, options))``; their ids are their names."""

    def make(**wanted: str | tuple[str, dict[str, Any]]) -> None:
        runs = []
        for name, script in wanted.items():
            source, options = (script, {}) if isinstance(script, str) else script
            defaults = {"kind": "test", "timeout_seconds": 30, "parallel": False, "may_reboot": False, "required": True}
            runs.append({"id": name, "name": name, **defaults, "parameters": {}, "reboots": 0, **options})
            side.files[f"/agent/{TOKEN}/script/{name}"] = source.encode()
            side.defaults[f"script/{name}"] = (200, {"continue": True})
        side.answers["scripts"] = [(200, {"runs": runs})]

    return make


@pytest.fixture
def work(work_on: Callable[..., Work]) -> Work:
    return work_on()


def last(side: ControllerSide, name: str) -> dict[str, Any]:
    return side.calls(f"script/{name}")[-1]


def test_where_there_is_none_there_is_nothing_to_do(side: ControllerSide, work: Work) -> None:
    assert run_scripts(work) == COUNTS
    assert side.said == [("scripts", {})]


def test_a_script_is_run_and_told_of(side: ControllerSide, offer: Offer, work: Work) -> None:
    offer(fans="""#!/bin/sh\necho spinning; echo squeaking >&2; echo '{"rpm": [800, 900]}' >"$METALWRIGHT_RESULT"\n""")
    assert run_scripts(work) == COUNTS | {"passed": 1}
    began, ended = side.calls("script/fans")
    nothing = {"exit_status": None, "output": "", "result": None, "runtime_seconds": None}
    assert began == {"status": "running", **nothing}
    assert 0 <= ended.pop("runtime_seconds") < 30
    assert ended == {
        "status": "passed",
        "exit_status": 0,
        "output": "spinning\nsqueaking\n",
        "result": {"rpm": [800, 900]},
    }


def test_a_script_finds_what_it_was_promised(side: ControllerSide, offer: Offer, work: Work) -> None:
    source = "#!/bin/sh\nenv | grep METALWRIGHT_; pwd; ls -a\n"
    parameters = {"size-mib": 64, "full": True, "disk": "sda sdb", "none": None, "list": [1, "a"]}
    offer(seen=(source, {"parameters": parameters, "reboots": 2, "may_reboot": True}))
    run_scripts(work)
    printed = last(side, "seen")["output"].splitlines()
    found = dict(line.split("=", 1) for line in printed if "=" in line)
    directory = Path(found.pop("METALWRIGHT_RESULT")).parent
    assert found == {
        "METALWRIGHT_REBOOTS": "2",
        "METALWRIGHT_URL_BASE": side.address,
        "METALWRIGHT_PARAM_SIZE_MIB": "64",
        "METALWRIGHT_PARAM_FULL": "true",
        "METALWRIGHT_PARAM_DISK": "sda sdb",
        "METALWRIGHT_PARAM_NONE": "",
        "METALWRIGHT_PARAM_LIST": '[1, "a"]',
    }
    assert [line for line in printed if "=" not in line] == [str(directory / "work"), ".", ".."]
    assert not directory.exists()
    assert TOKEN not in str(last(side, "seen"))


@pytest.mark.parametrize(
    ("source", "status", "exit_status", "says"),
    [
        ("#!/bin/sh\necho broken; exit 4\n", "failed", 4, "broken"),
        ("#!/bin/sh\nkill -9 $$\n", "failed", -9, ""),
        ("#!/no/such/interpreter\n", "failed", None, "can not be started: No such file or directory"),
        ("echo without a first line\n", "failed", None, "does not begin with #!"),
        ("#!/bin/sh\necho nothing here; exit 77\n", "skipped", 77, "nothing here"),
    ],
)
def test_how_a_script_ends_is_told(
    source: str, status: str, exit_status: int | None, says: str, side: ControllerSide, offer: Offer, work: Work
) -> None:
    offer(it=(source, {"required": False}))
    assert run_scripts(work) == COUNTS | {status: 1}
    told = last(side, "it")
    assert (told["status"], told["exit_status"]) == (status, exit_status)
    assert says in told["output"]


def test_a_script_that_takes_too_long_is_ended(side: ControllerSide, offer: Offer, work: Work) -> None:
    offer(slow=("#!/bin/sh\necho begun\nexec sleep 600\n", {"timeout_seconds": 0.3}))
    with pytest.raises(StepFailed) as caught:
        run_scripts(work)
    assert caught.value.code == "test_failed"
    assert "slow: not done after" in caught.value.message
    told = last(side, "slow")
    assert (told["status"], told["exit_status"], told["output"]) == ("timeout", None, "begun\n")


@pytest.mark.parametrize("kind", ["commissioning", "release"])
def test_a_required_script_that_fails_ends_the_step_at_once(kind: str, side: ControllerSide, offer: Offer, work: Work) -> None:
    offer(
        first=("#!/bin/sh\nexit 1\n", {"kind": kind, "required": False}),
        second=("#!/bin/sh\necho the RAID is degraded; exit 2\n", {"kind": kind}),
        third=("#!/bin/sh\n", {"kind": kind}),
    )
    with pytest.raises(StepFailed) as caught:
        run_scripts(work)
    assert caught.value.code == "script_failed"
    assert re.fullmatch(r"second: failed with status 2 after [\d.]+ s \(the RAID is degraded\)", caught.value.message)
    assert caught.value.log_tail == "the RAID is degraded\n"
    assert not side.calls("script/third")


def test_all_tests_are_run_and_the_required_ones_decide(side: ControllerSide, offer: Offer, work: Work) -> None:
    offer(
        memory="#!/bin/sh\necho bit 7; exit 1\n",
        extra=("#!/bin/sh\nexit 1\n", {"required": False}),
        disk="#!/bin/sh\nexit 5\n",
        cpu="#!/bin/sh\n",
    )
    with pytest.raises(StepFailed) as caught:
        run_scripts(work)
    assert caught.value.code == "test_failed"
    assert "memory: failed with status 1" in caught.value.message
    assert "disk: failed with status 5" in caught.value.message
    assert "extra" not in caught.value.message
    assert last(side, "cpu")["status"] == "passed"


def test_parallel_scripts_run_beside_each_other(offer: Offer, work: Work, tmp_path: Path) -> None:
    """Each waits for what the other one makes."""
    meet = "#!/bin/sh\ntouch {0}/{1}; until [ -e {0}/{2} ]; do sleep 0.01; done\n"
    offer(
        one=(meet.format(tmp_path, "a", "b"), {"parallel": True}),
        two=(meet.format(tmp_path, "b", "a"), {"parallel": True}),
    )
    assert run_scripts(work) == COUNTS | {"passed": 2}


def test_only_neighbours_of_one_kind_that_stay_run_beside_each_other() -> None:
    def run(name: str, **options: Any) -> Run:
        return Run.of({"id": name, "name": name, "kind": "test", "timeout_seconds": 1, "parallel": True} | options)

    runs = [
        run("a", kind="commissioning"),
        run("b"),
        run("c"),
        run("d", parallel=False),
        run("e"),
        run("f", may_reboot=True),
        run("g"),
    ]
    assert [[run.name for run in batch] for batch in batches(runs)] == [["a"], ["b", "c"], ["d"], ["e"], ["f"], ["g"]]


def test_a_script_may_restart_the_machine(side: ControllerSide, offer: Offer, work: Work) -> None:
    offer(update=("#!/bin/sh\necho flashed\nreboot\necho never\n", {"may_reboot": True}), later="#!/bin/sh\n")
    with pytest.raises(RestartWanted, match="update"):
        run_scripts(work)
    told = last(side, "update")
    assert (told["status"], told["output"]) == ("running", "flashed\n")
    assert not side.calls("script/later")


@pytest.mark.parametrize(
    ("written", "result", "says"),
    [
        ("echo '{\"a\": 1}'", {"a": 1}, ""),
        ("true", None, ""),
        (": ", None, ""),
        ("echo '[1]'", None, "not a JSON object"),
        ("echo '{'", None, "not JSON"),
        ("echo '{\"a\": NaN}'", None, "NaN is not JSON"),
        ("yes '[' | head -c 60000", None, "not JSON"),
        (f"head -c {LARGEST_RESULT + 1} /dev/zero", None, "larger than 65536 bytes"),
    ],
)
def test_of_the_result_only_a_json_object_counts(
    written: str, result: object, says: str, side: ControllerSide, offer: Offer, work: Work
) -> None:
    offer(it=f'#!/bin/sh\n{written} >"$METALWRIGHT_RESULT"\n')
    assert run_scripts(work) == COUNTS | {"passed": 1}
    told = last(side, "it")
    assert told["result"] == result
    assert (says in told["output"]) if says else told["output"] == ""


@pytest.mark.parametrize("make", ["mkfifo", "ln -s /etc/passwd", "mkdir"])
def test_a_result_that_is_no_file_is_not_waited_for(make: str, side: ControllerSide, offer: Offer, work: Work) -> None:
    offer(it=f'#!/bin/sh\n{make} "$METALWRIGHT_RESULT"\n')
    assert run_scripts(work) == COUNTS | {"passed": 1}
    told = last(side, "it")
    assert told["result"] is None
    assert "is not used" in told["output"]


def test_output_is_text_of_bounded_size(side: ControllerSide, offer: Offer, work: Work) -> None:
    offer(
        it=r"""#!/bin/sh
        head -c 100000 /dev/urandom
        printf 'over\rwritten\r\nand \033[31mred\033[0m\n'
    """
    )
    run_scripts(work)
    output = last(side, "it")["output"]
    assert output.endswith("over\nwritten\nand [31mred[0m\n")
    assert len(output.encode()) <= TAIL_BYTES
    assert all(character.isprintable() or character in "\n\t" for character in output)
    assert text(b"\xc3\xa4\xff\n") == "ä\ufffd\n"


def test_what_a_script_mounts_is_not_removed_with_its_directory(
    side: ControllerSide, offer: Offer, work: Work, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("kept")
    offer(it=f"#!/bin/sh\nmkdir 'a b'\nmount --bind {precious} 'a b'\npwd\n")
    assert run_scripts(work) == COUNTS | {"passed": 1}
    assert (precious / "data").read_text() == "kept"
    directory = last(side, "it")["output"].strip()
    assert not Path(directory).exists()
    assert directory not in Path("/proc/self/mounts").read_text()


def test_people_who_watch_see_the_output_grow(
    side: ControllerSide, offer: Offer, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "TELL_EVERY", 0.02)
    offer(it=f"#!/bin/sh\necho half way\nuntil [ -e {tmp_path}/go ]; do sleep 0.01; done\necho there\n")

    def watch() -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end and not any(told["output"] for told in side.calls("script/it")):
            time.sleep(0.01)
        (tmp_path / "go").touch()

    thread = threading.Thread(target=watch)
    thread.start()
    run_scripts(work)
    thread.join()
    told = [(call["status"], call["output"]) for call in side.calls("script/it")]
    assert ("running", "half way\n") in told
    assert told[-1] == ("passed", "half way\nthere\n")


@pytest.mark.parametrize(
    "answer", [(404, {"code": "not_found", "message": "There is nothing here."}), (200, {"continue": False})]
)
def test_a_job_that_is_not_wanted_any_more_runs_no_script(
    answer: tuple[int, Any], side: ControllerSide, offer: Offer, work: Work, tmp_path: Path
) -> None:
    offer(it=f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    side.answers["script/it"] = [answer]
    with pytest.raises(Aborted):
        run_scripts(work)
    assert not (tmp_path / "ran").exists()


def test_a_controller_that_refuses_is_told_as_a_fault(side: ControllerSide, offer: Offer, work: Work) -> None:
    offer(it="#!/bin/sh\n")
    side.answers["script/it"] = [(422, {"code": "invalid_body", "message": "status: what is that?"})]
    with pytest.raises(StepFailed, match="what is that") as caught:
        run_scripts(work)
    assert caught.value.code == "agent_error"


def test_an_abort_ends_all_scripts_that_run(offer: Offer, work: Work, abort: Abort, tmp_path: Path) -> None:
    source = "#!/bin/sh\necho $$ > {}/{}\nexec sleep 600\n"
    offer(**{name: (source.format(tmp_path, name), {"parallel": True}) for name in ("one", "two")})

    def ask() -> None:
        while not all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in ("one", "two")):
            time.sleep(0.01)
        abort.ask("enough")

    thread = threading.Thread(target=ask)
    thread.start()
    with pytest.raises(Aborted, match="enough"):
        run_scripts(work)
    thread.join()
    for name in ("one", "two"):
        pid = (tmp_path / name).read_text().strip()
        assert subprocess.run(["kill", "-0", pid], capture_output=True).returncode != 0


def test_a_result_survives_as_it_was_written(side: ControllerSide, offer: Offer, work: Work) -> None:
    result = {"disks": [{"name": "sda", "hours": 12345, "healthy": True, "°C": 31.5}], "note": "a\tb\nc"}
    offer(it=f"#!/bin/sh\ncat >\"$METALWRIGHT_RESULT\" <<'X'\n{json.dumps(result)}\nX\n")
    run_scripts(work)
    assert last(side, "it")["result"] == result
