# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine may be deployed with, and whether this machine can be, asked before anything is powered."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import json
import re
import zoneinfo
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from metalwright.agent.disks import Disk, describe, matches
from metalwright.errors import Conflict, Invalid
from metalwright.lifecycle import userdata
from metalwright.lifecycle.playbooks import WithPlaybook
from metalwright.network import machine_addresses
from metalwright.network.naming import check_machine_name
from metalwright.store.models import Image, Machine

GIB = 1 << 30


def _hostname(text: str) -> str:
    """One label of RFC 1123 section 2.1, in lower case: names are compared without regard to case (RFC 4343)."""
    name = text.lower()
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
        if "." in name:
            raise ValueError("must be one label without a dot: the domain is the subnet's")
        raise ValueError("must be 1 to 63 letters, digits and hyphens, beginning and ending with a letter or digit (RFC 1123)")
    if name.isdigit():
        raise ValueError("must not be digits only: it would be taken for an address")
    return name


Hostname = Annotated[str, AfterValidator(_hostname)]
"""A name of a machine."""

_KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


def _ssh_key(text: str) -> str:
    """A line of authorized_keys (sshd(8)): options, type, base64 of the key (RFC 4253 section 6.6), comment."""
    line = text.strip()
    if "PRIVATE KEY" in line:
        raise ValueError("is a private key; give the public one (the file that ends in .pub)")
    if "\n" in line or "\r" in line:
        raise ValueError("must be one key, on one line")
    words = line.split()
    place = next((index for index, word in enumerate(words) if word in _KEY_TYPES), None)
    if place is None or place + 1 >= len(words):
        raise ValueError(f"is no public SSH key: none of the types {', '.join(_KEY_TYPES)} followed by a key")
    kind = words[place].encode()
    try:
        blob = base64.b64decode(words[place + 1], validate=True)
    except binascii.Error:
        raise ValueError("is no public SSH key: what follows its type is not base64; was it cut off?") from None
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind) or len(blob) < len(kind) + 4 + 32:
        raise ValueError("is no public SSH key: the key does not fit its type; was it cut off?")
    return line


def _package(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._:~=/-]*", text):
        raise ValueError("is no package name")
    return text


def _timezone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        if zoneinfo.available_timezones() or not re.fullmatch(r"[A-Za-z0-9_+/-]+", text):
            raise ValueError("is no time zone of the IANA database, for example Europe/Berlin") from None
    return text


def _address(text: str) -> str:
    if text in ("auto", "dhcp"):
        return text
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError("must be auto, dhcp or an IPv4 address") from None


SshKey = Annotated[str, Field(max_length=16384), AfterValidator(_ssh_key)]
"""A public SSH key, as a line of authorized_keys."""

Address = Annotated[str, Field(max_length=45), AfterValidator(_address)]
"""``auto``, ``dhcp`` or an IPv4 address."""


def _user_data(text: str) -> str:
    """Checked as the request is read, not while a transaction is open: a mebibyte of YAML takes a second."""
    if text.strip():
        userdata.check(text)
    return text


def _delay(value: Any) -> Any:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and not re.fullmatch(r"now|\+?[0-9]{1,6}", text):
        raise ValueError("must be now, or minutes such as +30")
    return text


class Options(BaseModel):
    """Base of what a deploy takes: unknown names are errors, values are never shown in errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class PowerState(Options):
    """cloud-init's module ``power_state_change``: what to do when everything else is done."""

    mode: Literal["poweroff", "halt", "reboot"] = Field(description="What to do.")
    delay: Annotated[str, BeforeValidator(_delay)] | None = Field(None, description="now, or minutes: +30.")
    message: str | None = Field(None, max_length=1024, description="Told to people who are logged in.")
    timeout: int | None = Field(None, ge=0, le=86400, description="Seconds to wait for cloud-init's end.")
    condition: bool | str | list[str] | None = Field(None, description="Do it only if true, or if this command succeeds.")


class DiskHints(Options):
    """Which disk to install on; all that are given must fit. None: the smallest that is large enough."""

    name: str | None = Field(None, max_length=64, description="Kernel name, for example sda or nvme0n1.")
    serial: str | None = Field(None, max_length=128, description="Serial number.")
    wwn: str | None = Field(None, max_length=128, description="World wide name.")
    model: str | None = Field(None, max_length=128, description="Model.")
    min_size_gib: int | None = Field(None, ge=1, le=1 << 30, description="At least this large, GiB.")
    rotational: bool | None = Field(None, description="true: a spinning disk; false: a solid one.")


