# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases on their way from the engine's files into the database, and from one engine to another."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from metalwright.config import Dhcp, Node, Settings
from metalwright.network import engines
from metalwright.network.engines import succession
from metalwright.network.engines.leases import Lease, LeaseChanges, mac_of_duid
from metalwright.serve.lease_following import LeaseFollowing, write_down
from metalwright.store import Store
from metalwright.store import models as stored

A, B = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
NOW = 1_700_000_000.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    dhcp = Dhcp(engine="dnsmasq", interface="server")
    made = Settings(data_dir=tmp_path, node=Node(url="http://10.99.0.1:5248"), dhcp=dhcp)
    (tmp_path / "dnsmasq").mkdir()
    return made


def write(settings: Settings, *lines: str) -> None:
    path = settings.data_dir / "dnsmasq" / "leases"
    path.write_text("".join(f"{line}\n" for line in lines))
    os.utime(path, ns=(0, hash(lines) % 1_000_000_000))


def test_each_change_is_told_once(settings: Settings) -> None:
    told: list[LeaseChanges] = []
    now = [NOW]
    following = LeaseFollowing(engines.create(settings), told.append, lambda: now[0])
    write(settings, f"{int(NOW) + 60} {A} 10.99.0.10 * *", f"{int(NOW) - 1} {B} 10.99.0.11 * *")
    following.look()
    first = Lease("10.99.0.10", int(NOW) + 60, A)
    assert told == [LeaseChanges((first,), complete=True)]
    following.look()
    duid = f"00:03:00:01:{B}"
    write(settings, f"{int(NOW) + 90} {A} 10.99.0.10 * *", "duid 00:04:00", f"{int(NOW) + 50} 7 fd99::b * {duid}")
    following.look()
    extended, six = Lease("10.99.0.10", int(NOW) + 90, A), Lease("fd99::b", int(NOW) + 50, B, duid, 7)
    assert told[1:] == [LeaseChanges((extended, six))]
    now[0] += 55
    following.look()
    assert told[2:] == [LeaseChanges((), (six,))]
    write(settings)
    following.look()
    assert told[3:] == [LeaseChanges((), (extended,))]


def test_leases_are_in_the_database_and_those_that_ended_meanwhile_are_not(store: Store) -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    note = partial(write_down, store, clock=lambda: at)
    note(LeaseChanges((Lease("10.99.0.10", int(NOW) + 60, A), Lease("10.99.0.11", 0, B)), complete=True))
    note(LeaseChanges((Lease("10.99.0.12", int(NOW) + 60, A),), complete=True))
    with store.session() as session:
        assert [(each.address, each.mac) for each in session.scalars(select(stored.Lease))] == [("10.99.0.12", A)]
    note(LeaseChanges((), (Lease("10.99.0.12", int(NOW) + 60, A),)))
    with store.session() as session:
        assert session.scalars(select(stored.Lease)).all() == []


def test_a_new_engine_takes_the_leases_of_the_former_one(settings: Settings) -> None:
    """And back: whoever serves next knows what the other one gave."""
    dnsmasq = engines.create(settings)
    other = settings.model_copy(update={"dhcp": Dhcp(engine="kea+bind", interface="server")})
    assert succession.take_over(settings, dnsmasq) is None
    end = 4_000_000_000
    duid = f"00:03:00:01:{A}"
    lines = (f"{end} {A} 10.99.0.10 * *", f"{NOW:.0f} {B} 10.99.0.11 * *", "duid 00:04:00", f"{end} 7 fd99::a * {duid}")
    write(settings, *lines)
    kea = engines.create(other)
    taken = succession.take_over(other, kea)
    assert taken == succession.Taken("dnsmasq", 2)
    assert {(lease.address, lease.mac) for lease in kea.leases()} == {("10.99.0.10", A), ("fd99::a", A)}
    assert succession.take_over(other, kea) is None
    (settings.data_dir / "dnsmasq" / "leases").unlink()
    assert succession.take_over(settings, dnsmasq) == succession.Taken("kea+bind", 2)
    assert {(lease.address, lease.duid, lease.iaid) for lease in dnsmasq.leases()} == {
        ("10.99.0.10", None, None),
        ("fd99::a", duid, 7),
    }


@pytest.mark.parametrize(
    ("duid", "mac"),
    [
        (f"00:03:00:01:{A}", A),
        (f"00:01:00:01:2a:2b:2c:2d:{A}", A),
        ("00:04:" + ":".join(["00"] * 16), None),
        (f"00:03:00:06:{A}", None),
        ("", None),
    ],
)
def test_the_mac_in_a_duid(duid: str, mac: str | None) -> None:
    assert mac_of_duid(duid) == mac
