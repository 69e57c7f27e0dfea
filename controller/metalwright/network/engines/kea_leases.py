# SPDX-License-Identifier: GPL-3.0-or-later
"""Kea's lease files (memfile): comma-separated, appended to at every change, so that the last line about an address holds.

The first line names the columns. Kea throws away a row that has not as many, and converts a file with those of an earlier Kea
beside its start, in which leases were seen to be missed: what is written follows the file, or where there is none the Kea here.

Once an hour Kea begins a new file and has the former ones put in order by ``kea-lfc``; until that has ended they lie beside it.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from metalwright.network.engines.leases import Lease, mac_of_duid

_COLUMNS = {
    4: "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context",
    6: "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,"
    "state,user_context,hwtype,hwaddr_source",
}
_SINCE_2_4 = ",pool_id"
_EARLIER = (".completed", ".2", ".1", "")
"""What is put in order and not yet renamed holds all before the next; else ``.2`` does (Kea ARM, "Why Is Lease File Cleanup
Necessary?")."""
_INFINITE = 0xFFFFFFFF
_GIVEN = "0"


def read(path: Path) -> list[Lease]:
    """The leases in the files that begin with this name, in the order of their addresses as text. No file: no leases."""
    found: dict[str, Lease | None] = {}
    completed = path.with_name(f"{path.name}.completed").exists()
    for suffix in _EARLIER:
        if completed and suffix in (".1", ".2"):
            continue
        try:
            lines = path.with_name(path.name + suffix).read_bytes().decode("ascii", "replace").split("\n")
        except FileNotFoundError:
            continue
        names = lines[0].split(",")
        for line in lines[1:]:
            # Kea quotes nothing and writes a comma as &#x2c; and a client calls itself what it likes: csv would be misled
            if lease := _lease(dict(zip(names, line.split(","), strict=False))):
                found[lease[0]] = lease[1]
    return [lease for _, lease in sorted(found.items()) if lease is not None]


def heading(family: int, version: tuple[int, ...]) -> str:
    """The first line of the files that this version of Kea writes."""
    return _COLUMNS[family] + (_SINCE_2_4 if version >= (2, 4) else "")


def add(path: Path, leases: Iterable[Lease], new: Callable[[], str]) -> None:
    """Write leases of one family into the file, only while no Kea runs. One whose address another has meanwhile, or that has
    ended, is passed over. Where there is no file, ``new`` is asked for its ``heading``.

    Kea puts them into their subnets, or throws them away where there is none (``lease-checks`` of its configuration).
    """
    now = time.time()
    there = {lease.address for lease in read(path) if not lease.ended(now)}
    _append(path, [lease for lease in leases if not lease.ended(now) and lease.address not in there], now, new)


def forget(path: Path, unwanted: Sequence[Lease], new: Callable[[], str]) -> None:
    """Write down that leases of one family have ended, only while no Kea runs: as Kea itself does, with a lifetime of zero."""
    _append(path, unwanted, time.time(), new, ended=True)


def _append(path: Path, leases: Sequence[Lease], now: float, new: Callable[[], str], *, ended: bool = False) -> None:
    """What Kea reads at its start."""
    if not leases:
        return
    if not path.exists() or path.stat().st_size == 0:
        path.write_text(f"{new()}\n", encoding="ascii")
    there = path.read_bytes()
    columns = there.partition(b"\n")[0].decode("ascii", "replace").split(",")
    text = io.StringIO("" if there.endswith(b"\n") else "\n")  # a line that was cut off must not take ours with it
    text.seek(0, io.SEEK_END)
    rows = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    for lease in leases:
        rows.writerow(_row(lease, now) | ({"valid_lifetime": 0, "expire": 0} if ended else {}))
    with path.open("a", encoding="ascii") as file:
        file.write(text.getvalue())


def _lease(row: Mapping[str, str]) -> tuple[str, Lease | None] | None:
    """The address of a row, and its lease, or None if that was given back; None for a line that was not written to its end."""
    try:
        address, valid, expire = row["address"], int(row["valid_lifetime"]), int(row["expire"])
        if valid == 0 or row["state"] != _GIVEN:
            return address, None
        expires = 0 if valid == _INFINITE else expire
        if ":" not in address:
            return address, Lease(address, expires, mac=row["hwaddr"].lower())
        duid = row["duid"].lower()
        return address, Lease(address, expires, mac=row["hwaddr"].lower() or mac_of_duid(duid), duid=duid, iaid=int(row["iaid"]))
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def _row(lease: Lease, now: float) -> dict[str, str | int]:
    valid = max(int(lease.expires - now), 1) if lease.expires else _INFINITE
    row: dict[str, str | int] = {"address": lease.address, "valid_lifetime": valid, "subnet_id": 1, "state": _GIVEN}
    row |= {"expire": lease.expires or int(now) + _INFINITE, "fqdn_fwd": 0, "fqdn_rev": 0, "hwaddr": lease.mac or ""}
    row |= {"pool_id": 0}
    if lease.family == 6:
        row |= {"duid": lease.duid or "", "iaid": lease.iaid or 0, "pref_lifetime": valid, "lease_type": 0, "prefix_len": 128}
        row |= {"hwtype": 1, "hwaddr_source": 0} if lease.mac else {}
    return row
