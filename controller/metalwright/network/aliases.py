# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of CNAME records."""

from __future__ import annotations

from collections.abc import Mapping


def loop(aliases: Mapping[str, str], start: str) -> list[str] | None:
    """The chain that leads from a name back to it: ``[start, ..., start]``; None if it ends, or turns elsewhere.

    ``aliases`` are absolute names: each has one target (RFC 1034 section 3.6.2).
    """
    chain = [start]
    seen = {start}
    while (target := aliases.get(chain[-1])) is not None:
        chain.append(target)
        if target == start:
            return chain
        if target in seen:
            return None
        seen.add(target)
    return None
