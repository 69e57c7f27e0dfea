# SPDX-License-Identifier: GPL-3.0-or-later
"""What DHCP servers hand over of clients, and clients put in it: log lines, lease files, names, packets on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from amounts import CASES, cases
from hypothesis import given
from hypothesis import strategies as st
from node_world import ADDRESS, MAC
from scenes import Stage

from metalwright.network.engines import dnsmasq_leases, dnsmasq_log, kea_leases, kea_log
from metalwright.network.engines.leases import LeaseChanges
from metalwright.network.engines.seen import DhcpSeen
from metalwright.serve import foreign_dhcp
from metalwright.serve.dhcp import _sighting
from metalwright.serve.lease_following import write_down
from metalwright.serve.sightings import Sightings

TARGET = "DHCP"
VICTIM = "DHCPACK(br0) 10.77.0.10 52:54:00:77:00:01"
"""What a stranger says of itself, so that something is believed of another."""
said = st.text(st.characters(exclude_characters="\n"), max_size=40) | st.sampled_from(
    [
        VICTIM,
        f"x {VICTIM} web",
        f"dnsmasq-dhcp: 7 {VICTIM}",
        '"',
        '"x',
        "\x0b",
        "\x85",
        "\r",
        "a&#x2cb",
        ",",
        "",
        "\x1b[2J",
        "[hwtype=1",
    ]
)
DNSMASQ = (
    "dnsmasq-dhcp: 123 vendor class: {0}",
    "dnsmasq-dhcp: 123 client provides name: {0}",
    "dnsmasq-dhcp: 123 user class: {0}",
    "dnsmasq-dhcp[7]: 123 DHCPACK(br0) 10.77.0.99 52:54:00:99:00:01 {0}",
    "dnsmasq-dhcp: 123 DHCPDISCOVER(br0) 52:54:00:99:00:01 {0}",
    "dnsmasq-dhcp: not giving name {0} to the DHCP lease of 10.77.0.99 because the name exists",
    "{0}",
)
KEA = (
    "INFO  DHCP4_LEASE_ALLOC [hwtype=1 52:54:00:99:00:01], cid=[no info], tid=0x1: lease 10.77.0.99 has been allocated {0}",
    "WARN  DHCP4_PACKET_NAK_0004 [hwtype=1 52:54:00:99:00:01], cid=[{0}], tid=0x1: invalid address",
    "INFO  DHCP4_CLIENT_NAME_PROC_FAIL [hwtype=1 52:54:00:99:00:01]: failed to process the fqdn or hostname {0}",
    "ERROR {0}",
    "{0}",
)


@cases(few=100, many=50_000)
@given(line=st.sampled_from(DNSMASQ), words=said)
def test_what_a_client_calls_itself_is_never_told_of_another_by_dnsmasq(line: str, words: str) -> None:
    CASES[f"{TARGET} log"] += 1
    heard = dnsmasq_log.hear(line.format(words))
    for seen in () if heard is None or isinstance(heard, str) else heard:
        assert seen.mac == "52:54:00:99:00:01" or line == "{0}"


@cases(few=100, many=50_000)
@given(line=st.sampled_from(KEA), words=said)
def test_what_a_client_calls_itself_is_never_told_of_another_by_kea(line: str, words: str) -> None:
    CASES[f"{TARGET} log"] += 1
    heard = kea_log.Listener("br0").hear(line.format(words))
    for seen in () if heard is None or isinstance(heard, str) else heard:
        assert seen.mac == "52:54:00:99:00:01" or not line.startswith(("INFO", "WARN"))


KEA_HEAD = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context"


@cases(few=100, many=20_000)
@given(names=st.lists(said.map(lambda name: name.replace(",", "&#x2c")), max_size=4), tail=st.binary(max_size=100))
def test_no_name_hides_the_lease_of_another(tmp_path_factory: pytest.TempPathFactory, names: list[str], tail: bytes) -> None:
    CASES[f"{TARGET} leases"] += 1
    path = tmp_path_factory.getbasetemp() / "leases4.csv"
    rows = [f"10.77.0.{number},{MAC},,3600,2000000000,1,0,0,{name},0," for number, name in enumerate([*names, "last"], start=100)]
    path.write_text("\n".join([KEA_HEAD, *rows, ""]), errors="replace")
    with path.open("ab") as file:
        file.write(tail)
    found = {lease.address for lease in kea_leases.read(path)}
    assert {f"10.77.0.{number}" for number in range(100, 101 + len(names))} <= found | removed_by(tail)


def removed_by(tail: bytes) -> set[str]:
    """Leases of which what comes last says something else."""
    return {line.split(",")[0] for line in tail.decode("ascii", "replace").split("\n")}


@cases(few=100, many=20_000)
@given(content=st.binary(max_size=200) | st.lists(st.lists(said, min_size=5, max_size=5).map(" ".join)).map("\n".join))
def test_any_lease_file_is_read(tmp_path_factory: pytest.TempPathFactory, content: bytes | str) -> None:
    CASES[f"{TARGET} leases"] += 1
    path = tmp_path_factory.getbasetemp() / "dnsmasq.leases"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    for lease in (*dnsmasq_leases.read(path), *kea_leases.read(path)):
        assert lease.address or lease.family == 4


frames = st.builds(
    lambda head, middle, kind, options: head + b"\x08\0" + b"\x45" + middle + kind + bytes(235) + b"\x63\x82\x53\x63" + options,
    st.binary(min_size=12, max_size=12),
    st.binary(min_size=27, max_size=27),
    st.sampled_from([b"\2", b"\1"]),
    st.lists(
        st.sampled_from([b"\x35\1\2", b"\x35\1\5", b"\x35\0", b"\x36\4\x0a\0\0\1", b"\x36\xff", b"\0", b"\xff", b"\x36\3\1\1\1"])
        | st.binary(max_size=6)
    ).map(b"".join),
)


@cases(few=100, many=50_000)
@given(packet=frames | st.binary(max_size=400))
def test_any_packet_is_a_foreign_server_or_nothing(packet: bytes) -> None:
    CASES[f"{TARGET} packets"] += 1
    found = foreign_dhcp.read(packet)
    assert found is None or (found.server and found.mac)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, secret_key: Path) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("dhcp-stage"))
    yield made
    made.close()


seen = st.builds(
    DhcpSeen,
    kind=st.sampled_from(["discover", "offer", "request", "ack", "nak", "solicit"]),
    interface=st.sampled_from(["br0"]) | said,
    mac=st.none() | st.sampled_from([MAC, MAC.upper(), "52:54:00:99:00:01"]) | said,
    address=st.none() | st.sampled_from([ADDRESS, "10.77.0.99", "fd00:77::1"]) | said,
    note=said,
)


@cases(few=15, many=5000)
@given(told=st.lists(seen, max_size=20))
def test_whatever_is_seen_of_a_machine_is_few_events(stage: Stage, told: list[DhcpSeen]) -> None:
    CASES[f"{TARGET} sightings"] += len(told)
    stage.at("booting")
    before = len(stage.world.events())
    sightings = Sightings(stage.world.store, stage.clock, neighbours=Path("/nonexistent"))
    for one in told * 3:
        sightings.record(_sighting(one), stage.clock())
    assert len(stage.world.events()) - before <= len({one.kind for one in told})


@cases(few=15, many=5000)
@given(lines=st.lists(st.tuples(st.integers(0, 2**33), said, st.sampled_from(["10.77.0.99", "fd00:77::9", "x"]), said, said)))
def test_whatever_a_lease_file_says_can_be_written_down(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[int, str, str, str, str]]
) -> None:
    CASES[f"{TARGET} leases"] += 1
    stage.at("booting")
    path = tmp_path_factory.getbasetemp() / "written.leases"
    path.write_text("\n".join(" ".join(str(word) for word in line) for line in lines), errors="replace")
    now = datetime.now(UTC)
    write_down(stage.world.store, LeaseChanges(tuple(dnsmasq_leases.read(path)), complete=True), lambda: now)
    assert stage.admin.get("/api/v1/addresses").status_code == 200
