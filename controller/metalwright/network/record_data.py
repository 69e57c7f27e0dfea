# SPDX-License-Identifier: GPL-3.0-or-later
"""What a DNS record may say, type by type, in the form in which it is stored.

Names are absolute, in lower case, without a trailing dot; one of a single label is meant in the record's own domain.
Text is stored as it is; ``quoted`` writes it in the presentation format of RFC 1035 section 5.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from metalwright.errors import Invalid
from metalwright.network import notation

_HOST = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_UNDERSCORED = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_PRINTABLE = r"[^\x00-\x20\x7f-\U0010ffff.*\"\\();@$]{1,63}"
_SERVICE = re.compile(rf"_[a-z0-9-]{{1,62}}\._[a-z0-9-]{{1,62}}(\.{_HOST})*")
_HOSTS = re.compile(rf"(\*|{_HOST})(\.{_HOST})*")
_ALIASES = re.compile(rf"(\*|{_UNDERSCORED})(\.{_UNDERSCORED})*")
_FREE = re.compile(rf"(\*|{_PRINTABLE})(\.{_PRINTABLE})*")
NAMES = {"A": _HOSTS, "AAAA": _HOSTS, "MX": _HOSTS, "CNAME": _ALIASES, "SRV": _SERVICE, "TXT": _FREE}
_RULES = {
    "SRV": "_service._protocol, as in _ldap._tcp (RFC 2782)",
    "CNAME": "labels of letters, digits, hyphens and underscores; the first may be *",
    "TXT": "labels of printable ASCII; the first may be *",
}
_RULE = "labels of letters, digits and hyphens (RFC 1123); the first may be *"
TYPES = tuple(NAMES)
LONGEST_TEXT = 4000


def name(type_: str, value: Any, domain: str) -> str:
    """The name of a record, relative to its domain; ``@`` is the domain itself. One that ends in the domain is absolute.

    Raises ``Invalid``: ``name_invalid``, ``name_outside_domain``, ``alias_of_domain``.
    """
    text = str(value).lower()
    if text.endswith("."):
        text = text[:-1]
        if text != domain and not text.endswith(f".{domain}"):
            message = f"{value} does not lie in the domain {domain}."
            raise Invalid("name_outside_domain", message, "Add it to the domain that it lies in.", name=value, domain=domain)
    text = "@" if text in ("", "@", domain) else text.removesuffix(f".{domain}")
    if text == "@" and type_ == "CNAME":
        message = f"{domain} cannot be an alias: a CNAME stands alone (RFC 1034 section 3.6.2), and a domain has its SOA and NS."
        raise Invalid("alias_of_domain", message, "Use A and AAAA records, or an alias below it.", domain=domain)
    if text == "@" and type_ != "SRV":
        return text
    if not NAMES[type_].fullmatch(text) or len(text) + 1 + len(domain) > 253:
        message = f"{value!r} is no name for a record of type {type_}."
        hint = f"It is made of {_RULES.get(type_, _RULE)}; 253 characters with the domain."
        raise Invalid("name_invalid", message, hint, name=value, type=type_)
    return text


def data(type_: str, value: Any, domain: str) -> str:
    """The data of a record. Raises ``Invalid`` (``record_data_invalid``)."""
    try:
        return _READERS[type_](str(value) if type_ == "TXT" else " ".join(str(value).split()), domain)
    except Invalid as wrong:
        raise _wrong(type_, value, wrong.message) from None
    except ValueError as wrong:
        raise _wrong(type_, value, str(wrong)) from None


def target(type_: str, stored: str) -> str | None:
    """The name that the data of a CNAME, MX or SRV record leads to."""
    return stored.rpartition(" ")[2] if type_ in ("CNAME", "MX", "SRV") else None


def quoted(text: str) -> str:
    """Text as the data of a TXT record in presentation format: strings of at most 255 characters, with escapes."""
    parts = [text[place : place + 255] for place in range(0, len(text), 255)]
    return " ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts)


def _wrong(type_: str, value: Any, why: str) -> Invalid:
    forms = {"MX": "10 mail.example.com", "SRV": "0 5 389 ldap.example.com", "A": "10.0.0.5", "AAAA": "2001:db8::5"}
    hint = f"Write it as {forms[type_]}." if type_ in forms else ""
    return Invalid(
        "record_data_invalid", f"{value!r} is no data of a record of type {type_}: {why}", hint, type=type_, data=value
    )


def _host(text: str, domain: str) -> str:
    """The name of a host that a record leads to. RFC 1123 section 2.1; no address (RFC 1035 section 3.3.9, RFC 2782)."""
    found = notation.domain(text)
    if found is None:
        raise ValueError("a name is missing.")
    return found if "." in found else f"{found}.{domain}"


def _alias(text: str, domain: str) -> str:
    found = text.lower().removesuffix(".")
    if not _ALIASES.fullmatch(found) or "*" in found or found.rpartition(".")[2].isdigit() or len(found) > 253:
        raise ValueError("it is no name.")
    return found if "." in found else f"{found}.{domain}"


def _numbers(text: str, *what: str) -> tuple[list[str], str]:
    """Numbers of 16 bits, and the one word behind them."""
    words = text.split()
    if len(words) != len(what) + 1:
        raise ValueError(f"it consists of {', '.join(what)} and a name.")
    for word, meaning in zip(words, what, strict=False):
        if not re.fullmatch(r"[0-9]{1,5}", word) or int(word) > 0xFFFF:
            raise ValueError(f"the {meaning} is a number from 0 to 65535, not {word}.")
    return [str(int(word)) for word in words[:-1]], words[-1]


def _mx(text: str, domain: str) -> str:
    numbers, host = _numbers(text, "preference")
    return " ".join([*numbers, _host(host, domain)])


def _srv(text: str, domain: str) -> str:
    numbers, host = _numbers(text, "priority", "weight", "port")
    return " ".join([*numbers, _host(host, domain)])


def _text(text: str, _domain: str) -> str:
    if not text or len(text) > LONGEST_TEXT or not re.fullmatch(r"[ -~]+", text):
        raise ValueError(f"it is 1 to {LONGEST_TEXT} characters of printable ASCII.")
    if text.startswith('"') and text.endswith('"'):
        raise ValueError("write the text without quotes, they are added.")
    return text


_READERS: dict[str, Callable[[str, str], str]] = {
    "A": lambda text, _: str(notation.address("data", text, 4)),
    "AAAA": lambda text, _: str(notation.address("data", text, 6)),
    "CNAME": _alias,
    "MX": _mx,
    "SRV": _srv,
    "TXT": _text,
}
