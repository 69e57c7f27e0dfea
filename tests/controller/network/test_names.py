# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: domains one may hold, records that say something, aliases that lead somewhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalwright.errors import Invalid
from metalwright.network import aliases, domains, record_data, reverse

NAMES = st.sampled_from("abcdef")


@given(st.dictionaries(NAMES, NAMES), NAMES)
def test_a_loop_is_found_where_one_comes_back_to_the_start(chain: dict[str, str], start: str) -> None:
    seen = [start]
    while seen[-1] in chain and len(seen) <= len(chain) + 1:
        seen.append(chain[seen[-1]])
    back = seen.index(start, 1) if start in seen[1:] else None
    assert aliases.loop(chain.get, start) == (None if back is None else seen[: back + 1])


@given(st.lists(st.tuples(NAMES, NAMES), max_size=12))
def test_aliases_added_one_by_one_never_make_a_loop(wished: list[tuple[str, str]]) -> None:
    kept: dict[str, str] = {}
    for name, target in wished:
        if aliases.loop({**kept, name: target}.get, name) is None:
            kept[name] = target
    for name in kept:
        chain = [name]
        while chain[-1] in kept:
            chain.append(kept[chain[-1]])
            assert len(chain) <= len(kept) + 1


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("", "domain_not_ownable", "root of the DNS"),
        (".", "domain_not_ownable", "root of the DNS"),
        ("com", "domain_not_ownable", "com is a top-level domain"),
        ("localhost", "domain_not_ownable", "RFC 6761 section 6.3"),
        ("lab.localhost", "domain_not_ownable", "RFC 6761 section 6.3"),
        ("lab.invalid", "domain_not_ownable", "RFC 6761 section 6.4"),
        ("lab.local", "domain_not_ownable", "multicast DNS"),
        ("lab.onion", "domain_not_ownable", "Tor's"),
        ("arpa", "domain_not_ownable", "arpa belongs to the DNS itself"),
        ("e164.arpa", "domain_not_ownable", "arpa belongs to the DNS itself"),
        ("256.in-addr.arpa", "domain_not_ownable", "arpa belongs to the DNS itself"),
        ("10.in-addr.arpa", "reverse_domain", "the reverse zone of 10.0.0.0/8"),
        ("8.b.d.0.1.0.0.2.ip6.arpa", "reverse_domain", "the reverse zone of 2001:db8::/32"),
        ("lab_1.example.com", "domain_invalid", "'lab_1.example.com' is no domain name"),
        ("a" * 64 + ".example.com", "domain_invalid", "no domain name"),
        ("10.0.0.1", "domain_invalid", "no domain name"),
    ],
)
def test_domains_that_nobody_may_own(name: str, code: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        domains.check_name(name, forwarded=False)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["Lab.Example.Com.", "internal", "lan", "home.arpa", "x.home.arpa", "lab.test"])
def test_domains_that_one_may_hold(name: str) -> None:
    assert domains.check_name(name, forwarded=False) == name.lower().removesuffix(".")


@pytest.mark.parametrize("name", ["corp.local", "consul", "10.in-addr.arpa"])
def test_domains_that_one_may_only_ask_for(name: str) -> None:
    assert domains.check_name(name, forwarded=True) == name
    with pytest.raises(Invalid):
        domains.check_name(name, forwarded=False)


def test_reverse_zones() -> None:
    assert str(reverse.network("2.0.192.in-addr.arpa")) == "192.0.2.0/24"
    assert reverse.network("example.com") is None
    assert reverse.network("ab.8.b.d.0.1.0.0.2.ip6.arpa") is None


@pytest.mark.parametrize(
    ("kind", "given", "stored"),
    [
        ("A", "10.0.0.5", "10.0.0.5"),
        ("AAAA", "2001:DB8:0:0::5", "2001:db8::5"),
        ("CNAME", "Web", "web.lab.example"),
        ("CNAME", "_dmarc.example.com.", "_dmarc.example.com"),
        ("MX", " 010  mail ", "10 mail.lab.example"),
        ("SRV", "0 5 389 ldap.example.com.", "0 5 389 ldap.example.com"),
        ("TXT", "v=spf1  a -all", "v=spf1  a -all"),
    ],
)
def test_data_in_its_normal_form(kind: str, given: str, stored: str) -> None:
    assert record_data.data(kind, given, "lab.example") == stored


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("A", "2001:db8::5", "no IPv4 address"),
        ("A", "10.0.0.256", "no IPv4 address"),
        ("AAAA", "10.0.0.5", "no IPv6 address"),
        ("CNAME", "10.0.0.5", "no name"),
        ("CNAME", "*.example.com", "no name"),
        ("CNAME", "", "no name"),
        ("MX", "mail.example.com", "consists of preference and a name"),
        ("MX", "65536 mail.example.com", "preference is a number from 0 to 65535, not 65536"),
        ("MX", "10 10.0.0.5", "no domain name"),
        ("MX", "10 _mail.example.com", "no domain name"),
        ("SRV", "0 5 ldap.example.com", "consists of priority, weight, port and a name"),
        ("SRV", "0 5 -1 ldap.example.com", "port is a number"),
        ("TXT", '"quoted"', "without quotes"),
        ("TXT", "two\nlines", "printable ASCII"),
        ("TXT", "", "printable ASCII"),
    ],
)
def test_data_that_says_nothing(kind: str, given: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        record_data.data(kind, given, "lab.example")
    assert caught.value.code == "record_data_invalid"


@pytest.mark.parametrize(
    ("kind", "given", "stored"),
    [
        ("A", "@", "@"),
        ("A", "", "@"),
        ("MX", "lab.example.", "@"),
        ("A", "WWW", "www"),
        ("A", "www.lab.example", "www"),
        ("A", "*.dev", "*.dev"),
        ("CNAME", "sel._domainkey", "sel._domainkey"),
        ("SRV", "_ldap._tcp.dc", "_ldap._tcp.dc"),
        ("TXT", "a+b/c=", "a+b/c="),
    ],
)
def test_names_in_their_normal_form(kind: str, given: Any, stored: str) -> None:
    assert record_data.name(kind, given, "lab.example") == stored


@pytest.mark.parametrize(
    ("kind", "given", "code"),
    [
        ("A", "a_b", "name_invalid"),
        ("A", "-a", "name_invalid"),
        ("A", "a.*", "name_invalid"),
        ("A", "a" * 64, "name_invalid"),
        ("A", ".".join(["a" * 60] * 4), "name_invalid"),
        ("SRV", "ldap", "name_invalid"),
        ("SRV", "@", "name_invalid"),
        ("TXT", "a b", "name_invalid"),
        ("A", "www.example.com.", "name_outside_domain"),
        ("CNAME", "@", "alias_of_domain"),
    ],
)
def test_names_that_are_none(kind: str, given: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        record_data.name(kind, given, "lab.example")
    assert caught.value.code == code
