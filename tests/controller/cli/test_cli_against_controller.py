# SPDX-License-Identifier: GPL-3.0-or-later
"""The command against a real controller: what people and scripts see."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from machines_there import add, add_ready
from processes import until
from running_controller import METALWRIGHT, RunningController


def test_init_saves_a_token_for_this_user_only(controller: RunningController) -> None:
    saved = controller.directory / "xdg" / "metalwright" / "client.toml"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert stat.S_IMODE(controller.data.stat().st_mode) == 0o750
    token = next(line.rsplit(" ", 1)[1] for line in controller.init_said.splitlines() if line.startswith("Token admin"))
    assert token in saved.read_text()


def test_init_done_twice_changes_nothing(controller: RunningController) -> None:
    before = {path: path.read_bytes() for path in (controller.config, controller.directory / "xdg/metalwright/client.toml")}
    again = controller.cli("init", "--config", str(controller.config))
    assert again.returncode == 0, again.stderr
    assert "Token admin exists and is kept." in again.stdout
    assert {path: path.read_bytes() for path in before} == before


def test_commands_on_this_host_find_the_controller_that_init_has_made(controller: RunningController) -> None:
    made = controller.json("token", "create", "visitor")
    assert "visitor" in [token["name"] for token in controller.json("token", "list")]
    with_it = controller.cli("machine", "list", environ={"METALWRIGHT_URL": controller.url, "METALWRIGHT_TOKEN": made["token"]})
    assert with_it.returncode == 0, with_it.stderr


def test_where_there_is_no_controller_none_is_made_by_the_way(controller: RunningController, tmp_path: Path) -> None:
    nowhere = {"XDG_CONFIG_HOME": str(tmp_path), "METALWRIGHT_DATA_DIR": str(tmp_path / "data")}
    for command in (("token", "list"), ("token", "create", "robot"), ("image", "import", "/dev/null"), ("agent", "build")):
        refused = controller.cli(*command, environ=nowhere)
        assert refused.returncode != 0
        assert "There is no controller on this host" in refused.stderr
        assert "metalwright init" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_init_writes_nothing_that_can_not_work(controller: RunningController, tmp_path: Path) -> None:
    config = tmp_path / "metalwright.toml"
    refused = controller.cli("init", "--config", str(config), "--data-dir", str(tmp_path / "data"), "--admin-listen", "foo")
    assert "admin.listen" in refused.stderr
    assert not config.exists()
    assert not (tmp_path / "data").exists()


def test_others_do_not_read_the_database_in_a_directory_that_was_there(controller: RunningController, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    made = controller.cli(
        *("init", "--config", str(tmp_path / "metalwright.toml"), "--data-dir", str(data)),
        environ={"XDG_CONFIG_HOME": str(tmp_path)},
    )
    assert made.returncode == 0, made.stderr
    assert {stat.S_IMODE(path.stat().st_mode) & 0o007 for path in data.glob("metalwright.db*")} == {0}


def test_the_key_to_the_credentials_lies_beside_the_database_for_its_owner_only(
    controller: RunningController, tmp_path: Path
) -> None:
    environ = {name: value for name, value in controller.environ.items() if name != "METALWRIGHT_SECRET_KEY_FILE"}
    given = ("--config", str(tmp_path / "metalwright.toml"), "--data-dir", str(tmp_path / "data"))
    subprocess.run(
        [METALWRIGHT, "init", *given], env={**environ, "XDG_CONFIG_HOME": str(tmp_path)}, check=True, capture_output=True
    )
    key = tmp_path / "data" / "secret.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_machines_are_added_listed_shown_changed_and_deleted(controller: RunningController, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    power = ("--power-driver", "ipmi", "--power", "address=10.0.0.7", "--power", "username=ops", "--power", f"password=@{secret}")
    add(controller, "web1", "--pool", "web", "--tag", "ssd", "--tag", "rack-3", *power)
    listed = controller.cli("machine", "list", "--pool", "web")
    assert listed.stdout.splitlines()[0].split()[:3] == ["NAME", "STATE", "DOING"]
    assert listed.stdout.splitlines()[1].split()[:2] == ["web1", "new"]
    shown = controller.cli("machine", "show", "web1").stdout
    assert "address=10.0.0.7" in shown
    assert "hunter2" not in shown
    assert controller.json("machine", "edit", "web1", "--rename", "web2", "--lock", "--no-tags")["tags"] == []
    assert controller.cli("machine", "delete", "web2", "--yes").stderr.startswith("error: web2 is locked")
    controller.json("machine", "edit", "web2", "--unlock")
    assert controller.cli("machine", "delete", "web2", "--yes").stdout == "web2: deleted\n"
    assert controller.json("machine", "list", "--pool", "web") == []


def test_deleting_asks_first(controller: RunningController) -> None:
    add(controller, "kept")
    refused = controller.cli("machine", "delete", "kept")
    assert refused.returncode == 130
    assert controller.json("machine", "show", "kept")["name"] == "kept"


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["machine", "add"]),
        (2, ["machine", "deploy", "a", "b", "--image", "debian/12", "--hostname", "same"]),
        (3, ["machine", "show", "nobody"]),
        (3, ["image", "delete", "nothing/1", "--yes"]),
        (4, ["machine", "add", "twin", "--mac", "52:54:00:11:ff:02"]),
        (5, ["machine", "add", "odd", "--mac", "no-mac"]),
        (5, ["machine", "edit", "twin"]),
        (5, ["image", "build", "windows/11"]),
    ],
)
def test_exit_codes_and_errors(controller: RunningController, code: int, arguments: list[str]) -> None:
    controller.cli("machine", "add", "twin", "--mac", "52:54:00:11:ff:01")
    done = controller.cli(*arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    if code != 2:
        assert done.stderr.startswith("error: ")


def test_a_missing_or_wrong_token_is_exit_code_6(controller: RunningController, tmp_path: Path) -> None:
    elsewhere = {"METALWRIGHT_URL": controller.url, "XDG_CONFIG_HOME": str(tmp_path)}
    missing = controller.cli("status", environ=elsewhere)
    assert missing.returncode == 6
    assert "metalwright token create NAME" in missing.stderr
    assert controller.cli("status", environ={**elsewhere, "METALWRIGHT_TOKEN": "wrong"}).returncode == 6


def test_no_controller_is_exit_code_7(controller: RunningController) -> None:
    done = controller.cli("status", environ={"METALWRIGHT_URL": "http://127.0.0.1:1", "METALWRIGHT_TOKEN": "x"})
    assert done.returncode == 7
    assert done.stderr.splitlines()[0] == "error: There is no controller at http://127.0.0.1:1."


def test_status_tells_what_there_is(controller: RunningController) -> None:
    add(controller, "counted")
    told = controller.cli("status")
    assert told.returncode == 0
    assert controller.url in told.stdout
    assert " new" in told.stdout


def test_an_operation_is_waited_for(controller: RunningController) -> None:
    add(controller, "hand1")
    add(controller, "hand2")
    done = controller.cli("machine", "power", "query", "hand1", "hand2")
    assert done.returncode == 0, done.stderr
    assert [line.split("  (")[0] for line in done.stdout.splitlines()] == [
        "hand1: power-query succeeded",
        "hand2: power-query succeeded",
        "hand1: unknown",
        "hand2: unknown",
    ]
    assert "running power" in done.stderr or "queued" in done.stderr
    listed = controller.json("operation", "list", "--machine", "hand1")
    assert [each["kind"] for each in listed] == ["power-query"]


def test_a_failed_operation_is_exit_code_8_and_says_why(controller: RunningController) -> None:
    add(controller, "broken", "--power-driver", "libvirt", "--power", "uri=test:///nowhere.xml", "--power", "domain=none")
    done = controller.cli("machine", "power", "on", "broken", timeout=120)
    assert done.returncode == 8
    assert done.stderr.splitlines()[-2].startswith("error: broken: power-on failed in phase power: ")


def test_commission_is_shown_and_aborted(controller: RunningController) -> None:
    add(controller, "aborted")
    waiting = subprocess.Popen(
        [METALWRIGHT, "machine", "commission", "aborted"],
        env=controller.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: controller.json("operation", "list", "--machine", "aborted", "--state", "running"), "it runs")
    busy = controller.cli("machine", "commission", "aborted")
    assert busy.returncode == 4
    assert "commission" in busy.stderr
    ended = controller.cli("machine", "abort", "aborted")
    assert ended.stdout.startswith("aborted: commission aborted")
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 8
    assert out.startswith("aborted: commission aborted")
    assert err.splitlines()[0].startswith("aborted: commission running")
    assert err.splitlines()[-1] == "error: aborted: commission was aborted."


def test_deploy_sends_files_and_options(controller: RunningController, tmp_path: Path) -> None:
    add_ready(controller, "web9")
    key, data = tmp_path / "key.pub", tmp_path / "user-data"
    key.write_text("# mine\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ ops@example.com\n")
    data.write_text("#cloud-config\ntimezone: Europe/Berlin\n")
    options = ("--hostname", "front", "--package", "htop", "--package-update", "--manage-etc-hosts", "localhost")
    options += ("--power-state", "{delay: +30, mode: poweroff}", "--disk", "min_size_gib=4", "--address", "dhcp")
    deploy = ("machine", "deploy", "web9", "--image", "debian/12", "--ssh-key", str(key), *options, "--no-wait")
    told = controller.json(*deploy, "--user-data", str(data))
    started = told["operation"]
    assert (told["machine"], told["error"], started["kind"], started["state"]) == ("web9", None, "deploy", "running")
    data.write_text("#cloud-config\npackages: {\n")
    refused = controller.cli(*deploy, "--user-data", str(data))
    assert refused.returncode in (4, 5)
    assert controller.cli(*deploy, "--user-data", str(tmp_path / "none")).stderr.startswith(f"error: {tmp_path}/none can not")
    aborted = controller.json("operation", "abort", started["id"])
    assert aborted["state"] == "aborted"
    assert controller.json("operation", "show", started["id"])["state"] == "aborted"


def test_the_timeline_adds_up(controller: RunningController) -> None:
    add(controller, "timed")
    controller.cli("machine", "power", "query", "timed")
    operation = controller.json("operation", "list", "--machine", "timed")[0]["id"]
    told = controller.json("timeline", "timed", "--operation", operation)
    assert sum(step["seconds"] for step in told["steps"]) == pytest.approx(told["total_seconds"], abs=0.01)
    lines = controller.cli("timeline", "timed").stdout.splitlines()
    assert lines[0].startswith("timed  power-query succeeded")
    assert lines[-1].split()[0] == "total"
    assert any("#" in line for line in lines)


def test_subnets_and_allocations(controller: RunningController) -> None:
    subnet = controller.json("subnet", "add", "rack1", "10.9.0.0/24", "--dynamic", "10.9.0.100-10.9.0.199", "--enlist")
    assert subnet["ranges"] == [{"kind": "dynamic", "start": "10.9.0.100", "end": "10.9.0.199", "comment": ""}]
    assert subnet["enlist"] is True
    assert controller.json("subnet", "edit", "rack1", "--domain", "rack.example", "--no-enlist")["domain"] == "rack.example"
    assert controller.cli("subnet", "list").stdout.splitlines()[1].split()[0] == "rack1"
    assert controller.cli("subnet", "delete", "rack1", "--yes").returncode == 0
    add_ready(controller, "hadoop1")
    claimed = controller.cli("allocation", "set", "hadoop", "--machine", "hadoop1", "--min-memory", "1GiB")
    assert claimed.stdout == "hadoop: added hadoop1\n", claimed.stderr
    again = controller.cli("allocation", "set", "hadoop", "--machine", "hadoop1", "--min-memory", "1GiB")
    assert again.stdout == "hadoop: unchanged\n"
    assert controller.json("allocation", "show", "hadoop")["machines"] == ["hadoop1"]
    assert "hadoop1" in controller.cli("allocation", "list").stdout
    assert controller.cli("allocation", "delete", "hadoop", "--yes").stdout == "hadoop: deleted\n"


def test_images_are_imported_listed_shown_and_deleted(controller: RunningController, tmp_path: Path) -> None:
    disk = tmp_path / "Tiny-1.raw.gz"
    raw = tmp_path / "raw"
    raw.write_bytes(b"\0" * 510 + b"\x55\xaa" + b"x" * (1 << 20))
    with disk.open("wb") as packed:
        subprocess.run(["gzip", "-c", str(raw)], stdout=packed, check=True)
    wrong = controller.cli("image", "import", str(disk), "--sha256", "0" * 64, "--config", str(controller.config))
    assert wrong.returncode == 5, wrong.stderr
    done = controller.cli("image", "import", str(disk), "--config", str(controller.config))
    assert done.stdout.startswith("tiny-1: ready, "), done.stderr
    assert done.stderr.startswith("tiny-1: ")
    again = controller.cli("image", "import", str(disk), "--config", str(controller.config))
    assert again.returncode == 4
    assert "tiny-1" in controller.cli("image", "list").stdout
    assert controller.json("image", "show", "tiny-1")["status"] == "ready"
    assert controller.cli("image", "delete", "tiny-1", "--yes").stdout == "tiny-1: deleted\n"


def test_tokens_are_made_listed_and_revoked_on_the_host(controller: RunningController) -> None:
    local = ("--config", str(controller.config))
    raw = controller.cli("token", "create", "robot", "--days", "30", *local).stdout.strip()
    with_it = {"METALWRIGHT_URL": controller.url, "METALWRIGHT_TOKEN": raw}
    assert controller.cli("status", environ=with_it).returncode == 0
    assert controller.cli("token", "create", "robot", *local).returncode == 4
    robot = next(each for each in controller.json("token", "list", *local) if each["name"] == "robot")
    assert robot["expires_at"] is not None
    assert controller.cli("token", "revoke", "robot", "--yes", *local).stdout == "robot: revoked\n"
    assert controller.cli("status", environ=with_it).returncode == 6
    assert controller.cli("token", "revoke", "robot", "--yes", *local).returncode == 3


def test_events_are_followed(controller: RunningController, tmp_path: Path) -> None:
    said = tmp_path / "said"
    command = [METALWRIGHT, "event", "follow", "--kind", "machine.created", "--json", "--after", "0"]
    with said.open("wb") as out:
        following = subprocess.Popen(command, env=controller.environ, stdout=out, stderr=subprocess.PIPE)
    add(controller, "followed")
    until(lambda: '"followed"' in said.read_text(), "the event is printed")
    assert json.loads(said.read_text().splitlines()[-1])["machine"]["name"] == "followed"
    try:
        until(lambda: _interrupted(following), "it ends")
        assert following.returncode == 130
        assert following.communicate()[1].split() == [b"interrupted"]
    finally:
        following.kill()


def _interrupted(process: subprocess.Popen[bytes]) -> bool:
    """Python drops an interrupt that comes in the middle of a destructor: a person presses Ctrl-C again."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    return process.poll() is not None


def test_a_reader_that_has_seen_enough_is_no_error(controller: RunningController) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{METALWRIGHT} event list | head -1"], env=controller.environ, capture_output=True, text=True
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
