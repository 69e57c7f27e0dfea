# SPDX-License-Identifier: GPL-3.0-or-later
"""Kea's lease files: read in any of their states, and written for Kea to begin with."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from metalwright.network.engines import kea_leases
from metalwright.network.engines.leases import Lease

HEAD = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context"
HEAD_6 = (
    "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,"
    "state,user_context,hwtype,hwaddr_source"
)
A, B = "52:54:00:00:00:0a", "52:54:00:00:00:0b"


def line(last: int, mac: str = A, valid: int = 3600, expire: int = 2000000000, state: int = 0) -> str:
    return f"10.99.0.{last},{mac},01:02,{valid},{expire},1,0,0,host,{state},"


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join([HEAD, *lines]) + "\n")


def test_the_last_line_about_an_address_holds(tmp_path: Path) -> None:
    path = tmp_path / "leases4.csv"
    assert kea_leases.read(path) == []
    write(
        path, line(10), line(11), line(10, B, expire=2000000900), line(11, valid=0, expire=0), line(12, state=1), "10.99.0.13,cut"
    )
    assert kea_leases.read(path) == [Lease("10.99.0.10", 2000000900, B)]
    write(path, line(10, valid=0xFFFFFFFF))
    assert kea_leases.read(path)[0].expires == 0


@pytest.mark.parametrize("name", ['"', '"x', "a\x0bb", "a\rb", "\x85"])
def test_what_a_client_calls_itself_hides_no_lease(tmp_path: Path, name: str) -> None:
    path = tmp_path / "leases4.csv"
    write(path, line(10).replace("host", name), line(11))
    assert [lease.address for lease in kea_leases.read(path)] == ["10.99.0.10", "10.99.0.11"]


def test_while_files_are_put_in_order(tmp_path: Path) -> None:
    path = tmp_path / "leases4.csv"
    write(tmp_path / "leases4.csv.2", line(10), line(11))
    write(tmp_path / "leases4.csv.1", line(11, valid=0), line(12))
    write(path, line(13))
    assert [lease.address for lease in kea_leases.read(path)] == ["10.99.0.10", "10.99.0.12", "10.99.0.13"]
    write(tmp_path / "leases4.csv.completed", line(10), line(12))
    (tmp_path / "leases4.csv.2").unlink()
    assert [lease.address for lease in kea_leases.read(path)] == ["10.99.0.10", "10.99.0.12", "10.99.0.13"]


def test_ipv6(tmp_path: Path) -> None:
    path = tmp_path / "leases6.csv"
    duid = f"00:03:00:01:{A}"
    row = f"2001:db8::10,{duid},3600,2000000000,6,3600,0,7,128,0,0,,{B},0,,1,2"
    other = "2001:db8::11,00:04:aa,3600,2000000000,6,3600,0,8,128,0,0,,,0,,,"
    path.write_text(f"{HEAD_6}\n{row}\n{other}\n")
    assert kea_leases.read(path) == [
        Lease("2001:db8::10", 2000000000, B, duid, 7),
        Lease("2001:db8::11", 2000000000, None, "00:04:aa", 8),
    ]


def test_a_line_that_was_cut_off_takes_no_other_with_it(tmp_path: Path) -> None:
    path = tmp_path / "leases4.csv"
    path.write_bytes(f"{HEAD}\n{line(10)}\n10.99.0.11,52:54:00:00:00:0\xff".encode("latin-1"))
    kea_leases.add(path, [Lease("10.99.0.12", 0, B)], pytest.fail)
    assert [lease.address for lease in kea_leases.read(path)] == ["10.99.0.10", "10.99.0.12"]


@pytest.mark.parametrize("more", ["", ",pool_id"])
def test_rows_are_as_long_as_the_heading_of_their_file(tmp_path: Path, more: str) -> None:
    path = tmp_path / "leases4.csv"
    path.write_text(f"{HEAD}{more}\n")
    kea_leases.add(path, [Lease("10.99.0.10", 0, A)], pytest.fail)
    kea_leases.forget(path, [Lease("10.99.0.10", 0, A)], pytest.fail)
    heading, *rows = path.read_text().splitlines()
    assert len(rows) == 2
    assert {row.count(",") for row in rows} == {heading.count(",")}
    assert all(row.endswith(",0" if more else "0,") for row in rows)


def test_a_new_file_is_one_of_the_kea_that_will_read_it(tmp_path: Path) -> None:
    old, new = kea_leases.heading(4, (2, 2)), kea_leases.heading(4, (2, 4))
    assert (old, new) == (HEAD, f"{HEAD},pool_id")
    assert kea_leases.heading(6, (3, 0)) == f"{HEAD_6},pool_id"
    for name in ("missing.csv", "empty.csv"):
        path = tmp_path / name
        (tmp_path / "empty.csv").touch()
        kea_leases.add(path, [Lease("10.99.0.10", 0, A)], lambda: new)
        assert path.read_text().startswith(f"{new}\n10.99.0.10,")


def test_leases_of_another_engine(tmp_path: Path) -> None:
    path = tmp_path / "leases4.csv"
    soon = int(time.time()) + 600
    write(path, line(10))
    others = [Lease("10.99.0.10", soon, B), Lease("10.99.0.11", soon, B), Lease("10.99.0.12", 1, A), Lease("10.99.0.13", 0, A)]
    kea_leases.add(path, others, pytest.fail)
    assert kea_leases.read(path) == [
        Lease("10.99.0.10", 2000000000, A),
        Lease("10.99.0.11", soon, B),
        Lease("10.99.0.13", 0, A),
    ]
    kea_leases.forget(path, [Lease("10.99.0.11", soon, B)], pytest.fail)
    assert [lease.address for lease in kea_leases.read(path)] == ["10.99.0.10", "10.99.0.13"]
    six = tmp_path / "leases6.csv"
    given = Lease("2001:db8::10", soon, A, f"00:03:00:01:{A}", 7)
    kea_leases.add(six, [given], lambda: HEAD_6)
    assert kea_leases.read(six) == [given]
