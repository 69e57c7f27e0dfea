# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever ranges somebody thinks of: accepted are those that lie in the subnet and of which no two share an address."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from metalwright.errors import Invalid
from metalwright.network import notation, ranges, reverse

NETWORKS = st.sampled_from(["10.0.0.0/28", "10.0.0.16/29", "2001:db8::10/124"]).map(ip_network)
OFFSETS = st.integers(-3, 19)
RANGES = st.lists(st.tuples(st.sampled_from(ranges.KINDS), OFFSETS, OFFSETS), max_size=4)


@given(NETWORKS, RANGES, st.none() | OFFSETS)
def test_accepted_are_exactly_those_without_a_clash(
    network: notation.Network, wished: list[tuple[ranges.Kind, int, int]], offset: int | None
) -> None:
    base = int(network.network_address)
    hosts = {int(address) for address in network.hosts()}
    spans = [(kind, range(base + start, base + end + 1)) for kind, start, end in wished]
    sensible = all(span and hosts.issuperset(span) for _, span in spans)
    sensible = sensible and len({number for _, span in spans for number in span}) == sum(len(span) for _, span in spans)
    gateway = None if offset is None else type(network.network_address)(base + offset)
    sensible = sensible and not any(gateway is not None and int(gateway) in span for kind, span in spans if kind != "reserved")
    address = type(network.network_address)
    try:
        found = [ranges.parse(kind, str(address(base + start)), str(address(base + end)), network) for kind, start, end in wished]
        ranges.check(found, gateway, [])
    except Invalid as error:
        assert error.code in ("range_backwards", "range_outside_subnet", "ranges_overlap", "gateway_in_range")
        assert not sensible
    else:
        assert sensible
        for each, (_, span) in zip(found, spans, strict=True):
            assert [number in span for number in range(base, base + 16)] == [address(base + n) in each for n in range(16)]


@given(st.integers(8, 30), st.integers(0, 2**32 - 1))
def test_the_reverse_zones_of_a_subnet_are_its_own(prefix: int, number: int) -> None:
    network = ip_network((number, prefix), strict=False)
    labels = ip_address(int(network.network_address)).reverse_pointer.split(".")
    for bytes_ in (1, 2, 3, 4):
        zone = reverse.network(".".join(labels[4 - bytes_ :]))
        assert zone is not None
        assert zone.prefixlen == 8 * bytes_
        larger = zone.prefixlen < prefix and not (bytes_ == 3 and prefix > 24)
        assert reverse.ours(network, zone) is not larger
