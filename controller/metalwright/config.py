# SPDX-License-Identifier: GPL-3.0-or-later
"""Every setting of the controller, typed, from one TOML file and the environment.

The file is the argument of ``--config``, else ``METALWRIGHT_CONFIG``, else ``/etc/metalwright/metalwright.toml``. A setting
``[node] listen`` may be overridden by ``METALWRIGHT_NODE__LISTEN`` (section and name joined by two underscores; a list by its
elements with commas between them), one that stands in no section by ``METALWRIGHT_`` and its name.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from metalwright.errors import Invalid

DEFAULT_PATH = Path("/etc/metalwright/metalwright.toml")
ENV_PREFIX = "METALWRIGHT_"


class Section(BaseModel):
    """A part of the settings: unknown names are errors, so that a typing mistake is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def split_listen(text: str) -> tuple[str, int]:
    """``HOST:PORT``, an IPv6 address in brackets, as the two; raises ``ValueError``."""
    found = re.fullmatch(r"([^\s\[\]:]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", text)
    if found is None or int(found[2]) > 65535:
        raise ValueError(f"{text!r} is no address and port, as in 10.0.0.1:5240 or [::1]:5240")
    return found[1].strip("[]"), int(found[2])


def _listen(text: str) -> str:
    split_listen(text)
    return text


def _optional_listen(text: str) -> str:
    return _listen(text) if text else text


def _low_listen(text: str) -> str:
    """apt-cacher-ng 3.7 does not bind a port above 32767, and does not say so."""
    if text and split_listen(text)[1] > 32767:
        raise ValueError(f"{text!r} has a port above 32767, which apt-cacher-ng can not use")
    return text


def _optional_url(text: str) -> str:
    if text:
        try:
            parts = urlsplit(text)
            fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"{text!r} is no URL, as in http://10.0.0.1:5248")
    return text


Listen = Annotated[str, AfterValidator(_listen)]
"""Where a service listens: ``HOST:PORT``, an IPv6 address in brackets."""
OptionalListen = Annotated[str, AfterValidator(_optional_listen)]
OptionalUrl = Annotated[str, AfterValidator(_optional_url)]


class Admin(Section):
    """The admin plane: people, modules, pages."""

    listen: Listen = Field("127.0.0.1:5240", description="Address and port of the admin API.")
    threads: int = Field(64, ge=2, le=512, description="Requests served at once; a long poll holds one.")


class Node(Section):
    """The node plane: firmware, agent and cloud-init of machines."""

    listen: Listen = Field("0.0.0.0:5248", description="Address and port; the provisioning network's.")
    url: OptionalUrl = Field(
        "", description="Base URL that machines use, for example http://10.0.0.1:5248. Required to boot machines."
    )
    threads: int = Field(48, ge=2, le=1024, description="Requests served at once; an image download holds one.")
    shared_uuids: list[str] = Field(
        default_factory=list,
        description="System UUIDs that a vendor gave to many boards: who has one is not told by it.",
    )


class Dhcp(Section):
    """Who answers DHCP on the provisioning network."""

    engine: Literal["dnsmasq", "kea+bind", "external", "none"] = Field(
        "none",
        description="dnsmasq, or kea+bind for fleets: run them here. external: the site's own servers are told what to serve. "
        "none: they are not.",
    )
    interface: str = Field("", description="Network interface that they bind to; required with dnsmasq and kea+bind.")
    authoritative: bool = Field(False, description="Answer for the whole subnet (NAK foreign leases).")
    lease_seconds: int = Field(3600, ge=120, description="Lease time of dynamic addresses, seconds.")
    other_servers: list[str] = Field(
        default_factory=list,
        description="Addresses of other DHCP servers that may answer on the interface; any else is reported.",
    )
    hook: list[str] = Field(
        default_factory=list,
        description="Command and arguments that carry changes to the site's own servers, told by JSON on standard input; "
        "external only.",
    )
    hook_seconds: int = Field(60, ge=1, description="Seconds that the hook may take.")

    @property
    def runs_here(self) -> bool:
        """Whether DHCP and DNS are served by processes of this controller."""
        return self.engine in ("dnsmasq", "kea+bind")


class HotStandby(Section):
    """Two Kea servers on two hosts, of which one answers and the other takes over when it is gone; kea+bind only.

    Both have the same settings but ``role``. Whoever can talk to their port commands them, so both sides prove who they are by
    certificates of an authority that is theirs alone.
    """

    role: Literal["", "primary", "standby"] = Field("", description="Which of the two this is. Empty: there is no pair.")
    primary: str = Field("", description="Address of the primary, one of its DHCP interface.")
    standby: str = Field("", description="Address of the standby.")
    port: int = Field(8647, ge=1, le=65534, description="TCP port of their conversation about DHCPv4; DHCPv6 has the next one.")
    ca: Path | None = Field(None, description="Certificate of the authority.")
    cert: Path | None = Field(None, description="Certificate of this server, for its address.")
    key: Path | None = Field(None, description="Key of that certificate.")


