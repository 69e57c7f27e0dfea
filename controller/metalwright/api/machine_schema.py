# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests about machines carry, and machines as the API shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from metalwright.api.endpoint import Change, Schema
from metalwright.api.listing import Page
from metalwright.api.operation_schema import Failure, OperationView
from metalwright.lifecycle.allocation import Word
from metalwright.lifecycle.deploy import Hostname
from metalwright.network.mac import Mac

Macs = Annotated[list[Mac], Field(min_length=1, max_length=64)]
Tags = Annotated[list[Word], Field(max_length=64)]
Description = Annotated[str, Field(max_length=1024)]
Arch = Literal["amd64", "arm64"]
Firmware = Literal["bios", "uefi"]


class Power(Schema):
    """How a machine's power is switched. What the parameters are depends on the driver; secrets are never shown again."""

    driver: str = Field(max_length=32, description="Its name; GET /power/drivers lists them.")
    parameters: dict[str, Any] = Field(
        {},
        description="The driver's parameters, as a whole. A secret given as ******** stays what it is, as long as nothing "
        "changes beside it but username, privilege_level, auth or system.",
    )


class MachineCreate(Schema):
    """A new machine."""

    macs: Macs = Field(description="MAC addresses; the first is the one it boots from.")
    name: Hostname | None = Field(None, description="One label of RFC 1123. Default: made from the first MAC address.")
    power: Power = Power(driver="manual", parameters={})
    arch: Arch = "amd64"
    firmware: Firmware | None = Field(None, description="None: commissioning finds out.")
    pool: Word = "default"
    zone: Word = "default"
    tags: Tags = []
    description: Description = ""


class MachinePatch(Schema):
    """What is to change; what is not named stays.

    ``description``, ``locked``, ``pool``, ``zone`` and ``tags`` may change at any time. ``name``, ``macs``, ``power``, ``arch``
    and ``firmware`` only while nothing is under way, and ``macs`` and ``arch`` not while the machine is deployed: what is
    installed there goes by them. A new name of a deployed machine leaves its host name as it is.
    """

    name: Hostname | None = None
    macs: Macs | None = Field(None, description="All MAC addresses; the first is the one it boots from. Others are forgotten.")
    power: Power | None = None
    arch: Arch | None = None
    firmware: Firmware | None = None
    pool: Word | None = None
    zone: Word | None = None
    tags: Tags | None = None
    description: Description | None = None
    locked: bool | None = Field(None, description="A locked machine refuses every operation.")


class MachineDelete(Change):
    """How a machine is deleted."""

    force: bool = Field(False, description="Delete it even if it is deployed.")


class TimelineOf(Schema):
    """Which timeline."""

    operation: str | None = Field(
        None, max_length=16, description="Of this operation; default: the newest that is no power call."
    )


class MachineList(Page):
    """Filters of the list of machines. Of several values of one filter any fits; tags must all be there."""

    state: list[str] = Field([], description="States.")
    pool: list[str] = Field([], description="Pools.")
    zone: list[str] = Field([], description="Zones.")
    tag: list[str] = Field([], description="Tags that must all be there.")
    name: list[str] = Field([], description="Names.")
    allocation: list[str] = Field([], description="Names of allocations.")


class InterfaceView(TypedDict):
    """A network interface."""

    mac: str
    name: str | None
    boot: bool
    address: str | None
    subnet: str | None


class PowerView(TypedDict):
    """Power: ``state`` is what was last seen, ``failure`` why it could not be asked the last time; secrets are asterisks."""

    driver: str
    state: str
    checked_at: str | None
    failure: dict[str, Any] | None
    parameters: dict[str, Any]


class DeployedView(TypedDict):
    """What was deployed. ``options`` as they were asked for; user-data as its SHA-256. ``address`` is the main one.

    Of a machine that was adopted, ``image`` is what somebody said of it, and ``content_sha256`` is None.
    """

    image: str
    content_sha256: str | None
    hostname: str
    address: str | None
    network: list[dict[str, Any]]
    at: str
    options: dict[str, Any]
    adopted: bool


