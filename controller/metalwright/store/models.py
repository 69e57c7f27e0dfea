# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables.

JSON columns are replaced whole, never changed in place: SQLAlchemy does not watch inside them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from metalwright.store.base import Base, new_id, utcnow

Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only an INTEGER key


class Machine(Base):
    """A machine. ``state`` is written by ``lifecycle.states.transition`` only."""

    __tablename__ = "machine"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    description: Mapped[str] = mapped_column(String(1024), default="")
    hostname: Mapped[str | None] = mapped_column(String(63), unique=True)
    """The name it was deployed under; None unless deploying or deployed. DNS and DHCP go by it, else by ``name``."""
    state: Mapped[str] = mapped_column(String(16), index=True, default="new")
    failed_from: Mapped[str | None] = mapped_column(String(16))
    failure: Mapped[dict[str, Any] | None]
    locked: Mapped[bool] = mapped_column(default=False)

    arch: Mapped[str] = mapped_column(String(16), default="amd64")
    firmware: Mapped[str | None] = mapped_column(String(8))
    pool: Mapped[str] = mapped_column(String(63), default="default")
    zone: Mapped[str] = mapped_column(String(63), default="default")
    tags: Mapped[list[str]] = mapped_column(default=list)

    system_uuid: Mapped[str | None] = mapped_column(String(36), index=True)
    serial: Mapped[str | None] = mapped_column(String(128))

    power_driver: Mapped[str] = mapped_column(String(32), default="manual")
    power_parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    power_state: Mapped[str] = mapped_column(String(8), default="unknown")
    power_checked_at: Mapped[datetime | None]

    hardware: Mapped[dict[str, Any] | None]
    cpu_count: Mapped[int | None]
    memory_mib: Mapped[int | None]
    disk_gib: Mapped[int | None]

    allocation_id: Mapped[str | None] = mapped_column(ForeignKey("allocation.id"), index=True)
    deployed: Mapped[dict[str, Any] | None]
    """What was deployed: ``image, content_sha256, hostname, address, at, fingerprint`` and ``options``, which hold no secret."""
    host_keys: Mapped[list[str]] = mapped_column(default=list)
    operation_id: Mapped[str | None] = mapped_column(String(16), unique=True)
    """The one operation that runs now. Taken and given back by the same conditional UPDATE as ``state``."""

    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)

    interfaces: Mapped[list[Interface]] = relationship(
        back_populates="machine", cascade="all, delete-orphan", order_by="Interface.position", lazy="selectin"
    )
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


class Subnet(Base):
    """An IPv4 network machines boot on. Ranges are inclusive; both bounds or none."""

    __tablename__ = "subnet"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    cidr: Mapped[str] = mapped_column(String(43), unique=True)
    gateway: Mapped[str | None] = mapped_column(String(45))
    dns_servers: Mapped[list[str]] = mapped_column(default=list)
    domain: Mapped[str | None] = mapped_column(String(253))
    dhcp: Mapped[bool] = mapped_column(default=True)
    enlist: Mapped[bool] = mapped_column(default=False)
    dynamic_start: Mapped[str | None] = mapped_column(String(45))
    dynamic_end: Mapped[str | None] = mapped_column(String(45))
    static_start: Mapped[str | None] = mapped_column(String(45))
    static_end: Mapped[str | None] = mapped_column(String(45))
    rack: Mapped[str] = mapped_column(String(63), default="default")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Image(Base):
    """An operating system image, known by the hash of the file that is served; no path is kept."""

    __tablename__ = "image"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(127), unique=True)
    status: Mapped[str] = mapped_column(String(16), default="ready")
    """``importing``, ``ready`` or ``failed``."""
    progress: Mapped[int | None]
    failure: Mapped[dict[str, Any] | None]
    arch: Mapped[str] = mapped_column(String(16), default="amd64")
    firmware: Mapped[list[str]] = mapped_column(default=list)
    format: Mapped[str | None] = mapped_column(String(16))
    source: Mapped[str | None] = mapped_column(String(2048))
    source_sha256: Mapped[str | None] = mapped_column(String(64))
    content_sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    image_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class Allocation(Base):
    """A named claim on ``count`` machines that satisfy ``constraints``."""

    __tablename__ = "allocation"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    count: Mapped[int]
    constraints: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    machines: Mapped[list[Machine]] = relationship(back_populates="allocation", order_by="Machine.name")


class Operation(Base):
    """One long-running action on one machine; a row is all there is of it, so any process can go on with it."""

    __tablename__ = "operation"

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(16))
    machine_id: Mapped[str] = mapped_column(ForeignKey("machine.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(12), default="queued", index=True)
    """``queued``, ``running``, ``succeeded``, ``failed`` or ``aborted``."""
    from_state: Mapped[str] = mapped_column(String(16))
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    phase: Mapped[str | None] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(default=1)
    progress: Mapped[int | None]
    message: Mapped[str] = mapped_column(String(1024), default="")
    last_seen: Mapped[str] = mapped_column(String(1024), default="")
    deadline: Mapped[datetime | None] = mapped_column(index=True)
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    token_expires: Mapped[datetime | None]
    next: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    """Operations to start when this one succeeds: ``[{"kind": .., "parameters": {..}}]``."""
    failure: Mapped[dict[str, Any] | None]
    requested_by: Mapped[str] = mapped_column(String(63), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    machine: Mapped[Machine] = relationship(lazy="joined")


class Task(Base):
    """The outbox: an effect on the world that a worker carries out at least once."""

    __tablename__ = "task"
    __table_args__ = (Index("ix_task_claim", "state", "run_at"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(32))
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    machine_id: Mapped[str | None] = mapped_column(ForeignKey("machine.id", ondelete="CASCADE"), index=True)
    operation_id: Mapped[str | None] = mapped_column(ForeignKey("operation.id", ondelete="CASCADE"), index=True)
    phase: Mapped[str | None] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(12), default="pending")
    """``pending``, ``running``, ``done``, ``failed`` or ``cancelled``."""
    run_at: Mapped[datetime] = mapped_column(default=utcnow)
    owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=10)
    fence: Mapped[int] = mapped_column(default=0)
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    ended_at: Mapped[datetime | None]


class Event(Base):
    """What happened, in order: ``id`` is the cursor. Rows are only ever added."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_operation", "operation_id", "id"), Index("ix_event_machine", "machine_id", "id"))

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(default=utcnow)
    kind: Mapped[str] = mapped_column(String(48), index=True)
    message: Mapped[str] = mapped_column(String(1024))
    machine_id: Mapped[str | None] = mapped_column(String(16))
    machine_name: Mapped[str | None] = mapped_column(String(63))
    operation_id: Mapped[str | None] = mapped_column(String(16))
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)


class ApiToken(Base):
    """A bearer token of the admin plane; only its SHA-256 is kept (256 random bits need no slow hash)."""

    __tablename__ = "api_token"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[str] = mapped_column(String(16), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(63))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
