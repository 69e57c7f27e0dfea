# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 for thousands of machines in one process: a connection a request, as agents do it, and bodies that are not kept.

``Cable`` is the wire to the controller with what is wrong with it: calls that are lost, late, or delivered three times.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from metalwright.errors import MetalwrightError
from metalwright.sim.wishes import Wishes

_BLOCK = 1 << 18
_LARGEST_KEPT = 16 << 20
TIMEOUT = 30.0


class NoAnswer(Exception):
    """The other side could not be reached, broke off, or answered 429 or 5xx."""


class Refused(MetalwrightError):
    """An answer of 4xx, which is final, in the words of the controller; ``code`` is empty where there are none."""

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """``body`` is empty where only the digest was wanted."""

    status: int
    body: bytes
    size: int
    sha256: str


async def exchange(
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    headers: dict[str, str] | None = None,
    source: str | None = None,
    keep: bool = True,
    timeout: float = TIMEOUT,
) -> Answer:
    """One request, from the address ``source``. ``keep``: the body; else its sum. Raises ``NoAnswer``."""
    try:
        async with asyncio.timeout(timeout):
            return await _exchange(method, url, body, headers or {}, source, keep)
    except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError) as error:
        raise NoAnswer(f"{type(error).__name__} {error}") from None


async def _exchange(method: str, url: str, body: bytes | None, headers: dict[str, str], source: str | None, keep: bool) -> Answer:
    split = urlsplit(url)
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(split.hostname, split.port or 80, local_addr=local, limit=_BLOCK)
    try:
        target = (split.path or "/") + (f"?{split.query}" if split.query else "")
        lines = [f"{method} {target} HTTP/1.1", f"Host: {split.netloc}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(None, 2)[1])
        fields = dict(_field(line) for line in head[1:] if ":" in line)
        length = int(fields["content-length"]) if "content-length" in fields else None
        digest, kept, size = hashlib.sha256(), [], 0
        while length is None or size < length:
            piece = await reader.read(_BLOCK)
            if not piece:
                break
            size += len(piece)
            if keep and size <= _LARGEST_KEPT:
                kept.append(piece)
            else:
                digest.update(piece)
        if length is not None and size != length:
            raise EOFError(f"{size} of {length} bytes")
        return Answer(status, b"".join(kept), size, "" if keep else digest.hexdigest())
    finally:
        writer.close()


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


class Cable:
    """The wire of one machine to the controller."""

    def __init__(self, wishes: Wishes, dice: random.Random) -> None:
        self._wishes = wishes
        self._dice = dice
        self.source: str | None = None
        """The address that the machine has; None: whichever the host gives it."""

    async def get(self, url: str, *, keep: bool = True) -> Answer:
        """A GET. Raises ``NoAnswer`` and ``Refused``."""
        return await self._call("GET", url, None, keep)

    async def post(self, url: str, said: dict[str, Any]) -> dict[str, Any]:
        """POST a JSON object and return the one that is answered. Raises ``NoAnswer`` and ``Refused``."""
        answer = await self._call("POST", url, json.dumps(said).encode(), True)
        try:
            found: dict[str, Any] = json.loads(answer.body)
        except ValueError:
            raise NoAnswer("the answer is not JSON") from None
        return found

    async def late(self) -> None:
        """Wait as long as the wire takes."""
        if self._wishes.delay:
            await asyncio.sleep(self._wishes.delay * self._dice.uniform(0.5, 1.5))

    def lost(self, share: float = 1.0) -> bool:
        """Whether what is sent now does not arrive; ``share`` of what is lost is lost here."""
        return self._dice.random() < self._wishes.loss * share

    def repeated(self) -> bool:
        """Whether what is sent now arrives more than once."""
        return self._dice.random() < self._wishes.duplicate

    async def _call(self, method: str, url: str, body: bytes | None, keep: bool) -> Answer:
        await self.late()
        if self.lost(0.5):
            raise NoAnswer("the call was lost")

        async def once() -> Answer:
            return await exchange(method, url, body, source=self.source, keep=keep)

        if body is not None and self.repeated():
            answer, _ = await asyncio.gather(once(), once(), return_exceptions=True)
            await asyncio.gather(once(), return_exceptions=True)
            if isinstance(answer, BaseException):
                raise answer
        else:
            answer = await once()
        if self.lost(0.5):
            raise NoAnswer("the answer was lost")
        return checked(answer)


def checked(answer: Answer) -> Answer:
    """The answer, if it is a good one. Raises ``NoAnswer`` for 429 and 5xx, ``Refused`` for any other of 4xx."""
    if answer.status == 429 or answer.status >= 500:
        raise NoAnswer(f"HTTP {answer.status}")
    if answer.status >= 400:
        try:
            said = json.loads(answer.body)
            raise Refused(answer.status, str(said["code"]), str(said["message"]), str(said.get("hint", "")))
        except (ValueError, KeyError, TypeError):
            raise Refused(answer.status, "", f"The controller answered HTTP {answer.status}.") from None
    return answer
