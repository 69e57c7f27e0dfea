# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command is made of, without a controller."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from metalwright.cli import main, output
from metalwright.cli.client import Access, find_access
from metalwright.cli.options import key_values
from metalwright.cli.root import COMMANDS
from metalwright.cli.timeline import bar, tenths
from metalwright.errors import Invalid

HEAVY = ("alembic", "flask", "gunicorn", "libvirt", "pydantic", "pyghmi", "requests", "rich", "sqlalchemy", "structlog", "yaml")


def test_help_imports_nothing_heavy() -> None:
    program = "import sys; from metalwright.cli import main; main(['--help']); print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(done.stderr.split())
    assert all(f"  {name} " in done.stdout for name in COMMANDS)


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machin"]) == 2
    assert "No such command 'machin'" in capsys.readouterr().err


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user whose client file names a controller."""
    saved = tmp_path / "metalwright" / "client.toml"
    saved.parent.mkdir()
    saved.write_text('url = "http://10.0.0.1:5240"\ntoken = "saved"\nca_path = "/etc/ca.pem"\n')
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_the_environment_goes_before_the_client_file(home: dict[str, str]) -> None:
    assert find_access(home) == Access("http://10.0.0.1:5240", "saved", "/etc/ca.pem")
    assert find_access({**home, "METALWRIGHT_TOKEN": "mine"}).token == "mine"
    assert find_access({"HOME": "/nonexistent"}) == Access("http://127.0.0.1:5240", "")


def test_a_saved_token_goes_to_its_own_controller_only(home: dict[str, str]) -> None:
    assert find_access({**home, "METALWRIGHT_URL": "http://10.0.0.1:5240/"}).token == "saved"
    assert find_access({**home, "METALWRIGHT_URL": "http://evil.example"}) == Access("http://evil.example", "")


def test_a_broken_client_file_is_named(home: dict[str, str]) -> None:
    path = Path(home["XDG_CONFIG_HOME"]) / "metalwright" / "client.toml"
    path.write_text("url = ")
    with pytest.raises(Invalid, match=str(path)):
        find_access(home)


def test_values_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a=b\n")
    assert key_values(("x=1", f"y=@{tmp_path}/secret", "z="), "--power") == {"x": "1", "y": "a=b", "z": ""}
    with pytest.raises(click.BadParameter):
        key_values(("novalue",), "--power")
    with pytest.raises(Invalid, match="No such file"):
        key_values((f"y=@{tmp_path}/none",), "--power")


def test_amounts_are_for_people() -> None:
    assert [output.size(count) for count in (0, 1023, 1024, 3 << 30, 5 << 50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "3.0 GiB",
        "5.0 PiB",
    ]
    now = datetime(2026, 11, 21, tzinfo=UTC)
    ages = [output.age((now - timedelta(seconds=passed)).isoformat(), now) for passed in (-5, 12, 300, 10800, 40 * 86400)]
    assert ages == ["0 s", "12 s", "5 min", "3 h", "40 d"]


def test_what_the_timeline_shows_adds_up() -> None:
    lengths = [0.46, 0.05, 0.34, 12.34]
    assert tenths(lengths) == [0.5, 0.0, 0.4, 12.3]
    assert sum(tenths(lengths)) == pytest.approx(round(sum(lengths), 1))


def test_the_waterfall_covers_the_whole_and_shows_every_step() -> None:
    lengths = [1.0, 0.001, 59.0, 40.0]
    total = sum(lengths)
    bars = [bar(sum(lengths[:index]), length, total) for index, length in enumerate(lengths)]
    assert all(len(each) == len(bars[0]) and "#" in each for each in bars)
    assert bars[0].startswith("#")
    assert bars[-1].endswith("#")
    assert bar(0, 0, 0) == ""