class Extras(WithPlaybook, Options):
    """Everything about a deployment except the image."""

    hostname: Hostname | None = Field(None, description="Host name, one label. Default: the machine's name.")
    ssh_keys: list[SshKey] = Field([], max_length=256, description="Public keys that may log in as the image's default user.")
    user_data: Annotated[str, Field(max_length=1 << 20), AfterValidator(_user_data)] | None = Field(
        None, description="Given to cloud-init as it is: cloud-config, script, MIME, #include or Jinja."
    )
    manage_etc_hosts: bool | Literal["localhost"] | None = Field(None, description="cloud-init's manage_etc_hosts.")
    packages: list[Annotated[str, Field(max_length=256), AfterValidator(_package)]] = Field(
        [], max_length=1000, description="Packages to install."
    )
    package_update: bool | None = Field(None, description="Refresh the package index.")
    package_upgrade: bool | None = Field(None, description="Upgrade all packages.")
    timezone: Annotated[str, Field(max_length=64), AfterValidator(_timezone)] | None = Field(
        None, description="Name in the IANA database."
    )
    power_state: PowerState | None = Field(None, description="What to do when everything else is done.")
    address: Address = Field(
        "auto",
        description="auto: from the subnet's static range, kept; dhcp: whatever DHCP gives; or an IPv4 address of the range. "
        "Where the machine's network is declared: auto.",
    )
    disk: DiskHints = Field(DiskHints(), description="Which disk to install on.")


class Deployment(Extras):
    """The body of a deploy."""

    image: str = Field(max_length=127, description="Name or identifier of the image, for example debian/12.")


def validate(session: Session, machine: Machine, body: Mapping[str, Any] | Deployment) -> dict[str, Any]:
    """Return the parameters of a deploy operation: the options that are set, those of ``written`` and ``record``.

    ``record`` is what ``machine.deployed`` will hold: ``image, content_sha256, hostname, address, network, options,
    fingerprint``, without a secret (user-data and the variables of a playbook as their SHA-256). Raises pydantic's
    ``ValidationError``; ``Invalid``: ``image_unknown, image_arch, image_firmware, no_disk, disk_too_small`` and those of
    ``userdata.check`` and ``layout_rules.check``; ``Conflict``: ``image_not_ready, hostname_taken, network_declared``.
    """
    wished = body if isinstance(body, Deployment) else Deployment.model_validate(dict(body))
    image = find_image(session, wished.image)
    _check_fits(machine, image)
    _check_disk(machine, image, wished.disk)
    hostname = wished.hostname or machine.name
    check_hostname_free(session, machine, hostname)
    machine_addresses.check_wanted(machine, wished.address)
    machine_addresses.layout_of(session, machine)
    options = wished.model_dump(exclude_none=True, exclude_defaults=True, exclude={"image", "hostname", "address"})
    hidden = {name: options.pop(name) for name in ("user_data", "playbook_vars", "playbook_timeout") if options.get(name)}
    shown = {**options, **{f"{name}_sha256": _digest(hidden[name]) for name in ("user_data", "playbook_vars") if name in hidden}}
    record = {
        "image": image.name,
        "content_sha256": image.content_sha256,
        "hostname": hostname,
        "address": wished.address,
        "network": machine.network,
        "options": shown,
    }
    return {
        **options,
        **hidden,
        **written(image),
        "hostname": hostname,
        "address": wished.address,
        "record": {**record, "fingerprint": fingerprint(record)},
    }


def written(image: Image) -> dict[str, Any]:
    """What an operation keeps of the image that it writes: whoever replaces the image meanwhile changes nothing of it.

    ``image`` (its name), ``image_id``, ``content_sha256`` and ``image_file``: ``format, stored_bytes, image_bytes, firmware``.
    """
    return {
        "image": image.name,
        "image_id": image.id,
        "content_sha256": image.content_sha256,
        "image_file": {name: getattr(image, name) for name in ("format", "stored_bytes", "image_bytes", "firmware")},
    }


