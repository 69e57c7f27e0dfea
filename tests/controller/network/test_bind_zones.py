# SPDX-License-Identifier: GPL-3.0-or-later
"""Which zones are ours, and what is in them."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from metalwright.network.engines.bind_zones import desired, reverse
from metalwright.network.model import Domain, Host, Network, NetworkState, Record, RecordType, Resolver

OURS = [ip_interface("10.99.0.1/24")]
LAB = Network("sub1", "lab", "10.99.0.0/24", domain="lab.example")


def zones(
    *hosts: Host, domains: tuple[Domain, ...] = (), networks: tuple[Network, ...] = (LAB,), ttl: int = 300
) -> dict[str, list[str]]:
    """Without name servers and our own address."""
    state = NetworkState(networks, hosts, domains, "metal.example", Resolver(ttl=ttl))
    found = desired(state, OURS)
    return {zone: sorted(line for line in lines if "metalwright-dns" not in line) for zone, lines in found.items()}


def record(name: str, type_: RecordType, data: str, ttl: int | None = None) -> Record:
    return Record(name, type_, data, ttl)


@pytest.mark.parametrize(
    ("cidr", "expected"),
    [
        ("10.99.0.0/24", ["0.99.10.in-addr.arpa"]),
        ("10.99.0.64/26", ["0.99.10.in-addr.arpa"]),
        ("10.99.4.0/23", ["4.99.10.in-addr.arpa", "5.99.10.in-addr.arpa"]),
        ("10.0.0.0/8", ["10.in-addr.arpa"]),
        ("2001:db8:99::/64", ["0.0.0.0.9.9.0.0.8.b.d.0.1.0.0.2.ip6.arpa"]),
        ("2001:db8::/31", ["8.b.d.0.1.0.0.2.ip6.arpa", "9.b.d.0.1.0.0.2.ip6.arpa"]),
    ],
)
def test_reverse_zones_end_at_labels(cidr: str, expected: list[str]) -> None:
    assert reverse(cidr) == expected


def test_every_zone_has_this_server() -> None:
    found = desired(NetworkState((LAB,), default_domain="metal.example"), OURS)
    assert found == {
        "0.99.10.in-addr.arpa": {"0.99.10.in-addr.arpa. 300 NS metalwright-dns.metal.example."},
        "lab.example": {"lab.example. 300 NS metalwright-dns.metal.example."},
        "metal.example": {
            "metal.example. 300 NS metalwright-dns.metal.example.",
            "metalwright-dns.metal.example. 300 A 10.99.0.1",
        },
    }


def test_names_of_hosts_and_of_addresses() -> None:
    found = zones(
        Host("m1", "52:54:00:00:00:0a", "10.99.0.10", "sub1", "web1", "lab.example"),
        Host("m1", None, "10.99.0.11", "sub1"),
        Host("m2", None, "192.0.2.7", None, "far"),
        Host("m2", None, "2001:db8::7", None, "far"),
    )
    assert found == {
        "0.99.10.in-addr.arpa": ["10.0.99.10.in-addr.arpa. 300 PTR web1.lab.example."],
        "lab.example": ["web1.lab.example. 300 A 10.99.0.10"],
        "metal.example": ["far.metal.example. 300 A 192.0.2.7", "far.metal.example. 300 AAAA 2001:db8::7"],
    }


def test_an_address_is_called_by_its_first_name() -> None:
    domain = Domain("lab.example", records=(record("www", "A", "10.99.0.10"), record("*.apps", "A", "10.99.0.12")))
    found = zones(Host("m1", None, "10.99.0.10", "sub1", "web1", "lab.example"), domains=(domain,))
    assert found["0.99.10.in-addr.arpa"] == ["10.0.99.10.in-addr.arpa. 300 PTR web1.lab.example."]
    assert "*.apps.lab.example. 300 A 10.99.0.12" in found["lab.example"]


def test_records_of_every_type() -> None:
    domain = Domain(
        "lab.example",
        ttl=60,
        records=(
            record("@", "MX", "10 mail.example.com"),
            record("@", "TXT", '"v=spf1 -all"', 3600),
            record("www", "CNAME", "web1.lab.example"),
            record("_sip._udp", "SRV", "0 5 5060 sip.lab.example"),
            record("@", "MX", "0 ."),
        ),
    )
    assert zones(domains=(domain,))["lab.example"] == [
        "_sip._udp.lab.example. 60 SRV 0 5 5060 sip.lab.example.",
        'lab.example. 3600 TXT "v=spf1 -all"',
        "lab.example. 60 MX 0 .",
        "lab.example. 60 MX 10 mail.example.com.",
        "www.lab.example. 60 CNAME web1.lab.example.",
    ]


def test_records_of_one_name_and_type_have_one_time_to_live() -> None:
    domain = Domain("lab.example", records=(record("www", "A", "10.99.0.10", 600), record("www", "A", "10.99.0.11", 30)))
    assert zones(domains=(domain,))["lab.example"] == ["www.lab.example. 30 A 10.99.0.10", "www.lab.example. 30 A 10.99.0.11"]


def test_a_name_is_in_the_innermost_zone() -> None:
    found = zones(domains=(Domain("lab.example", records=(record("a.deep", "A", "192.0.2.1"),)), Domain("deep.lab.example")))
    assert (found["lab.example"], found["deep.lab.example"]) == ([], ["a.deep.lab.example. 300 A 192.0.2.1"])


def test_what_is_asked_elsewhere_is_not_ours() -> None:
    forwarded = (Domain("corp.lab.example", ("192.0.2.53",)), Domain("99.10.in-addr.arpa", ("192.0.2.53",)))
    host = Host("m1", None, "10.99.0.10", "sub1", "web1", "lab.example")
    inside = Host("m2", None, "10.99.0.11", "sub1", "far", "corp.lab.example")
    found = desired(NetworkState((LAB,), (host, inside), forwarded, "metal.example"), OURS)
    assert sorted(found) == ["lab.example", "metal.example"]
    assert found["lab.example"] == {
        "corp.lab.example. 30 NS metalwright-dns.metal.example.",
        "lab.example. 300 NS metalwright-dns.metal.example.",
        "web1.lab.example. 300 A 10.99.0.10",
    }
