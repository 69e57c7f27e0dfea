# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration a process reads at its start, beside the last one it came up with.

Three files: the one to start with (``<name>``), the last one that the process came up with (``<name>.good``), and one that it did
not come up with (``<name>.refused``, the process's last words in its first line). Whoever changes the configuration writes the
first and ends the process; whoever supervises the process tells how the start went, with the text that it was started with. So
whatever is killed in between, the next start is judged all the same, and there is always a way back.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from metalwright.errors import Invalid, Unavailable

_POLL = 0.01


class Configuration:
    """One configuration file of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._good = path.with_name(f"{path.name}.good")
        self._refused = path.with_name(f"{path.name}.refused")

    def text(self) -> str | None:
        """What the process is to be started with."""
        return _read(self.path)

    def good(self) -> str | None:
        """What it came up with last."""
        return _read(self._good)

    def refusal(self, text: str) -> str | None:
        """The process's last words when it was last started with this text and did not come up; None if that was another one."""
        words, _, refused = (_read(self._refused) or "").partition("\n")
        return json.loads(words) if words and refused == text else None

    def refused(self) -> str | None:
        """The process's last words when it did not come up with what was written last; None if there was no such thing since."""
        words = (_read(self._refused) or "").partition("\n")[0]
        return json.loads(words) if words else None

    def write(self, text: str) -> None:
        """Have the next start use this."""
        replace(self.path, text)

    def accept(self, text: str) -> None:
        """The process came up with this text. A refusal of another is told until something new was accepted."""
        if self.good() != text:
            replace(self._good, text)
            self._refused.unlink(missing_ok=True)

    def roll_back(self, text: str, words: str) -> bool:
        """The process did not come up with this text and said ``words`` last: go back to the last good one.

        False where there is nothing to go back to: no other text ever was good. True as well where another has been written
        meanwhile, which is to be tried now.
        """
        good = self.good()
        if self.text() != text:
            return True
        if good in (None, text):
            return False
        replace(self._refused, f"{json.dumps(words)}\n{text}")
        replace(self.path, good)
        return True

    def forget_refusal(self) -> None:
        """Whatever was in the way may be gone: the text that was refused may be tried once more."""
        self._refused.unlink(missing_ok=True)

    def await_judgement(self, text: str, name: str, within: float) -> None:
        """Wait until the process came up with this text, which was written before it was ended.

        Raises ``Invalid`` (``network_rolled_back``) with the process's last words if it did not; ``Unavailable``
        (``engine_silent``) if nobody says so for ``within`` seconds.
        """
        until = time.monotonic() + within
        while self.good() != text:
            self.check_not_refused(text, name)
            if time.monotonic() > until:
                message = f"{name} was told to start with a new configuration and has not come up for {within:g} s."
                raise Unavailable("engine_silent", message, "Look at the controller's log.")
            time.sleep(_POLL)

    def check_not_refused(self, text: str, name: str) -> None:
        """Raise ``Invalid`` (``network_rolled_back``) if the process did not come up with this text the last time."""
        words = self.refusal(text)
        if words is not None:
            message = f"{name} did not come up with its new configuration: {words}. It goes on with the last good one."
            hint = "Mend what it names; 'metalwright network apply' tries the same once more."
            raise Invalid("network_rolled_back", message, hint, engine=name, words=words)


def replace(path: Path, text: str) -> None:
    """Replace a file at once: software may read it at any moment. What it is made as has a name that begins with a dot."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