def _digest(secret: str | dict[str, Any]) -> str:
    text = secret if isinstance(secret, str) else json.dumps(secret, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(record: Mapping[str, Any]) -> str:
    """One number for what a deployment is: two with the same fingerprint leave the same machine behind."""
    facts = {name: record[name] for name in ("content_sha256", "hostname", "address", "network", "options")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def find_image(session: Session, name: str) -> Image:
    """The image of that name or identifier, ready to be deployed. Raises ``image_unknown`` or ``image_not_ready``."""
    image = session.scalar(select(Image).where(or_(Image.name == name, Image.id == name)))
    if image is None:
        there = session.scalars(select(Image.name).where(Image.status == "ready").order_by(Image.name)).all()
        hint = f"There are: {', '.join(there)}." if there else "Import or build one: metalwright image build debian/12"
        raise Invalid("image_unknown", f"There is no image {name}.", hint, image=name, images=list(there))
    if image.status != "ready" or image.content_sha256 is None:
        hint = "Wait until it is ready." if image.status == "importing" else "Import it again."
        raise Conflict("image_not_ready", f"Image {image.name} is not ready: {image.status}.", hint, image=image.name)
    return image


def _check_fits(machine: Machine, image: Image) -> None:
    if image.arch != machine.arch:
        message = f"Image {image.name} is for {image.arch}, but {machine.name} is {machine.arch}."
        raise Invalid("image_arch", message, "Choose an image of the machine's architecture.", image=image.name)
    if machine.firmware and image.firmware and machine.firmware not in image.firmware:
        message = f"Image {image.name} boots on {', '.join(image.firmware)}, but {machine.name} has {machine.firmware} firmware."
        raise Invalid("image_firmware", message, "Choose an image that boots on this firmware.", image=image.name)


def _check_disk(machine: Machine, image: Image, hints: DiskHints) -> None:
    """Say what the agent would say, before the power is touched. A machine never commissioned has no known disks."""
    if machine.hardware is None:
        return
    disks = [disk for disk in map(_disk, machine.hardware.get("disks", [])) if not disk.removable]
    said = hints.model_dump(exclude_none=True)
    if "/dev/disk/by-" in said.get("name", ""):
        del said["name"]  # a link that only the agent sees
    fitting = [disk for disk in disks if matches(disk, said)]
    known = "; ".join(describe(disk) for disk in disks) or "none"
    if not fitting:
        what = "no disk that fits the hints" if disks else "no disk"
        raise Invalid("no_disk", f"{machine.name} has {what}. Its disks: {known}.", "Commission it again if they have changed.")
    largest = max(disk.size_bytes for disk in fitting)
    if image.image_bytes and largest < image.image_bytes:
        message = (
            f"{machine.name} has no disk large enough for {image.name}, which needs {image.image_bytes / GIB:.1f} GiB: {known}."
        )
        details = {"needed_bytes": image.image_bytes, "largest_bytes": largest}
        raise Invalid("disk_too_small", message, "Choose a smaller image or another machine.", **details)


def _disk(said: Mapping[str, Any]) -> Disk:
    """A disk of an inventory as the agent sees it: what an older agent did not say counts as unknown."""
    blank = Disk("?", "?", "", "", "", "", 0, rotational=False, transport="", removable=False)
    return blank._replace(**{"path": f"/dev/{said.get('name', '?')}", **said})


def check_hostname_free(session: Session, machine: Machine | None, hostname: str) -> None:
    """Raise ``Conflict`` (``hostname_taken``) if another machine has that name or is deployed under it: DNS knows both.

    And ``name_taken`` if a DNS record or a reservation bears it.
    """
    bears = (Machine.name == hostname, Machine.hostname == hostname, Machine.held_hostname == hostname)
    statement = select(Machine.name).where(or_(*bears))
    if machine is not None:
        statement = statement.where(Machine.id != machine.id)
    holder = session.scalar(statement.limit(1))
    if holder is not None:
        message = f"The host name {hostname} is taken by machine {holder}."
        raise Conflict("hostname_taken", message, "Choose another, or release that machine.", hostname=hostname, machine=holder)
    check_machine_name(session, hostname, [interface.mac for interface in machine.interfaces] if machine is not None else ())


def check_not_adopted(machine: Machine, what: str) -> None:
    """Raise ``Conflict`` (``adopted``) if the machine was adopted: ``what``, a name of an operation, would wipe its system."""
    if (machine.deployed or {}).get("adopted"):
        raise Conflict(
            "adopted",
            f"{machine.name} was adopted with the system it runs; {what} would wipe that.",
            "If that is meant, say so: wipe_adopted=true, as an option --wipe-adopted. Deleted, it runs on unknown.",
            machine=machine.name,
        )
