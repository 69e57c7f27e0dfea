# SPDX-License-Identifier: GPL-3.0-or-later
"""What a start finds: a new database, one whose key is gone or another one, one of a schema that was never released."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from metalwright.config import Settings
from metalwright.errors import Unavailable
from metalwright.serve.data import prepare
from metalwright.store import Store, sealed
from metalwright.store.models import Machine

POWER = {"address": "10.0.0.5", "password": "hunter2"}


@pytest.fixture(params=["store", "postgres_store"])
def here(request: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Settings of a controller that has an empty database, and no key yet."""
    monkeypatch.setattr(sealed, "_keys", [])
    store: Store = request.getfixturevalue(request.param)
    url = store.url.render_as_string(hide_password=False)
    return settings.model_copy(update={"database_url": url, "secret_key_file": tmp_path / "own.key"})


def fill(settings: Settings) -> None:
    store = prepare(settings)
    with store.write() as session:
        session.add(Machine(name="bare", power_driver="manual", power_parameters={}))
        session.add(Machine(name="web1", power_driver="ipmi", power_parameters=POWER))
    store.engine.dispose()


def refused(settings: Settings, code: str) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        prepare(settings)
    assert caught.value.code == code
    return caught.value


def test_the_key_is_made_once_and_used_again(here: Settings) -> None:
    fill(here)
    made = here.secret_key.read_bytes()
    store = prepare(here)
    with store.session() as session:
        assert session.query(Machine).filter_by(name="web1").one().power_parameters == POWER
    store.engine.dispose()
    assert here.secret_key.read_bytes() == made
    assert here.secret_key.stat().st_mode & 0o777 == 0o600


def test_a_lost_key_is_not_replaced(here: Settings) -> None:
    fill(here)
    here.secret_key.unlink()
    error = refused(here, "secret_key_missing")
    assert str(here.secret_key) in error.message and "backup" in error.hint
    assert not here.secret_key.exists()


def test_a_second_controller_makes_no_key_of_its_own_though_there_is_no_credential_yet(here: Settings, tmp_path: Path) -> None:
    prepare(here).engine.dispose()
    second = here.model_copy(update={"secret_key_file": tmp_path / "second.key"})
    error = refused(second, "secret_key_missing")
    assert "Copy secret.key from the other controller" in error.hint
    assert not second.secret_key.exists()
    second.secret_key.write_bytes(here.secret_key.read_bytes())
    prepare(second).engine.dispose()


def test_of_two_that_start_at_once_one_makes_the_key(here: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys are a matter of a process; the second one, a thread of this one, is refused before it has any."""
    second = here.model_copy(update={"secret_key_file": tmp_path / "second.key"})
    told: list[Unavailable] = []
    starting = threading.Thread(target=lambda: told.append(refused(second, "secret_key_missing")))
    make = sealed._make

    def slowly(path: Path) -> None:
        starting.start()
        starting.join(1)  # it waits for this one
        make(path)

    monkeypatch.setattr(sealed, "_make", slowly)
    prepare(here).engine.dispose()
    starting.join(30)
    assert [error.code for error in told] == ["secret_key_missing"]
    assert not second.secret_key.exists()


def test_another_key_is_told_at_once(here: Settings) -> None:
    fill(here)
    old = here.secret_key.read_bytes()
    here.secret_key.write_bytes(Fernet.generate_key())
    refused(here, "secret_key_wrong")
    here.secret_key.write_bytes(Fernet.generate_key() + b"\n" + old)
    prepare(here).engine.dispose()


def test_without_its_credentials_a_database_goes_on_with_a_new_key(here: Settings) -> None:
    fill(here)
    here.secret_key.unlink()
    page = (Path(__file__).parents[3] / "docs/how-to/lost-key.md").read_text()
    statements = page.split("```sql\n")[1].split("```")[0].strip().split(";\n")
    store = Store(here.database)
    with store.write() as session:
        for statement in statements:
            session.execute(text(statement.rstrip(";")))
    store.engine.dispose()
    store = prepare(here)
    with store.session() as session:
        assert [machine.power_parameters for machine in session.query(Machine)] == [{}, {}]
    store.engine.dispose()


@pytest.mark.parametrize("change", ["ALTER TABLE operation DROP COLUMN message", "DROP TABLE console_log"])
def test_a_schema_that_was_never_released_is_refused(here: Settings, change: str) -> None:
    store = prepare(here)
    with store.write() as session:
        session.execute(text(change))
    store.engine.dispose()
    error = refused(here, "database_outdated")
    assert change.split()[-1] in error.message and "init" in error.hint
