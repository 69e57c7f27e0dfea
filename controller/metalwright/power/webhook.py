# SPDX-License-Identifier: GPL-3.0-or-later
"""Power switched by HTTP requests of the user's own: smart plugs, home automation, a script behind a web server."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from metalwright.outbound import is_link_local
from metalwright.power.driver import DEFAULT_TIMEOUT, BootDevice, Firmware, Parameters, PowerError, PowerState
from metalwright.power.remote import RemoteDriver, Verify

PLACE = "{secret}"
_HEADER_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")  # token of RFC 9110 section 5.6.2


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(letter <= " " for letter in value):
        raise ValueError("is no http or https URL")
    if parts.username is not None:
        raise ValueError("user name and password do not belong into the URL: it is shown to everybody")
    if is_link_local(parts.hostname):
        raise ValueError("leads to a link-local address, to which nothing is sent")
    parts.port  # noqa: B018 - raises ValueError for one that is none
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    except (OverflowError, RecursionError):
        raise ValueError("is too large a regular expression: it repeats too often or is nested too deeply") from None
    return value


Url = Annotated[str, Field(max_length=2048), AfterValidator(_url)]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Body = Annotated[str, Field(max_length=16384)]
Pattern = Annotated[str, Field(max_length=1024), AfterValidator(_pattern)]


class WebhookParameters(Parameters):
    """What is sent for what. ``{secret}`` in URLs, headers and bodies stands for the parameter ``secret``."""

    on_url: Url = Field(description="Asked to turn the machine on.")
    on_method: Method = Field("POST", description="Method of that request.")
    on_body: Body = Field("", description="Body of that request.")
    off_url: Url = Field(description="Asked to turn the machine off.")
    off_method: Method = Field("POST", description="Method of that request.")
    off_body: Body = Field("", description="Body of that request.")
    cycle_url: Url | None = Field(None, description="Asked to start a running machine again; none: off, then on.")
    cycle_method: Method = Field("POST", description="Method of that request.")
    cycle_body: Body = Field("", description="Body of that request.")
    query_url: Url | None = Field(None, description="Asked for the power state; none: nobody knows it.")
    query_method: Method = Field("GET", description="Method of that request.")
    query_body: Body = Field("", description="Body of that request.")
    query_on: Pattern = Field(r"(?i)\bon\b", description="Regular expression for the answer when it is on.")
    query_off: Pattern = Field(r"(?i)\boff\b", description="Regular expression for the answer when it is off.")
    headers: SecretStr = Field(SecretStr(""), description="Headers of all requests, one a line: Name: value.")
    secret: SecretStr = Field(SecretStr(""), description="What {secret} stands for in URLs, headers and bodies.")
    verify: Verify = True

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: SecretStr) -> SecretStr:
        for number, line in enumerate(_lines(value), start=1):
            name, colon, _ = line.partition(":")
            if not colon or not _HEADER_NAME.match(name):
                raise ValueError(f"line {number} is not Name: value")
        return value

    @model_validator(mode="after")
    def _secret_is_given(self) -> WebhookParameters:
        texts = (self.headers.get_secret_value(), *(str(getattr(self, name)) for name in type(self).model_fields))
        if not self.secret.get_secret_value() and any(PLACE in text for text in texts):
            raise ValueError(f"{PLACE} is used, but the parameter secret is empty")
        return self


def _lines(headers: SecretStr) -> list[str]:
    return [line.strip() for line in headers.get_secret_value().splitlines() if line.strip()]


class WebhookDriver(RemoteDriver):
    """HTTP requests. What the machine boots from is not theirs to say: have its firmware try the network first."""

    name: ClassVar[str] = "webhook"
    Parameters: ClassVar[type[WebhookParameters]] = WebhookParameters
    hints = {
        "bmc_unreachable": "Check the URLs, and that their server is running and reached from the controller.",
        "bmc_auth_failed": "Check the headers and the secret.",
        "power_refused": "Look at the log of the server behind the URLs.",
        "power_misconfigured": "Mend the power parameters: URLs, verify, query_on and query_off.",
    }

    def __init__(self, parameters: WebhookParameters, timeout: float = DEFAULT_TIMEOUT) -> None:
        super().__init__(parameters, timeout)

    def query(self) -> PowerState:
        """Ask ``query_url``; UNKNOWN where there is none."""
        return super().query() if self.parameters.query_url else PowerState.UNKNOWN

    def off(self, *, soft: bool = False) -> None:
        """Turn off and, where it can be asked, wait until it is. Raises ``power_refused`` for ``soft``."""
        if soft:
            message = f"{self.described()}: a webhook does not know how to ask the operating system to shut down."
            raise PowerError("power_refused", message, "Turn it off at once, or shut it down by hand.", **self.target())
        super().off()

    def boot_once(self, device: BootDevice, firmware: Firmware) -> None:
        """Leave it to the firmware, which has to try the network first; the boot script sends it to its disk."""

    def check(self) -> PowerState:
        """Query, or where that is not possible see that the servers answer."""
        return PowerState(self.call("check"))

    def lane(self) -> str:
        """The server that turns it on."""
        url: str = self.parameters.on_url
        return urlsplit(url).netloc.lower()

    def target(self) -> dict[str, Any]:
        """The server."""
        return {"server": urlsplit(self.parameters.on_url).netloc}

    def described(self) -> str:
        """The server."""
        return f"Webhook at {self.target()['server']}"

    def request(self) -> dict[str, Any]:
        """The requests, with the secret in its places."""
        mine, secret = self.parameters, self.parameters.secret.get_secret_value()
        requests = {}
        for name in ("on", "off", "cycle", "query"):
            if url := getattr(mine, f"{name}_url"):
                requests[name] = {
                    "url": url.replace(PLACE, quote(secret, safe="")),
                    "method": getattr(mine, f"{name}_method"),
                    "body": getattr(mine, f"{name}_body").replace(PLACE, secret),
                }
        headers = [line.replace(PLACE, secret).partition(":") for line in _lines(mine.headers)]
        return {
            "requests": requests,
            "headers": [(name, value.strip()) for name, _, value in headers],
            "query_on": mine.query_on,
            "query_off": mine.query_off,
            "verify": mine.verify,
        }
