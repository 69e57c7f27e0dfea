# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the zones of a running BIND by dynamic updates (RFC 2136), signed with TSIG (RFC 8945), and asks what it serves."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update

from metalwright.errors import Unavailable
from metalwright.network.engines.bind_config import KEY

_BATCH = 500
"""Records in one update: a message has 65,535 bytes at most, and a record seldom more than a hundred."""
_PATIENCE = 10.0
_LOADS_WITHIN = 5.0
_PAUSE = 0.02


class Server:
    """The server at one of our addresses, and the key it knows us by, which is made when there is none."""

    def __init__(self, address: str, key_file: Path) -> None:
        self._address = address
        self._key_file = key_file

    def update(self, zone: str, gone: Collection[str], new: Collection[str]) -> None:
        """Take records out of a zone and put others in; what is so already stays so.

        New name servers come before everything else, for a zone is never without one, and what goes before what comes: a record
        whose time to live changes does both.

        Raises ``Unavailable`` (``dns_update_refused``, ``engine_unreachable``); part of the change may have been made.
        """
        first = sorted(line for line in new if line.split(" ", 3)[2] == "NS")
        changes = [(line, True) for line in first] + [(line, False) for line in sorted(gone)]
        changes += [(line, True) for line in sorted(new)]
        for start in range(0, len(changes), _BATCH):
            self._send(zone, changes[start : start + _BATCH])

    def _serial(self, zone: str) -> int | None:
        """The serial of a zone; None if the server does not have it."""
        answer = self._ask(dns.message.make_query(zone, "SOA"))
        for rrset in answer.answer:
            if rrset.rdtype == dns.rdatatype.SOA:
                return int(rrset[0].serial)
        return None

    def loaded(self, zone: str) -> int | None:
        """The serial of a zone as soon as it can be updated; None if it can not be in ``_LOADS_WITHIN`` seconds.

        named loads zones that are new after it has read its configuration, and answers SERVFAIL meanwhile.
        """
        until = time.monotonic() + _LOADS_WITHIN
        while (serial := self._serial(zone)) is None and time.monotonic() < until:
            time.sleep(_PAUSE)
        return serial

    def identity(self) -> str | None:
        """What it answers to ``id.server``; None while it does not answer."""
        try:
            answer = self._ask(dns.message.make_query("id.server", "TXT", "CH"), patience=0.2)
        except Unavailable:
            return None
        return next((b"".join(rrset[0].strings).decode() for rrset in answer.answer), None)

    def _ask(self, query: dns.message.Message, patience: float = _PATIENCE) -> dns.message.Message:
        try:
            return dns.query.udp(query, self._address, timeout=patience)
        except (OSError, dns.exception.DNSException) as error:
            raise self._unreachable(error) from None

    def _send(self, zone: str, changes: Sequence[tuple[str, bool]]) -> None:
        ring = dns.tsigkeyring.from_text({KEY: secret(self._key_file)})
        message = dns.update.UpdateMessage(zone, keyring=ring, keyalgorithm=dns.tsig.HMAC_SHA256)
        for line, add in changes:
            name, ttl, kind, data = line.split(" ", 3)
            if add:
                message.add(name, int(ttl), kind, data)
            else:
                message.delete(name, kind, data)
        try:
            answer = dns.query.tcp(message, self._address, timeout=_PATIENCE)
        except (OSError, dns.exception.DNSException) as error:
            raise self._unreachable(error) from None
        if answer.rcode() != dns.rcode.NOERROR:
            words = dns.rcode.to_text(answer.rcode())
            message_ = f"named refuses an update of the zone {zone}: {words}."
            raise Unavailable("dns_update_refused", message_, "Look at the controller's log.", zone=zone, words=words)

    def _unreachable(self, error: Exception) -> Unavailable:
        message = f"named does not answer at {self._address}: {error}."
        return Unavailable(
            "engine_unreachable", message, "It is started again by the controller; look at its log.", engine="named"
        )


def secret(key_file: Path) -> str:
    """The secret of the key in that file, which only its owner reads."""
    if not key_file.exists():
        made = base64.b64encode(secrets.token_bytes(32)).decode()
        fresh = key_file.with_name(f".{key_file.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.touch(0o600)
        fresh.write_text(f'key "{KEY}" {{ algorithm hmac-sha256; secret "{made}"; }};\n', encoding="ascii")
        fresh.replace(key_file)
    return key_file.read_text(encoding="ascii").partition('secret "')[2].partition('"')[0]
