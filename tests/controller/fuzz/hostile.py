# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine with bad firmware, or a bad mind, puts in the place of what is expected."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

SURROGATES = st.text(st.characters(), max_size=30) | st.text(st.sampled_from("\0\ud800\udfff\x1b\u202e\n"), max_size=6)
NESTED: list[Any] = []
for _ in range(60):
    NESTED = [NESTED]

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 1 << 31, 1 << 63, 1 << 64, -(1 << 70), 10**4000]),
    st.floats(allow_nan=False, allow_infinity=False),
    SURROGATES,
    st.sampled_from(["", "\0", "x" * 70_000, "../../etc/passwd", "{{7*7}}", "$(reboot)", "'; DROP TABLE machine; --", "%s%n"]),
    st.just(NESTED),
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SURROGATES, inner, max_size=4), max_leaves=8
)
"""Any JSON, and what only an escape can bring into JSON."""

bodies = st.one_of(
    st.binary(max_size=300),
    st.sampled_from(
        [b"", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5000, b"NaN", b'{"now": 1e999}', b"\xef\xbb\xbf{}", b"\xff"]
    ),
)
"""Bytes that are no JSON, or hardly."""


@st.composite
def spoiled(draw: st.DrawFn, message: Any) -> Any:
    """A good message in which up to three things are wrong."""
    spoilt = copy.deepcopy(message)
    for _ in range(draw(st.integers(0, 3))):
        spoilt = _spoil(draw, spoilt)
    return spoilt


def _spoil(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        name = draw(st.sampled_from(sorted(value)))
        match draw(st.sampled_from(["inside", "inside", "inside", "gone", "more"])):
            case "gone":
                return {key: inner for key, inner in value.items() if key != name}
            case "more":
                return {**value, draw(SURROGATES): draw(values)}
        return {**value, name: _spoil(draw, value[name])}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        at = draw(st.integers(0, len(value) - 1))
        if draw(st.booleans()):
            return [*value, *[value[at]] * draw(st.sampled_from([1, 2, 1030]))]
        return [*value[:at], _spoil(draw, value[at]), *value[at + 1 :]]
    return draw(values)


def as_bytes(message: Any) -> bytes:
    """JSON; half a surrogate pair as an escape, which is how it comes over the wire."""
    return json.dumps(message, ensure_ascii=True).encode()
