# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders BIND's ``named.conf`` (9.18) and the zone files that a zone begins with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from metalwright.network.engines.bind_zones import NEGATIVE_TTL, SERVER
from metalwright.network.engines.own_addresses import Interfaces
from metalwright.network.model import NetworkState

KEY = "metalwright"
_NOBODY = "127.0.0.1 port 1"
"""Where nothing answers: without forwarders BIND would ask the world, and some domains are asked elsewhere all the same."""


def text(state: NetworkState, zones: Iterable[str], ours: Interfaces, secondaries: Sequence[str], directory: Path) -> str:
    """All but the content of zones. ``ours`` are the addresses it listens on."""
    body = "\n".join(
        [
            f'include "{directory / "update.key"}";',
            *_logging(directory),
            "options {",
            *(f"    {line};" for line in _options(state, ours, secondaries, directory)),
            '    server-id "@";',
            "};",
            "controls {};",
            *(_zone(zone) for zone in zones),
            *(
                f'zone "{domain.name}" {{ type forward; forward only; forwarders {_list(map(_server, domain.forward_to))}; }};'
                for domain in state.domains
                if domain.forward_to
            ),
        ]
    )
    marked = body.replace('server-id "@"', f'server-id "{_mark(body)}"', 1)
    return f"// Written by Metalwright: changes are overwritten.\n{marked}\n"


def mark(rendered: str) -> str:
    """What a server that runs with this configuration answers to ``id.server`` (RFC 4892): how one knows that it does."""
    return rendered.partition('server-id "')[2].partition('"')[0]


def zone_file(zone: str, records: Iterable[str], serial: int, default_domain: str) -> str:
    """A zone as it is first loaded; from then on it changes by updates, and the file is BIND's."""
    soa = f"{zone}. 300 SOA {SERVER}.{default_domain}. hostmaster.{default_domain}. {serial} 3600 600 1209600 {NEGATIVE_TTL}"
    return "\n".join([soa, *sorted(records)]) + "\n"


def name_server(zone: str, default_domain: str) -> str:
    """The record without which there is no zone."""
    return f"{zone}. {NEGATIVE_TTL} NS {SERVER}.{default_domain}."


def _mark(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _logging(directory: Path) -> list[str]:
    return [
        "logging {",
        "    channel out { stderr; severity info; print-severity yes; print-category yes; };",
        f'    channel words {{ file "{directory / "words"}" versions 1 size 100k; severity error; }};',
        "    category default { out; words; };",
        "    category update { null; };",  # a line for each record, and for each update below
        "    category update-security { words; };",
        "    category lame-servers { null; };",
        "};",
    ]


def _options(state: NetworkState, ours: Interfaces, secondaries: Sequence[str], directory: Path) -> list[str]:
    resolver = state.resolver
    subnets = [network.cidr for network in state.networks]
    forwarded = [domain for domain in state.domains if domain.forward_to]
    asks = bool(resolver.forwarders or forwarded)
    recurse = _list(["localhost", *(resolver.recurse_from or subnets)]) if asks else "{ none; }"
    lines = [
        f'directory "{directory}"',
        f'pid-file "{directory / "named.pid"}"',
        "lock-file none",
        "session-keyfile none",
        f"listen-on {_list(str(each.ip) for each in ours if each.version == 4)}",
        f"listen-on-v6 {_list(str(each.ip) for each in ours if each.version == 6)}",
        f"allow-query {_list(['localhost', *(resolver.query_from or subnets), *secondaries])}",
        f"recursion {'yes' if asks else 'no'}",
        f"allow-recursion {recurse}",
        f"allow-transfer {_list(secondaries)}",
        f"notify {'explicit' if secondaries else 'no'}",
        *([f"also-notify {_list(secondaries)}"] if secondaries else []),
        "serial-update-method unixtime",
        "dnssec-validation no",  # what forwarders answer is theirs to validate; a site's own domains are seldom signed
        "empty-zones-enable no",  # private reverse zones are the site's: they are asked where everything else is
        "check-names primary ignore",
        "minimal-responses yes",
        "max-cache-size 128m",
        "version none",
    ]
    if asks:
        lines += ["forward only", f"forwarders {_list(map(_server, resolver.forwarders or (_NOBODY,)))}"]
    return lines


def _zone(zone: str) -> str:
    return f'zone "{zone}" {{ type primary; file "zones/{zone}.db"; allow-update {{ key {KEY}; }}; }};'


def _server(address: str) -> str:
    """A forwarder may be written with its port behind a ``#``."""
    host, _, port = address.partition("#")
    return f"{host} port {port}" if port else host


def _list(items: Iterable[str]) -> str:
    return "{ " + "".join(f"{item}; " for item in dict.fromkeys(items)) + "}" if (items := list(items)) else "{ none; }"
