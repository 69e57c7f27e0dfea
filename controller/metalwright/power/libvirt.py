# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines of a libvirt host, local or remote."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, field_validator

from metalwright.power.driver import Found, Parameters
from metalwright.power.remote import RemoteDriver, probed

TRANSPORTS = ("", "unix", "tls", "tcp", "ssh", "libssh", "libssh2")
"""Ways to a host (libvirt.org/uri.html). ``ext`` is missing: it runs a program on the controller."""
PATHS = frozenset({"keyfile", "known_hosts", "pkipath"})
"""Parameters of a URI whose values are absolute paths."""
HARMLESS = PATHS | {"no_verify", "no_tty", "sshauth", "known_hosts_verify", "mode"}
"""Parameters of a URI that are let through. Not so those that name programs (``command``, ``netcat``), what to talk to instead
(``socket``, ``name``), and ``root``: a directory of settings, programs among them, for a driver in our own process."""


class LibvirtHost(Parameters):
    """Which host."""

    uri: str = Field("qemu:///system", max_length=2048, pattern=r"^[a-z0-9+]+://\S*$", description="libvirt connection URI.")

    @field_validator("uri")
    @classmethod
    def _runs_nothing_here(cls, value: str) -> str:
        check_uri(value)
        return value


def check_uri(uri: str) -> None:
    """Raise ``ValueError`` for a URI by which libvirt might run something on the controller, or write to its files.

    libvirt decodes names of parameters, does not tell upper from lower case in them, and separates them by ``;`` as well, so
    what is not known to be harmless is refused.
    """
    if not uri.isascii() or not uri.isprintable() or not unquote(uri).isprintable() or any(letter in uri for letter in " \\#;"):
        raise ValueError("a URI has no spaces, control characters, backslashes, semicolons or fragments here")
    parts = urlsplit(uri)
    transport = parts.scheme.partition("+")[2]
    if transport not in TRANSPORTS or parts.scheme.endswith("+"):
        raise ValueError(f"the transport {transport} is refused: take ssh, tls, tcp, unix, libssh, libssh2 or none")
    user, _, host = parts.netloc.rpartition("@")
    if unquote(host).startswith("-") or unquote(user).startswith("-"):
        raise ValueError("a host or user whose name begins with a hyphen would be taken for an option of ssh")
    given: dict[str, str] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in HARMLESS:
            raise ValueError(f"the URI's parameter {name} is refused: let through are {', '.join(sorted(HARMLESS))}")
        if name in given:
            raise ValueError(f"the URI's parameter {name} is there twice")
        if name in PATHS and not text.startswith("/"):
            raise ValueError(f"the URI's parameter {name} has to be an absolute path")
        given[name] = text
    if "known_hosts" in given and given.get("known_hosts_verify", "").lower() == "auto":
        raise ValueError(
            "the URI's parameter known_hosts is refused with known_hosts_verify=auto, which would write to that file"
        )


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
