# SPDX-License-Identifier: GPL-3.0-or-later
"""Any text as user-data: a clean verdict; and what is accepted makes a seed, however odd it is."""

from __future__ import annotations

from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from types import SimpleNamespace
from typing import Any

from amounts import CASES, cases
from hypothesis import given
from hypothesis import strategies as st

from metalwright.config import Settings
from metalwright.errors import Invalid
from metalwright.lifecycle import userdata
from metalwright.node import seed
from metalwright.store.models import Operation

TARGET = "user-data"
FIRST = st.sampled_from(
    [
        *("#cloud-config", "#cloud-config-archive", "#!/bin/sh", "#!", "#include", "#include-once", "## template: jinja", ""),
        *("#cloud-boothook", "#part-handler", "#cloud-config-jsonp", "Content-Type: multipart/mixed", "MIME-Version: 1.0"),
        *("#Cloud-Config", "\ufeff#cloud-config", "#cloud-config\r", "\n\n#cloud-config", "## template: jinja\n#cloud-config"),
    ]
)
SCRAPS = st.sampled_from(
    [
        *("packages: [htop]", "a: &a [*a]", "<<: *a", "&x {a: 1}", "? [1]", ": ", "- x", "2026-99-99", "1:60:99", "!!python/x y"),
        *(
            "{{ a",
            "{% for %}",
            "{% if x %}",
            "{{ 1 }}",
            "{#",
            "0x_",
            "0b",
            "1e999",
            "!!binary x",
            "!!timestamp 2026",
            "!!bool x",
            "!!int ''",
            "!!float x",
        ),
        *('boundary="="', "--=", "Content-Type: text/cloud-config; charset=none", "Content-Type: ;;;", "%YAML 9.9", "---", "..."),
        *("[" * 2000, "{" * 2000, "(" * 3000, "{{ " + "(" * 3000, "{{ " + "9" * 5000 + " }}", "9" * 5000, "x: " * 60, "\t", "\0"),
        *(
            "!!int " + "9" * 5000,
            "!!set {a, a}",
            "!!omap [a]",
            "!!pairs [x]",
            "=",
            "!<tag> x",
            "*x",
            "{% raw %}",
            "{{ 'a' * 9**9 }}",
        ),
        *(
            "Content-Transfer-Encoding: base64",
            "Content-Disposition: attachment; filename*=x''%",
            "To: <",
            "Date: ",
            "@",
            '"\\x"',
        ),
    ]
)
ANYTHING = st.text(st.characters(), max_size=80)
written = st.builds(
    lambda first, lines, between: between.join([first, *lines]),
    FIRST,
    st.lists(SCRAPS | ANYTHING, max_size=6),
    st.sampled_from(["\n", "\n", "\n  ", "\r\n", " ", ""]),
)


@st.composite
def mime(draw: st.DrawFn) -> str:
    """A multipart message in which something is wrong, or not."""
    whole = MIMEMultipart(boundary="=")
    for _ in range(draw(st.integers(0, 3))):
        part = MIMEText(
            draw(st.text(st.characters(codec="utf-8"), max_size=40)), draw(st.sampled_from(["cloud-config", "plain"]))
        )
        whole.attach(part)
    text = whole.as_string()
    for _ in range(draw(st.integers(0, 3))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 6))
        text = text[:at] + draw(SCRAPS | ANYTHING) + text[at + length :]
    return text


def accepted(text: str) -> bool:
    """Whether it is; anything but a refusal that says why is a fault."""
    try:
        userdata.check(text)
    except Invalid as error:
        assert error.code.startswith("user_data_not_") and error.message
        return False
    return True


@cases(few=250, many=100_000)
@given(text=written | mime() | ANYTHING | st.binary(max_size=80).map(lambda raw: raw.decode("utf-8", "replace")))
def test_any_text_is_accepted_or_refused_with_a_reason(text: str) -> None:
    CASES[TARGET] += 1
    if not accepted(text):
        return
    plane: Any = SimpleNamespace(settings=Settings())
    session: Any = None
    operation = Operation(kind="deploy", parameters={"user_data": text, "packages": ["htop"]})
    assert seed.user_data(plane, session, operation) == text or not text
    ours = seed.vendor_data(plane, session, operation)
    assert ours == ("" if "packages" in userdata.names(text) else "#cloud-config\npackages:\n- htop\n")
