# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP options by number or name, with values of their type, and those that follow from something else."""

from __future__ import annotations

from typing import Any

import pytest

from metalwright.errors import Invalid
from metalwright.network import options
from metalwright.network.option_numbers import DECIDED, REGISTERED
from metalwright.network.options import Family


@pytest.mark.parametrize(
    ("family", "named", "value", "stored"),
    [
        (4, 7, "10.0.0.4, 10.0.0.5", "10.0.0.4,10.0.0.5"),
        (4, "log-servers", ["10.0.0.4"], "10.0.0.4"),
        (4, "Root-Path", "10.0.0.1:/srv/root", "10.0.0.1:/srv/root"),
        (4, "2", -3600, "-3600"),
        (4, "ip-forwarding", True, "true"),
        (4, "ip-forwarding", "0", "false"),
        (4, "static-routes", ["10.1.0.0", "10.0.0.1"], "10.1.0.0,10.0.0.1"),
        (4, 121, "10.1.0.0/16 10.0.0.1, 0.0.0.0/0 10.0.0.254", "10.1.0.0/16 10.0.0.1,0.0.0.0/0 10.0.0.254"),
        (4, 25, [68, "296"], "68,296"),
        (4, 43, "0x01:04-00 FF", "01:04:00:ff"),
        (4, 230, "0102", "01:02"),
        (6, 21, "Sip.Example.Com.", "sip.example.com"),
        (6, "sol-max-rt", 3600, "3600"),
        (6, 22, "2001:DB8::5", "2001:db8::5"),
    ],
)
def test_values_in_their_normal_form(family: Family, named: str | int, value: Any, stored: str) -> None:
    assert options.canonical(options.find(family, named), value) == stored


@pytest.mark.parametrize(
    ("family", "named", "value", "words"),
    [
        (4, 7, "2001:db8::1", r"DHCPv4 option 7 \(log-servers\) takes IPv4 addresses, not '2001:db8::1'"),
        (4, 7, "", "takes IPv4 addresses"),
        (4, 7, [], "at least one value"),
        (4, 7, ["10.0.0.1"] * 64, "at most 255 bytes; this is 256"),
        (4, 16, "10.0.0.1,10.0.0.2", "takes one value"),
        (4, 21, "10.0.0.1", "an even number of addresses"),
        (4, 23, 256, "whole numbers from 0 to 255"),
        (4, 23, "1.5", "whole numbers"),
        (4, 19, "perhaps", "true or false"),
        (4, 17, 'a"b', "printable ASCII"),
        (4, 17, "a\nb", "printable ASCII"),
        (4, 121, "10.1.0.1/16 10.0.0.1", "routes such as"),
        (4, 121, "10.1.0.0/16", "routes such as"),
        (4, 230, "xyz", "bytes in hexadecimal"),
        (6, 29, "a_b", "domain names"),
    ],
)
def test_values_that_do_not_fit(family: Family, named: str | int, value: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        options.canonical(options.find(family, named), value)
    assert caught.value.code == "option_value_invalid"


@pytest.mark.parametrize(
    ("family", "named", "code", "words"),
    [
        (4, 3, "option_decided", "field gateway"),
        (4, "domain-name-servers", "option_decided", "field dns_servers"),
        (4, 15, "option_decided", "field domain"),
        (4, 1, "option_decided", "cidr"),
        (4, 26, "option_decided", "VLAN"),
        (4, 51, "option_decided", "lease_seconds"),
        (4, 67, "option_decided", "network-boot"),
        (4, 82, "option_decided", "protocol"),
        (6, 23, "option_decided", "field dns_servers"),
        (6, 59, "option_decided", "network-boot"),
        (4, 0, "option_unknown", "1 to 254"),
        (4, 255, "option_unknown", "1 to 254"),
        (4, "colour", "option_unknown", "dhcp-options.md"),
        (6, 65536, "option_unknown", "1 to 65535"),
    ],
)
def test_options_that_are_not_set_by_hand(family: Family, named: str | int, code: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        options.find(family, named)
    assert caught.value.code == code
    assert words in caught.value.hint


def test_every_option_is_known_by_one_name() -> None:
    for family, known in REGISTERED.items():
        assert not {*known} & {*DECIDED[family]}
        names = [name for name, _ in known.values()] + [name for name, _ in DECIDED[family].values() if name]
        assert len(names) == len({*names})
