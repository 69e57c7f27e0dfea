# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine's network is to be, as it is declared: interfaces, what they stand on, their addresses and routes.

Here is what can be said of one interface by itself; what interfaces, subnets and NICs must be to each other is in ``layout``.
Names and terms are those of netplan and cloud-init's network configuration, version 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from metalwright.network.mac import Mac

DEFAULT_ROUTES: Mapping[int, str] = {4: "0.0.0.0/0", 6: "::/0"}
"""The destination of a default route, by the family."""


def _name(text: str) -> str:
    """A name the Linux kernel (dev_valid_name: 15 characters, no slash, colon or space) and systemd take."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", text):
        raise ValueError("must be 1 to 15 letters, digits, dots, hyphens and underscores: the kernel takes no others")
    if text in (".", "..", "all", "default", "lo") or text.isdigit():
        raise ValueError("is a name that the system uses for something else")
    return text


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("is no IPv4 or IPv6 address") from None


def _destination(text: str) -> str:
    if text == "default":
        return text
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError("must be default or a network such as 10.0.0.0/8, without bits of a host") from None


Name = Annotated[str, AfterValidator(_name)]
"""A name of an interface."""

Address = Annotated[str, Field(max_length=45), AfterValidator(_address)]
"""An IPv4 or IPv6 address, in its canonical form."""

BondMode = Literal["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"]
HASHED = ("balance-xor", "802.3ad", "balance-tlb")
"""Bond modes that choose the member by a hash of the packet (Linux: bonding.txt, xmit_hash_policy)."""
PRIMARIES = ("active-backup", "balance-tlb", "balance-alb")
"""Bond modes that prefer one member (bonding.txt, primary)."""


class Declared(BaseModel):
    """Base of what is declared: unknown names are errors, so that a typing mistake is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Link(Declared):
    """How an interface comes to an address. ``link``: it is up and has none, as if no link were given."""

    mode: Literal["auto", "static", "dhcp", "link"] = Field(
        description="auto: one of the subnet's static ranges, kept; static: `address`; dhcp: what DHCP gives; link: none."
    )
    subnet: str | None = Field(
        None,
        max_length=63,
        description="Name of the subnet. Default: the one that `address` lies in; for auto, the one the machine boots on.",
    )
    address: Address | None = Field(None, description="The address, for static.")

    @model_validator(mode="after")
    def _fits(self) -> Link:
        if (self.address is not None) != (self.mode == "static"):
            needed = "needs an address" if self.mode == "static" else "takes no address; to choose one, say static"
            raise ValueError(f"a link of mode {self.mode} {needed}")
        if self.mode == "link" and self.subnet is not None:
            raise ValueError("a link of mode link has no subnet")
        return self


class Route(Declared):
    """A route of an interface."""

    to: Annotated[str, Field(max_length=49), AfterValidator(_destination)] = Field(description="default, or a network.")
    via: Address = Field(description="Address of the router.")
    metric: int | None = Field(None, ge=0, le=(1 << 32) - 1, description="The smaller one wins. Default: the system's.")

    @model_validator(mode="after")
    def _one_family(self) -> Route:
        if self.to != "default" and ip_network(self.to).version != self.family:
            raise ValueError(f"{self.to} can not be reached via {self.via}: one is IPv4, the other IPv6")
        return self

    @property
    def family(self) -> int:
        """4 or 6."""
        return ip_address(self.via).version

    @property
    def destination(self) -> str:
        """``to`` as a network, a default route too."""
        return DEFAULT_ROUTES[self.family] if self.to == "default" else self.to


_OF_TYPE: Mapping[str, frozenset[str]] = {
    "physical": frozenset({"mac"}),
    "bond": frozenset({"members", "mode", "mii_monitor_interval", "lacp_rate", "transmit_hash_policy", "primary"}),
    "vlan": frozenset({"parent", "vid", "vlan"}),
    "bridge": frozenset({"members", "stp", "forward_delay"}),
}
_OF_SOME = frozenset[str]().union(*_OF_TYPE.values())


