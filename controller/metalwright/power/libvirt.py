# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines of a libvirt host, local or remote."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, field_validator

from metalwright.power.driver import Found, Parameters
from metalwright.power.remote import RemoteDriver, probed

TRANSPORTS = ("", "unix", "tls", "tcp", "ssh", "libssh", "libssh2")
QUERY = frozenset({"root", "no_verify", "no_tty", "keyfile", "sshauth", "known_hosts", "known_hosts_verify", "pkipath", "mode"})
"""Parameters of a URI that run nothing on the controller."""


class LibvirtHost(Parameters):
    """Which host."""

    uri: str = Field("qemu:///system", pattern=r"^[a-z+]+://\S*$", description="libvirt connection URI.")

    @field_validator("uri")
    @classmethod
    def _runs_nothing_here(cls, value: str) -> str:
        """libvirt may run a program to reach a host (transport ``ext``, parameters ``command`` and ``netcat``; it decodes the names
        of parameters first): only what is known to do no such thing is let through (libvirt, "Remote support", URIs)."""
        split = urlsplit(value)
        _driver, _, transport = split.scheme.partition("+")
        if transport not in TRANSPORTS or split.fragment:
            raise ValueError(f"must use one of the transports {', '.join(filter(None, TRANSPORTS))}, or none")
        if unquote(split.netloc).startswith("-") or "@-" in unquote(split.netloc):
            raise ValueError("must not have a user or host that begins with a hyphen: ssh would take it for an option")
        if any(character.isspace() or not character.isprintable() for character in value):
            raise ValueError("must hold no blanks and no control characters")
        for name, _value in parse_qsl(split.query, keep_blank_values=True, separator="&"):
            if name not in QUERY:
                raise ValueError(f"must not have the parameter {name!r}; it may have: {', '.join(sorted(QUERY))}")
        if ";" in split.query:  # libvirt takes it for an ampersand
            raise ValueError("must separate its parameters by &")
        return value


class LibvirtParameters(LibvirtHost):
    """Which domain of which host."""

    domain: str = Field(min_length=1, description="Name of the domain.")


class LibvirtDriver(RemoteDriver):
    """A domain of a libvirt host. libvirt knows no one-time boot: what is put first in its boot order stays first, and holds from
    the next time the domain is stopped and started, so that is how it is restarted."""

    name: ClassVar[str] = "libvirt"
    Parameters: ClassVar[type[LibvirtParameters]] = LibvirtParameters
    Service: ClassVar[type[LibvirtHost]] = LibvirtHost
    hints = {
        "bmc_unreachable": "Try 'virsh -c {uri} list' on the controller, as the user it runs as.",
        "bmc_auth_failed": "The controller's user must be allowed in without a password (ssh key or polkit rule).",
        "power_refused": "Look at libvirt's log of the domain.",
        "power_misconfigured": "'virsh -c {uri} list --all' shows the domains there.",
    }

    @classmethod
    def probe(cls, service: LibvirtHost, timeout: float) -> list[Found]:
        """All domains of the host."""
        return probed(cls(service, timeout))

    def lane(self) -> str:
        """The host."""
        uri: str = self.parameters.uri
        return uri

    def target(self) -> dict[str, Any]:
        """URI and domain."""
        return {"uri": self.parameters.uri, "domain": getattr(self.parameters, "domain", None)}

    def described(self) -> str:
        """The domain and its host."""
        domain = getattr(self.parameters, "domain", None)
        return f"Domain {domain} at {self.parameters.uri}" if domain else f"libvirt at {self.parameters.uri}"
