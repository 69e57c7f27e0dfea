# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting, with a deadline. Private to this collection: it may change in any release.

The controller answers a long poll as soon as the operation ends, so nothing is asked more often than needed. A controller
that restarts meanwhile is waited for: operations survive it.
"""

from __future__ import annotations

import math
import time

from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError, segment
from ansible_collections.metalwright.fleet.plugins.module_utils._failure import OperationFailed

WAITING = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 7200},
}
"""The options of modules that wait; the documentation fragment C(wait) says the same."""

LIVE = ("queued", "running")
LONG_POLL = 20
PATIENCE = 120
"""Seconds that a controller may be away before waiting for it is given up."""


class Waiter:
    """Waits until something ends, C(timeout) seconds at most, all its waits together."""

    def __init__(self, client, timeout, clock=time.monotonic, sleep=time.sleep):
        self._client = client
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleep
        self._deadline = clock() + timeout
        self._ended_ones = []

    def end(self, operation_id):
        """Wait until an operation has ended, however it does; return it. Raises ApiError when the time is over."""
        return self._ended(self._patiently(lambda: self._client.get(f"/operations/{operation_id}")))

    def operation(self, operation):
        """Wait for an operation and those planned to follow it; return the last one.

        Raises ApiError when one of them does not succeed, or the time is over.
        """
        while True:
            operation = self._ended(operation)
            self._ended_ones.append(operation)
            if operation["state"] != "succeeded":
                raise OperationFailed(operation, self.timeline())
            if not operation["next"]:
                return operation
            if not operation["followed_by"]:
                raise ApiError("not_followed", operation["message"], details={"operation": operation})
            path = f"/operations/{operation['followed_by']}"
            operation = self._patiently(lambda path=path: self._client.get(path))

    def timeline(self):
        """Return where the time of the operations went that were waited for: a list of C(operation), C(step), C(seconds).

        It is told for people only: what can not be asked for is left out, and no trouble.
        """
        steps = []
        for operation in self._ended_ones:
            path = f"/machines/{segment(operation['machine']['name'])}/timeline"
            try:
                told = self._client.get(path, operation=operation["id"])
            except ApiError:
                continue
            steps += [{"operation": told["kind"], "step": step["label"], "seconds": step["seconds"]} for step in told["steps"]]
        return steps

    def image(self, image):
        """Wait until an image is ready; return it. Raises ApiError when it can not be imported, or the time is over."""
        image = self.imported(image)
        if image["failure"]:
            failure = image["failure"]
            kept = " It stays what it was." if image["status"] == "ready" else ""
            message = f"Image {image['name']} could not be imported: {failure['message'].rstrip('.')}.{kept}"
            raise ApiError(failure["code"], message, details={"image": image}, hint=failure.get("hint", ""))
        return image

    def imported(self, image):
        """Wait until no import of an image is under way, however that ends; return it. Raises ApiError when the time is over."""
        path = "/images/" + segment(image["name"])
        while image["progress"] is not None:
            if self._clock() >= self._deadline:
                message = f"Image {image['name']} was not imported within {self._timeout} s: {image['progress']} % done."
                raise ApiError("wait_timeout", message, hint="The import goes on; run the task again to wait on.")
            self._sleep(1)
            image = self._patiently(lambda: self._client.get(path))
        return image

    def _ended(self, operation):
        while operation["state"] in LIVE:
            left = self._deadline - self._clock()
            if left <= 0:
                raise self._too_late(operation)
            path = f"/operations/{operation['id']}"
            seconds = max(1, min(LONG_POLL, int(left)))
            asked = self._clock()
            operation = self._patiently(lambda path=path, seconds=seconds: self._client.get(path, wait=seconds))
            if operation["state"] in LIVE and self._clock() - asked < seconds / 2:
                self._sleep(1)  # too many wait on the controller already, and it answered at once
        return operation

    def _patiently(self, ask):
        patience = min(self._clock() + PATIENCE, self._deadline)
        while True:
            try:
                return ask()
            except ApiError as error:
                away = error.code == "unreachable" or error.status in (502, 503, 504)
                if not away or self._clock() >= patience:
                    raise
                self._sleep(1)

    def _too_late(self, operation):
        message = (
            f"{operation['machine']['name']}: {operation['kind']} did not end within {self._timeout} s. "
            f"It is {operation['state']}{_where(operation)}."
        )
        hint = f"It goes on; run the task again to wait on, or look with: metalwright timeline {operation['machine']['name']}"
        return ApiError("wait_timeout", message, details={"operation": operation}, hint=hint)


def events(client, query, patience, clock=time.monotonic, sleep=time.sleep):
    """Return what the event log answers to ``query``, as soon as there is an event, or as it is after ``patience`` seconds."""
    deadline = clock() + patience
    while True:
        asked = clock()
        seconds = max(0, min(LONG_POLL, math.ceil(deadline - asked)))
        found = client.get("/events", wait=seconds, **query)
        if found["events"] or clock() >= deadline:
            return found
        query = {**query, "after": found["cursor"]}  # the latest one is where waiting began
        if clock() - asked < seconds / 2:
            sleep(1)


def once_idle(waiter, ask):
    """Return what C(ask()) answers; a machine that is busy is waited for first, and in check mode (no ``waiter``) refused."""
    while True:
        try:
            return ask()
        except ApiError as error:
            if error.code != "machine_busy" or waiter is None:
                raise
            waiter.end(error.details["operation"])


def _where(operation):
    phase = f" in phase {operation['phase']}" if operation["phase"] else ""
    progress = "" if operation["progress"] is None else f", {operation['progress']} %"
    said = f": {operation['message'].rstrip('.')}" if operation["message"] else ""
    return phase + progress + said
