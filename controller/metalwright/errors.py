# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors that users meet.

Every error carries a stable ``code`` for programs, a ``message`` that says what happened and to which thing, a ``hint``
that says what to do next, and ``details`` for programs. ``status`` is the HTTP status the API answers with.

    MetalwrightError (500)
        NotFound (404)      Conflict (409)     Invalid (422)      Unauthorized (401)
        TooLarge (413)      TooMany (429)      Unavailable (503)
"""

from __future__ import annotations

from typing import Any


class MetalwrightError(Exception):
    """Base of all errors with a code. Never raised with text that holds a secret."""

    status = 500

    def __init__(self, code: str, message: str, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details = details

    def as_dict(self) -> dict[str, Any]:
        """Return the error shape of the API: ``{code, message, details, hint}``."""
        return {"code": self.code, "message": self.message, "details": self.details, "hint": self.hint}


class NotFound(MetalwrightError):
    """The thing asked for does not exist, or the caller may not know that it does."""

    status = 404


class Conflict(MetalwrightError):
    """The thing exists or is busy; ``details`` name what is in the way."""

    status = 409


class Invalid(MetalwrightError):
    """The request can not be carried out as it was written."""

    status = 422


class Unauthorized(MetalwrightError):
    """No token, or one that is wrong, revoked or expired."""

    status = 401


class TooLarge(MetalwrightError):
    """A body larger than the plane accepts."""

    status = 413


class TooMany(MetalwrightError):
    """More than a limit of the settings allows; the same request may succeed later (RFC 6585 section 4)."""

    status = 429


class Unavailable(MetalwrightError):
    """A part that is needed does not answer now; the same request may succeed later."""

    status = 503