class Dns(Section):
    """Names of machines."""

    domain: str = Field("metalwright.internal", description="Domain of machines whose subnet names none.")
    forwarders: list[str] = Field(default_factory=list, description="Where other names are asked; empty: nowhere.")
    secondaries: list[str] = Field(
        default_factory=list, description="Addresses of name servers that copy our zones and are told of changes; kea+bind only."
    )


class Tftp(Section):
    """TFTP hands out the first boot loader only."""

    listen: OptionalListen = Field("", description="Address and port, for example 10.0.0.1:69. Empty: no TFTP.")
    max_transfers: int = Field(4000, ge=1, description="Simultaneous transfers; more wait for a place.")


class PackageCache(Section):
    """A caching proxy by which machines without a route out install packages."""

    listen: Annotated[str, AfterValidator(_low_listen)] = Field(
        "", description="Address and port, for example 10.0.0.1:3142, where apt-cacher-ng is run here. Empty: it is not."
    )
    url: OptionalUrl = Field(
        "", description="Proxy URL given to deployed machines as apt proxy. Empty: that of the one that is run here, if it is."
    )


class Images(Section):
    """Where image files lie and who may add them."""

    import_dir: Path | None = Field(None, description="Directory whose files the API may import by path. None: URLs only.")


class Runs(Section):
    """Playbooks that the controller runs on machines. Without both of the first two it runs none."""

    playbooks_dir: Path | None = Field(
        None, description="Directory with the playbooks that may be named, NAME.yml; roles and ansible.cfg may lie beside them."
    )
    ssh_key: Path | None = Field(
        None,
        description="Private key by which machines are reached; its public half, .pub, is let in by deploys that name one.",
    )
    ssh_user: str = Field("", description="Whom to log in as. Empty: the playbook says (remote_user).")
    ssh_port: int = Field(22, ge=1, le=65535, description="Port of SSH on machines.")


class Deadlines(Section):
    """Seconds without a sign of life after which a phase has failed. Those in which no controller was there are not counted."""

    netboot: int = Field(600, ge=1, description="From power-on to the boot script; physical servers take minutes to POST.")
    boot: int = Field(600, ge=1, description="From the boot script to the agent's hello.")
    heartbeat: int = Field(120, ge=1, description="Between two signs of a working agent.")
    first_boot: int = Field(1800, ge=1, description="From the end of the installation to cloud-init's end.")
    power: int = Field(60, ge=1, description="For the power task of a phase.")
    playbook: int = Field(1800, ge=1, description="For a playbook to run, where the request says nothing else.")
    netboot_attempts: int = Field(3, ge=1, description="How often a machine that did not boot is power-cycled before it fails.")
    wipe_stall: int = Field(600, ge=1, description="Without progress of erasing a disk; the agent watches it.")
    token: int = Field(7200, ge=1, description="Life of an operation's token after a sign of life, or until its deadline.")


class Limits(Section):
    """Admission control: what goes on at once; the rest waits in line and is never refused."""

    boots: int = Field(
        500,
        ge=1,
        description="Machines on their way through the agent at once: from power-on until it is done, or ten minutes at work.",
    )
    installs: int = Field(20, ge=1, description="Machines that write their disk at once.")
    workers: int = Field(8, ge=1, description="Tasks carried out at once by one controller.")
    imports: int = Field(2, ge=1, description="Images imported at once by one controller.")
    playbooks: int = Field(4, ge=1, description="Playbooks run at once by one controller.")
    calls_per_bmc: int = Field(2, ge=1, description="Power calls made at once to one BMC, libvirt host or web server.")
    body_bytes: int = Field(1 << 20, ge=1024, description="Largest body the node plane reads.")
    inventory_bytes: int = Field(2 << 20, ge=1024, description="Largest hardware inventory.")
    script_runs_kept: int = Field(10, ge=1, description="Runs of each script on each machine whose output is kept.")
    operation_events: int = Field(
        2000, ge=100, description="Events of one machine since its operation began; one that causes more fails."
    )
    enlist_per_minute: int = Field(60, ge=0, description="Enlistments of unknown machines accepted in a minute.")
    enlisted_machines: int = Field(
        1000, ge=0, description="Machines that enlisted and were not commissioned yet, at most; more are told to ask again."
    )


class Power(Section):
    """What machines' power drivers are asked, and how often."""

    poll_seconds: int = Field(
        300, ge=0, description="Seconds between two questions for a machine's power state, give or take a quarter. 0: never."
    )


class Retention(Section):
    """How long what has happened is kept. What is older is removed once an hour, a little at a time."""

    events_days: int = Field(90, ge=2, description="Days that events are kept; those of an operation under way are kept longer.")
    operations_days: int = Field(
        365, ge=1, description="Days that operations are kept after their end; the newest ten of a machine are kept longer."
    )
    tasks_days: int = Field(7, ge=1, description="Days that tasks of the outbox are kept after their end.")


