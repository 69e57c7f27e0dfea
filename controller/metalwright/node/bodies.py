# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what machines send: bounded before it is read, parsed without surprises, validated before it is used."""

from __future__ import annotations

import json
from typing import Annotated, Any, NoReturn, TypeVar

from flask import request
from gunicorn.http.errors import ParseException
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from metalwright.errors import Invalid, MetalwrightError, TooLarge
from metalwright.lifecycle.console import printable
from metalwright.lifecycle.tokens import blanked


class Malformed(MetalwrightError):
    """The body is not what it says it is."""

    status = 400


class Message(BaseModel):
    """Base of what machines send. Fields we do not know are ignored: a newer agent may say more."""

    model_config = ConfigDict(extra="ignore")


def cut(length: int) -> AfterValidator:
    """Take control characters and tokens out of a text and cut it: it comes from firmware, and goes into logs, onto terminals."""
    return AfterValidator(lambda text: blanked("".join(c for c in text if c.isprintable())).strip()[:length])


Word = Annotated[str, cut(256)]
"""A line of text."""
Text = Annotated[str, AfterValidator(lambda text: printable(text)[-16384:])]
"""Several lines of text; of one that is too long the end is kept."""

_M = TypeVar("_M", bound=Message)


def read(model: type[_M], limit: int) -> _M:
    """The body of the current request as ``model``; the content type does not matter (cloud-init sends none).

    Raises ``TooLarge`` (``body_too_large``) for more than ``limit`` bytes, announced or not, ``Malformed`` (``malformed_json``)
    and ``Invalid`` (``invalid_body``), which names the first field that is wrong.
    """
    try:
        return model.model_validate(read_json(limit))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:200] or "body"
        raise Invalid("invalid_body", f"{where}: {first['msg']}") from None


def read_json(limit: int) -> Any:
    """The JSON document in the body of the current request; raises as ``read`` does."""
    if request.content_length is not None and request.content_length > limit:
        _too_large(limit)
    request.max_content_length = limit
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        _too_large(limit)
    except (OSError, ParseException, ClientDisconnected):  # the peer is gone in mid-body, or a chunk is broken
        raise Malformed("malformed_body", "The body ended early or is not framed as HTTP says.") from None
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Malformed("malformed_json", "The body is not JSON.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON (RFC 8259)")


def _too_large(limit: int) -> NoReturn:
    raise TooLarge("body_too_large", f"The body is larger than {limit} bytes.", limit=limit)
