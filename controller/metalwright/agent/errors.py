# SPDX-License-Identifier: GPL-3.0-or-later
"""How a step ends when it does not end well."""

from __future__ import annotations


class StepFailed(Exception):
    """A step can not be done. ``code`` is one of the protocol's error codes, ``message`` is for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Aborted(Exception):
    """The controller wants the job stopped (or has ended it); nothing more may be done to the machine but power it off."""


class Refused(Exception):
    """The controller answered with a status of 400 to 499: asking again would not help."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class CommandFailed(Exception):
    """A program ended with another status than 0, was not found, or took too long. The text says which and what it printed."""