class Settings(Section):
    """All settings. ``data_dir`` holds what the controller keeps: database, boot files, images, DHCP leases."""

    data_dir: Path = Field(Path("/var/lib/metalwright"), description="Everything the controller keeps.")
    database_url: str = Field("", description="SQLAlchemy URL. Empty: SQLite in data_dir.")
    secret_key_file: Path | None = Field(
        None, description="Key to the credentials in the database; all controllers of one database share it. None: in data_dir."
    )
    heartbeat: int = Field(10, ge=1, description="Seconds between heartbeats that agents are asked for.")
    admin: Admin = Admin()
    node: Node = Node()
    dhcp: Dhcp = Dhcp()
    hot_standby: HotStandby = HotStandby()
    dns: Dns = Dns()
    tftp: Tftp = Tftp()
    package_cache: PackageCache = PackageCache()
    images: Images = Images()
    runs: Runs = Runs()
    deadlines: Deadlines = Deadlines()
    limits: Limits = Limits()
    power: Power = Power()
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _engine_has_an_interface(self) -> Settings:
        engine = self.dhcp.engine
        if self.dhcp.runs_here and not self.dhcp.interface:
            raise ValueError(f"[dhcp] engine is {engine} but [dhcp] interface names no network interface")
        if self.dhcp.runs_here and not self.node.url:
            raise ValueError(f"[dhcp] engine is {engine} but [node] url does not say where machines reach the controller")
        if self.dhcp.hook and engine != "external":
            raise ValueError(f"[dhcp] hook is set but [dhcp] engine is {engine}, which needs none")
        pair = self.hot_standby
        if pair.role and engine != "kea+bind":
            raise ValueError(f"[hot_standby] role is {pair.role} but [dhcp] engine is {engine}, which has no pairs")
        missing = [name for name in ("primary", "standby", "ca", "cert", "key") if pair.role and not getattr(pair, name)]
        if missing:
            raise ValueError(f"[hot_standby] role is {pair.role} but {', '.join(missing)} is not set")
        return self

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.data_dir / 'metalwright.db'}"

    @property
    def secret_key(self) -> Path:
        """The file with the key to the credentials in the database."""
        return self.secret_key_file or self.data_dir / "secret.key"

    @property
    def package_proxy(self) -> str:
        """The proxy by which deployed machines fetch packages; empty: none."""
        host, _, port = self.package_cache.listen.rpartition(":")
        if self.package_cache.url or not port:
            return self.package_cache.url
        reached = urlsplit(self.node.url).hostname if host in ("0.0.0.0", "[::]") else host  # noqa: S104  (compared)
        return f"http://{reached}:{port}" if reached else ""

    @property
    def images_dir(self) -> Path:
        """Image files, named by the hash of their content."""
        return self.data_dir / "images"

    @property
    def boot_dir(self) -> Path:
        """Boot loaders and the agent."""
        return self.data_dir / "boot"

    @property
    def run_dir(self) -> Path:
        """Sockets and process ids; worthless after a restart."""
        return self.data_dir / "run"

    @property
    def runs_dir(self) -> Path:
        """What playbooks that run now need; removed with the end of each, and at every start."""
        return self.run_dir / "playbooks"


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Raises ``Invalid`` (``config_missing``, ``config_invalid``) that names the file, the setting and what is wrong with it.
    """
    environ = os.environ if environ is None else environ
    named = path or (Path(environ["METALWRIGHT_CONFIG"]) if environ.get("METALWRIGHT_CONFIG") else None)
    chosen = named or DEFAULT_PATH
    try:
        text = chosen.read_text(encoding="utf-8")
    except FileNotFoundError:
        if named:
            raise Invalid("config_missing", f"There is no configuration file {named}.", "Run 'metalwright init' first.") from None
        text = ""
    except (UnicodeDecodeError, PermissionError) as error:
        raise Invalid("config_invalid", f"{chosen} can not be read: {error}", "Mend the file.") from None
    return parse(text, chosen, environ)


def parse(text: str, path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that a file of that text gives, with what the environment overrides; raises ``Invalid`` as ``load`` does."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid("config_invalid", f"{path} can not be read: {error}", "Mend the file.") from None
    _override(values, environ or {})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise Invalid("config_invalid", f"{path}: {where}: {first['msg']}", "See docs/reference/configuration.md.") from None


def _override(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put what the environment says in the place of what the file says. Raises ``Invalid`` for a section that is none."""
    sections = {name for name, field in Settings.model_fields.items() if _is_section(field.annotation)}
    for name, value in environ.items():
        if not name.startswith(ENV_PREFIX):
            continue
        section, _, key = name.removeprefix(ENV_PREFIX).lower().partition("__")
        if key and section not in sections:
            hint = f"Sections are: {', '.join(sorted(sections))}."
            raise Invalid("config_invalid", f"The environment variable {name} is of no section of the settings.", hint)
        if key:
            values.setdefault(section, {})[key] = _listed(section, key, value)
        elif section in Settings.model_fields and section not in sections:
            values[section] = value


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _listed(section: str, key: str, value: str) -> Any:
    """The value of a setting as the file would have it: of a list, what stands between commas."""
    fields = Settings.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
    if key in fields and get_origin(fields[key].annotation) is list:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value
