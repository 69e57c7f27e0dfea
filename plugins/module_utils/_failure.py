# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a failed operation says in a task. Private to this collection: it may change in any release."""

from __future__ import annotations

from ansible_collections.metalwright.fleet.plugins.module_utils._client import ApiError

LOG_LINES = 20
"""Lines of the log that are shown; the result's C(failure) has all that was kept."""


class OperationFailed(ApiError):
    """An operation that did not succeed: which step, what was last seen, what usually causes it, what was printed."""

    def __init__(self, operation, timeline=()):
        self.timeline = list(timeline)
        self.failure = operation["failure"] or {}
        name = operation["machine"]["name"]
        phase = f" in phase {self.failure['phase']}" if self.failure.get("phase") else ""
        reason = self.failure.get("message", "no reason was given").removeprefix(f"{name}: ").rstrip(".")
        message = f"{name}: {operation['kind']} {operation['state']}{phase}: {reason}."
        code = self.failure.get("code", "failed")
        super().__init__(code, message, details={"operation": operation}, hint=self.failure.get("hint", ""))
        self._machine = name

    def as_result(self):
        """Return the keyword arguments of ``fail_json``, with the failure's record, the operation, and where its time went."""
        more = {"failure": self.failure, "operation": self.details["operation"], "timeline": self.timeline}
        return {**super().as_result(), **more}

    def told(self):
        """Return what happened in a line, and below it what helps to understand it, a line each."""
        log = self.failure.get("log_tail", "").strip().splitlines()[-LOG_LINES:]
        below = {
            "code": self.code,
            "last seen": self.failure.get("last_seen", ""),
            "hint": self.hint,
            "docs": self.failure.get("docs", ""),
            "ways out": f"metalwright explain {self._machine}",
        }
        lines = [self.message, *(f"  {name}: {text}" for name, text in below.items() if text)]
        return "\n".join([*lines, *(["  log:"] if log else []), *(f"    {line}" for line in log)])
