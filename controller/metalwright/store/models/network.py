# SPDX-License-Identifier: GPL-3.0-or-later
"""The network: VLANs, subnets and their ranges, reservations, leases, DHCP options, domains and their records.

Addresses, MAC addresses and names are text in their canonical form; see ``network.model``.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from metalwright.store.base import Base, new_id, utcnow


class Vlan(Base):
    """A tagged network of layer 2 (IEEE 802.1Q). ``mtu`` in bytes; None: 1,500, or whatever the machines' system takes."""

    __tablename__ = "vlan"
    __table_args__ = (UniqueConstraint("rack", "vid"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    vid: Mapped[int]
    mtu: Mapped[int | None]
    description: Mapped[str] = mapped_column(String(1024), default="")
    rack: Mapped[str] = mapped_column(String(63), default="default")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Subnet(Base):
    """An IPv4 or IPv6 network. ``relays`` are relay agents that speak for it without an address in it."""

    __tablename__ = "subnet"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    cidr: Mapped[str] = mapped_column(String(43), unique=True)
    gateway: Mapped[str | None] = mapped_column(String(45))
    dns_servers: Mapped[list[str]] = mapped_column(default=list)
    ntp_servers: Mapped[list[str]] = mapped_column(default=list)
    search: Mapped[list[str]] = mapped_column(default=list)
    domain: Mapped[str | None] = mapped_column(String(253))
    """None: the default domain. Otherwise a domain of that name is there."""
    dhcp: Mapped[bool] = mapped_column(default=True)
    enlist: Mapped[bool] = mapped_column(default=False)
    relays: Mapped[list[str]] = mapped_column(default=list)
    vlan_id: Mapped[str | None] = mapped_column(ForeignKey("vlan.id"), index=True)
    rack: Mapped[str] = mapped_column(String(63), default="default")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    vlan: Mapped[Vlan | None] = relationship(lazy="selectin")
    ranges: Mapped[list[IpRange]] = relationship(back_populates="subnet", cascade="all, delete-orphan", lazy="selectin")


class IpRange(Base):
    """Addresses of a subnet with one purpose, both bounds inclusive; no two overlap.

    ``kind``: ``dynamic``, DHCP gives them to anyone; ``static``, machines get them one each and keep them; ``reserved``, nobody
    gets one by itself. Addresses in no range are like static ones that have to be asked for.
    """

    __tablename__ = "ip_range"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    start: Mapped[str] = mapped_column(String(45), unique=True)
    end: Mapped[str] = mapped_column(String(45), unique=True)
    comment: Mapped[str] = mapped_column(String(1024), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    subnet: Mapped[Subnet] = relationship(back_populates="ranges")


class Reservation(Base):
    """An address that is kept for one network card, whether it belongs to a machine or not.

    ``name`` is its name in ``domain`` (None: that of the subnet); None: the address has no name.
    """

    __tablename__ = "reservation"
    __table_args__ = (UniqueConstraint("subnet_id", "mac"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id"))
    mac: Mapped[str] = mapped_column(String(17), index=True)
    address: Mapped[str] = mapped_column(String(45), unique=True)
    name: Mapped[str | None] = mapped_column(String(63), index=True)
    domain: Mapped[str | None] = mapped_column(String(253))
    comment: Mapped[str] = mapped_column(String(1024), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    subnet: Mapped[Subnet] = relationship(lazy="joined")


class Lease(Base):
    """An address that DHCP has given to someone, as the engine has told; written by ``network.leases_seen`` only.

    ``mac`` is None where DHCPv6 gave it to a client that did not show one. ``until`` is None for a lease without an end.
    """

    __tablename__ = "lease"

    address: Mapped[str] = mapped_column(String(45), primary_key=True)
    mac: Mapped[str | None] = mapped_column(String(17), index=True)
    since: Mapped[datetime]
    until: Mapped[datetime | None]


class DhcpOption(Base):
    """A DHCP option that the clients of a subnet, one machine or one reservation get; exactly one of the three is set.

    ``value`` is in the form that ``network.options`` says.
    """

    __tablename__ = "dhcp_option"
    __table_args__ = (
        UniqueConstraint("subnet_id", "family", "code"),
        UniqueConstraint("machine_id", "family", "code"),
        UniqueConstraint("reservation_id", "family", "code"),
    )

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    subnet_id: Mapped[str | None] = mapped_column(ForeignKey("subnet.id", ondelete="CASCADE"))
    machine_id: Mapped[str | None] = mapped_column(ForeignKey("machine.id", ondelete="CASCADE"))
    reservation_id: Mapped[str | None] = mapped_column(ForeignKey("reservation.id", ondelete="CASCADE"))
    family: Mapped[int]
    code: Mapped[int]
    value: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Domain(Base):
    """A domain of names: authoritative here, or asked at ``forward_to`` (addresses); then it has no records."""

    __tablename__ = "domain"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(253), unique=True)
    forward_to: Mapped[list[str]] = mapped_column(default=list)
    ttl: Mapped[int | None]
    """Seconds, of records that say nothing else; None: that of the resolver."""
    default: Mapped[bool] = mapped_column(default=False)
    """It is the one that the settings name; see ``network.domains.keep_default``."""
    description: Mapped[str] = mapped_column(String(1024), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Record(Base):
    """A DNS record that a person wants; names of machines and reservations are not among them.

    ``name`` is relative to its domain, ``@`` the domain itself; ``data`` is as ``network.model.Record`` says.
    """

    __tablename__ = "record"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    domain_id: Mapped[str] = mapped_column(ForeignKey("domain.id"), index=True)
    name: Mapped[str] = mapped_column(String(253), index=True)
    type: Mapped[str] = mapped_column(String(8))
    data: Mapped[str] = mapped_column(Text)
    ttl: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    domain: Mapped[Domain] = relationship(lazy="joined")


class Resolver(Base):
    """How names are answered: one row, made by the first change. What is None is as the settings say."""

    __tablename__ = "resolver"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    forwarders: Mapped[list[str] | None]
    query_from: Mapped[list[str] | None]
    recurse_from: Mapped[list[str] | None]
    ttl: Mapped[int | None]
