# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of CNAME records."""

from __future__ import annotations

from collections.abc import Callable


def loop(target_of: Callable[[str], str | None], start: str) -> list[str] | None:
    """The chain that leads from a name back to it: ``[start, ..., start]``; None if it ends, or turns elsewhere.

    Names are absolute; each has one target (RFC 1034 section 3.6.2), or none.
    """
    chain = [start]
    seen = {start}
    while (target := target_of(chain[-1])) is not None:
        chain.append(target)
        if target == start:
            return chain
        if target in seen:
            return None
        seen.add(target)
    return None