class RescueView(TypedDict):
    """Where a machine in rescue lets people in, as root, and the host keys by which it is known there."""

    address: str | None
    host_keys: list[str]
    since: str


class MachineView(TypedDict):
    """A machine. ``hardware`` is its inventory (schema 1), None before the first commissioning.

    ``former_state`` is where ``exit-rescue`` and ``mark-fixed`` lead back to; ``note`` is why it was marked broken;
    ``test_status`` is ``passed``, ``failed`` or ``overridden``, None before the first test.
    """

    id: str
    name: str
    state: str
    failed_from: str | None
    failure: Failure | None
    former_state: str | None
    note: str
    test_status: str | None
    locked: bool
    arch: str
    firmware: str | None
    pool: str
    zone: str
    tags: list[str]
    description: str
    power: PowerView
    interfaces: list[InterfaceView]
    hardware: dict[str, Any] | None
    cpu_count: int | None
    memory_mib: int | None
    disk_gib: int | None
    allocation: str | None
    deployed: DeployedView | None
    host_keys: list[str]
    rescue: RescueView | None
    operation: OperationView | None
    created_at: str
    updated_at: str


class MachineChanged(MachineView):
    """A machine after a change; ``changed`` is false when it was like that already (secrets included)."""

    changed: bool


class Timeline(TypedDict):
    """Where the time of an operation went: the steps' seconds add up to the whole."""

    machine: str
    operation: OperationView
    kind: str
    state: str
    started_at: str
    steps: list[TimelineStep]
    total_seconds: float
    stuck: Stuck | None


class TimelineStep(TypedDict):
    """A gap between two events, named by the event that ended it."""

    name: str
    label: str
    started_at: str
    seconds: float
    detail: str


class Stuck(TypedDict):
    """What was last seen of a machine that makes no progress, and what usually causes that."""

    last_seen: str
    hint: str


class Step(TypedDict):
    """An operation of a plan."""

    operation: str


class Diff(TypedDict):
    """How a machine is and how it would be, in the words of a wish."""

    before: dict[str, Any]
    after: dict[str, Any]


class Converged(TypedDict):
    """The plan and, unless there was nothing to do or it was a dry run, its first operation."""

    changed: bool
    plan: list[Step]
    operation: OperationView | None
    diff: Diff


class MachineFilter(Schema):
    """Which machines: those that fit all that is given. Of several values of one filter any fits; tags must all be there."""

    state: list[str] = Field([], description="States.")
    pool: list[str] = Field([], description="Pools.")
    zone: list[str] = Field([], description="Zones.")
    tag: list[str] = Field([], description="Tags that must all be there.")
    allocation: list[str] = Field([], description="Names of allocations.")


class Bulk(Schema):
    """Many machines at once: named, or all that fit a filter."""

    machines: list[str] | None = Field(None, min_length=1, max_length=1000, description="Names or identifiers.")
    filter: MachineFilter | None = Field(None, description="Instead of names; it must not be empty.")
    parameters: dict[str, Any] = Field({}, description="The body that the action takes for one machine; the same for all.")

    @model_validator(mode="after")
    def _says_which(self) -> Bulk:
        if (self.machines is None) == (self.filter is None):
            raise ValueError("give either machines or filter")
        if self.filter is not None and not any(self.filter.model_dump().values()):
            raise ValueError("filter is empty; to mean every machine, name all states")
        return self


class BulkError(TypedDict):
    """Why a machine refused: the error shape of the API."""

    code: str
    message: str
    details: dict[str, Any]
    hint: str


class BulkItem(TypedDict):
    """What became of the request for one machine."""

    machine: str
    status: int
    operation: OperationView | None
    error: BulkError | None


class BulkDone(TypedDict):
    """The answer for each machine, in the order they were named or by name."""

    items: list[BulkItem]
    failed: int
