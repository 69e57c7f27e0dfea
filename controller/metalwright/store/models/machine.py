# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines and their network interfaces."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from metalwright.store.base import Base, new_id, utcnow
from metalwright.store.sealed import Sealed

if TYPE_CHECKING:
    from metalwright.store.models.allocation import Allocation
    from metalwright.store.models.network import Subnet


class Machine(Base):
    """A machine. ``state`` is written by ``lifecycle.states.transition`` only."""

    __tablename__ = "machine"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    description: Mapped[str] = mapped_column(String(1024), default="")
    hostname: Mapped[str | None] = mapped_column(String(63), unique=True)
    """The name it was deployed under; None unless deploying or deployed. DNS and DHCP go by it, else by ``name``."""
    held_hostname: Mapped[str | None] = mapped_column(String(63), unique=True)
    """The name it was deployed under before the deployment under way, which may lead back: nobody else gets it meanwhile."""
    state: Mapped[str] = mapped_column(String(16), index=True, default="new")
    failed_from: Mapped[str | None] = mapped_column(String(16))
    failure: Mapped[dict[str, Any] | None]
    former_state: Mapped[str | None] = mapped_column(String(16))
    """Where ``exit-rescue`` and ``mark-fixed`` lead back to."""
    note: Mapped[str] = mapped_column(String(1024), default="")
    """What a person wrote who marked it broken."""
    test_status: Mapped[str | None] = mapped_column(String(12))
    """Of its last tests: ``passed``, ``failed`` or ``overridden``; None: never tested."""
    locked: Mapped[bool] = mapped_column(default=False)

    arch: Mapped[str] = mapped_column(String(16), default="amd64")
    firmware: Mapped[str | None] = mapped_column(String(8))
    pool: Mapped[str] = mapped_column(String(63), default="default")
    zone: Mapped[str] = mapped_column(String(63), default="default")
    tags: Mapped[list[str]] = mapped_column(default=list)

    system_uuid: Mapped[str | None] = mapped_column(String(36), index=True)
    serial: Mapped[str | None] = mapped_column(String(128))

    power_driver: Mapped[str] = mapped_column(String(32), default="manual")
    power_parameters: Mapped[dict[str, Any]] = mapped_column(Sealed, default=dict)
    power_lane: Mapped[str | None] = mapped_column(String(255), index=True)
    """What its power calls share with those of other machines: the address of their BMC or host. Few calls go there at once."""
    power_state: Mapped[str] = mapped_column(String(8), default="unknown")
    power_checked_at: Mapped[datetime | None]
    power_poll_at: Mapped[datetime | None] = mapped_column(index=True)
    """When its power driver is asked next; None: as soon as somebody looks."""
    power_failure: Mapped[dict[str, Any] | None]
    """Why its power driver could not be asked the last time: ``code, message, hint``."""

    hardware: Mapped[dict[str, Any] | None]
    cpu_count: Mapped[int | None]
    memory_mib: Mapped[int | None]
    disk_gib: Mapped[int | None]

    rules_set: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What rules set here last, by field, and tags as ``{"gpu": True}``: whatever is otherwise now, a person changed."""

    allocation_id: Mapped[str | None] = mapped_column(ForeignKey("allocation.id"), index=True)
    deployed: Mapped[dict[str, Any] | None]
    """What was deployed: ``image, content_sha256, hostname, address, at, fingerprint`` and ``options``, which hold no secret."""
    host_keys: Mapped[list[str]] = mapped_column(default=list)
    rescue: Mapped[dict[str, Any] | None]
    """While it is in rescue: ``address``, ``host_keys``, ``since``, and the ``former_state`` of one that is broken."""
    operation_id: Mapped[str | None] = mapped_column(String(16), unique=True)
    """The one operation that runs now. Taken and given back by the same conditional UPDATE as ``state``."""

    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)

    network: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """Its interfaces as they were declared (``network.interfaces``); empty: the boot interface, with an address of its subnet."""
    named: Mapped[list[str]] = mapped_column(default=list)
    """The addresses that its name leads to, one of a family, the main one first; empty: the boot interface's."""

    interfaces: Mapped[list[Interface]] = relationship(
        back_populates="machine", cascade="all, delete-orphan", order_by="Interface.position", lazy="selectin"
    )
    addresses: Mapped[list[InterfaceAddress]] = relationship(back_populates="machine", cascade="all, delete-orphan")
    """Those of its declared network, but for the one that is the boot interface's too."""
    allocation: Mapped[Allocation | None] = relationship(back_populates="machines", lazy="joined")

    @property
    def boot_interface(self) -> Interface | None:
        """The interface the machine boots from: the one marked, else the first."""
        return next((i for i in self.interfaces if i.boot), self.interfaces[0] if self.interfaces else None)


class Interface(Base):
    """A network interface of a machine; ``mac`` is lower case with colons."""

    __tablename__ = "interface"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id", ondelete="CASCADE"), index=True)
    position: Mapped[int] = mapped_column(default=0)
    mac: Mapped[str] = mapped_column(String(17), unique=True)
    name: Mapped[str | None] = mapped_column(String(32))
    boot: Mapped[bool] = mapped_column(default=False)
    subnet_id: Mapped[str | None] = mapped_column(ForeignKey("subnet.id"))
    address: Mapped[str | None] = mapped_column(String(45), unique=True)

    machine: Mapped[Machine] = relationship(back_populates="interfaces")
    subnet: Mapped[Subnet | None] = relationship(lazy="joined")


class InterfaceAddress(Base):
    """An address that a machine has by its declared network, since ``created_at``; ``interface`` is a name of that.

    What stands untagged on the boot interface has that one's address on its subnet, which is not here: DHCP gives it to the
    agent, and when the system starts that is configured with it the agent is gone.
    """

    __tablename__ = "interface_address"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id", ondelete="CASCADE"), index=True)
    interface: Mapped[str] = mapped_column(String(15))
    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnet.id"), index=True)
    address: Mapped[str] = mapped_column(String(45), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    machine: Mapped[Machine] = relationship(back_populates="addresses")
    subnet: Mapped[Subnet] = relationship(lazy="joined")