class Interface(Declared):
    """An interface: a network card of the machine, or what is made of others."""

    name: Name = Field(description="1 to 15 characters. Of a card it is the one its inventory tells, or one for `mac`.")
    type: Literal["physical", "bond", "vlan", "bridge"]
    mac: Mac | None = Field(None, description="physical: which card. Default: the one of that name in the inventory.")
    members: list[Name] = Field([], max_length=64, description="bond, bridge: the interfaces it is made of.")
    mode: BondMode | None = Field(None, description="bond: its mode. Default: active-backup.")
    mii_monitor_interval: int | None = Field(
        None, ge=1, le=60000, description="bond: milliseconds between looks at the members' links. Default: 100."
    )
    lacp_rate: Literal["slow", "fast"] | None = Field(None, description="bond, 802.3ad: how often LACP is spoken.")
    transmit_hash_policy: Literal["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4"] | None = Field(
        None, description=f"bond, {', '.join(HASHED)}: what the choice of a member goes by."
    )
    primary: Name | None = Field(None, description=f"bond, {', '.join(PRIMARIES)}: the member that is preferred.")
    parent: Name | None = Field(None, description="vlan: the interface that carries it.")
    vid: int | None = Field(None, ge=1, le=4094, description="vlan: its number (IEEE 802.1Q), if `vlan` is not given.")
    vlan: str | None = Field(None, max_length=63, description="vlan: its name, if `vid` is not given.")
    stp: bool | None = Field(None, description="bridge: speak the spanning tree protocol. Default: false.")
    forward_delay: int | None = Field(None, ge=2, le=30, description="bridge with stp: seconds to listen, and to learn.")
    mtu: int | None = Field(None, ge=68, le=65535, description="Bytes. Default: 1500, or what the parent has.")
    links: list[Link] = Field([], max_length=32, description="Its addresses; none: it is up and has no address.")
    routes: list[Route] = Field([], max_length=64, description="Routes beside the subnet's gateway.")

    @model_validator(mode="after")
    def _fits(self) -> Interface:
        foreign = sorted(name for name in _OF_SOME - _OF_TYPE[self.type] if getattr(self, name) not in (None, []))
        if foreign:
            owners = " or ".join(kind for kind, names in _OF_TYPE.items() if foreign[0] in names)
            raise ValueError(f"{foreign[0]} is of a {owners}, and {self.name} is a {self.type}")
        for check in (_check_bond, _check_vlan, _check_bridge, _check_links):
            check(self)
        return self

    @property
    def bond_mode(self) -> BondMode:
        """The mode of a bond, said or not."""
        return self.mode or "active-backup"

    @property
    def stands_on(self) -> tuple[str, ...]:
        """The interfaces below it."""
        return (self.parent,) if self.parent else tuple(self.members)

    @property
    def addressed(self) -> list[Link]:
        """The links that give an address."""
        return [link for link in self.links if link.mode != "link"]


class MachineNetwork(Declared):
    """The whole network of a machine; the order says which address comes first."""

    interfaces: list[Interface] = Field(
        max_length=64, description="All interfaces that are to be configured. Empty: the one it boots from, mode auto."
    )

    def stored(self) -> list[dict[str, Any]]:
        """What is kept: what was said, in one form, and no defaults."""
        return [interface.model_dump(exclude_defaults=True) for interface in self.interfaces]


def of_store(stored: list[dict[str, Any]]) -> MachineNetwork:
    """What ``stored`` gave."""
    return MachineNetwork.model_validate({"interfaces": stored})


def _check_bond(bond: Interface) -> None:
    if bond.type != "bond":
        return
    mode = bond.bond_mode
    if bond.lacp_rate and mode != "802.3ad":
        raise ValueError(f"lacp_rate is of a bond of mode 802.3ad, and {bond.name} has mode {mode}")
    if bond.transmit_hash_policy and mode not in HASHED:
        raise ValueError(f"transmit_hash_policy is of a bond of mode {', '.join(HASHED)}, and {bond.name} has mode {mode}")
    if bond.primary and mode not in PRIMARIES:
        raise ValueError(f"primary is of a bond of mode {', '.join(PRIMARIES)}, and {bond.name} has mode {mode}")
    if bond.primary and bond.primary not in bond.members:
        raise ValueError(f"primary of {bond.name} is {bond.primary}, which is none of its members")


def _check_vlan(vlan: Interface) -> None:
    if vlan.type != "vlan":
        return
    if vlan.parent is None:
        raise ValueError(f"VLAN {vlan.name} has no parent")
    if (vlan.vid is None) == (vlan.vlan is None):
        raise ValueError(f"{vlan.name} needs one of vid and vlan")


def _check_bridge(bridge: Interface) -> None:
    if bridge.forward_delay is not None and not bridge.stp:
        raise ValueError(f"forward_delay is of a bridge with stp, and {bridge.name} has none")


def _check_links(interface: Interface) -> None:
    if len(interface.links) > 1 and any(link.mode == "link" for link in interface.links):
        raise ValueError(f"{interface.name} has a link of mode link, which says that it has no address, beside another link")
    if interface.routes and not interface.addressed:
        raise ValueError(f"{interface.name} has routes and no address")
