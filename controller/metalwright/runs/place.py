# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of one run: inventory, known hosts, variables, and what ansible-runner writes. Gone when the run is over.

It holds the variables in clear while the run lasts, for their owner only (mode 0700). What a controller that was killed has left
behind, ``sweep`` removes when it starts again, with the processes that were at work there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from metalwright.config import Runs
from metalwright.runs import processes


@dataclass(frozen=True)
class Target:
    """The machine of a run: how it is reached, and ``facts``, which playbooks see as ``metalwright_machine``."""

    name: str
    address: str
    host_keys: list[str]
    facts: dict[str, Any]


class _Text(str):
    """Text in which Ansible must not look for templates."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes ``_Text`` with Ansible's tag for values that are not trusted."""


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text), style='"'))


def _untrusted(value: Any) -> Any:
    """The value with every text in it, names included, marked as data."""
    if isinstance(value, str):
        return _Text(value)
    if isinstance(value, Mapping):
        return {_Text(name): _untrusted(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_untrusted(inner) for inner in value]
    return value


@contextmanager
def made(runs_dir: Path, settings: Runs, target: Target, variables: Mapping[str, Any]) -> Iterator[Path]:
    """A new directory under ``runs_dir`` with all that a run on ``target`` needs. Removed afterwards, whatever happens."""
    runs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=runs_dir))
    try:
        for name in ("inventory", "env", "home"):
            (directory / name).mkdir(mode=0o700)
        known_hosts = directory / "known_hosts"
        _write(known_hosts, "".join(f"{target.name} {key}\n" for key in target.host_keys))
        ssh = {
            "UserKnownHostsFile": f'"{known_hosts}"',
            "GlobalKnownHostsFile": "none",
            "HostKeyAlias": target.name,  # the keys are the machine's, whatever address and port it has
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
        }
        host = {
            "ansible_host": target.address,
            "ansible_port": settings.ssh_port,
            "ansible_ssh_private_key_file": str(settings.ssh_key),
            "ansible_ssh_common_args": " ".join(f"-o '{name}={value}'" for name, value in ssh.items()),
            "metalwright_machine": _untrusted(target.facts),
            **({"ansible_user": settings.ssh_user} if settings.ssh_user else {}),
        }
        inventory = {"all": {"hosts": {target.name: host}}}
        _write(directory / "inventory" / "hosts.yml", yaml.dump(inventory, Dumper=_Dumper, allow_unicode=True))
        given = {name: _untrusted(value) for name, value in variables.items()}
        _write(directory / "env" / "extravars", yaml.dump(given, Dumper=_Dumper, allow_unicode=True))
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def sweep(runs_dir: Path) -> None:
    """End and remove what runs have left behind; for the start of the one worker that works there."""
    if runs_dir.is_dir():
        for directory in runs_dir.iterdir():
            processes.end_marked(directory)
            shutil.rmtree(directory, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, made with its mode
        file.write(text)
