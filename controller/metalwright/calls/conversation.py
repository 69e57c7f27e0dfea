# SPDX-License-Identifier: GPL-3.0-or-later
"""What all calls share: the request comes as JSON on standard input, the reply goes as JSON to standard output.

The request holds ``call`` (what to do), ``until`` (when it has to be done, by the host's monotonic clock: on a busy host the
start of this process counts) and the driver's parameters; calls are given the ``timeout`` that is left, in seconds. The reply is
``{"result": ...}`` or ``{"error": CODE, "reason": CLAUSE}`` with a code of ``power.driver.PowerError`` and a clause without a
full stop.
"""

from __future__ import annotations

import json
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

PAUSE = 0.3
"""Seconds between two looks at whether a command has taken effect."""
SHORTEST = 1.0
"""Seconds that are kept for a look, at least."""


class Failed(Exception):
    """A call that ends with an error: ``code`` for programs, the text a clause for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _OutOfTime(BaseException):
    """The alarm rang. Not an ``Exception``: pyghmi swallows those in its event loop."""


def carry_out(converse: Callable[[dict[str, Any]], Any]) -> None:
    """Read the request, have it done, print the reply."""
    request = json.load(sys.stdin)
    request["timeout"] = max(request.pop("until") - time.monotonic(), 0.1)
    reply: dict[str, Any]
    try:
        reply = {"result": converse(request)}
    except Failed as error:
        reply = {"error": error.code, "reason": str(error)}
    print(json.dumps(reply))  # noqa: T201


@contextmanager
def within(seconds: float, code: str, reason: str) -> Iterator[None]:
    """Raise ``Failed(code, reason)`` if the block takes longer than ``seconds``. Not to be nested."""
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    except _OutOfTime:
        raise Failed(code, reason) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(_signal: int, _frame: object) -> None:
    raise _OutOfTime


def arrive(now: str | None, ends: Collection[str], look: Callable[[], str], end: float) -> str:
    """Return the power state as soon as it is one of ``ends``: it is ``now`` at first, if that is known, then what ``look`` sees.

    BMCs confirm a command seconds before it takes effect; without the wait an off followed by an on would be lost. One more look
    has to fit in before ``end``: there, a BMC that is slow would seem to be gone. Raises ``Failed`` with ``power_refused``.
    """
    took = 0.0
    while True:
        if now is not None:
            if now in ends:
                return now
            if time.monotonic() > end - max(SHORTEST, 2 * took):
                raise Failed("power_refused", f"it accepted the command but the machine is still {now.lower()}")
            time.sleep(PAUSE)
        began = time.monotonic()
        now = look()
        took = time.monotonic() - began


def out_of_reach(error: BaseException) -> Failed:
    """What an error of a TCP or TLS connection means; the libraries wrap the one that says it in several others."""
    found = list(_chain(error))

    def first(kind: type[BaseException]) -> BaseException | None:
        return next((each for each in found if isinstance(each, kind)), None)

    if first(socket.gaierror):
        return Failed("bmc_unreachable", "the name does not resolve")
    untrusted = first(ssl.SSLCertVerificationError)
    if isinstance(untrusted, ssl.SSLCertVerificationError):
        return Failed("power_misconfigured", f"its certificate is not trusted ({untrusted.verify_message})")
    if first(ssl.SSLError):
        return Failed("power_misconfigured", "it does not speak TLS on that port, or none that is still accepted")
    if first(ConnectionRefusedError):
        return Failed("bmc_unreachable", "nothing listens on that TCP port")
    if first(TimeoutError):
        return Failed("bmc_unreachable", "no answer")
    system = next((each for each in found if isinstance(each, OSError) and each.strerror), None)
    return Failed("bmc_unreachable", str(system.strerror if system else found[-1]))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
