# SPDX-License-Identifier: GPL-3.0-or-later
"""How a step ends when it does not end well."""

from __future__ import annotations


class StepFailed(Exception):
    """A step can not be done. ``code`` is one of the protocol's error codes, ``message`` is for a person.

    ``log_tail``: the lines that tell more; without them the last ones of the console do.
    """

    def __init__(self, code: str, message: str, log_tail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.log_tail = log_tail


class Aborted(Exception):
    """The controller wants the job stopped (or has ended it); nothing more may be done to the machine but power it off."""


class RestartWanted(Exception):
    """The machine is to be restarted in the middle of the job, which goes on afterwards. The text says who wants it."""


class Refused(Exception):
    """The controller answered with a status of 400 to 499: asking again would not help."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class CommandFailed(Exception):
    """A program ended with another status than 0, was not found, or took too long. The text says which and what it printed."""
