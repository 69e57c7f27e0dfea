# SPDX-License-Identifier: GPL-3.0-or-later
"""Which playbooks there are, and what they may be given. A request names one; it never gives a path."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from metalwright.config import Runs
from metalwright.errors import Invalid

LARGEST = 64 << 10
"""Bytes of all variables together, as JSON."""
_SUFFIXES = (".yml", ".yaml")


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", text):
        raise ValueError("must be the name of a playbook in [runs] playbooks_dir, without a path or a suffix")
    return text


def _variables(given: dict[str, Any]) -> dict[str, Any]:
    for name in given:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name):
            raise ValueError("names must be letters, digits and underscores, not beginning with a digit")
        if name.startswith(("ansible_", "metalwright_")):
            raise ValueError("names must not begin with ansible_ or metalwright_: how a machine is reached, the controller says")
    if len(json.dumps(given)) > LARGEST:
        raise ValueError(f"must not be larger than {LARGEST >> 10} KiB")
    return given


Name = Annotated[str, AfterValidator(_name)]
"""Of a playbook: the name of its file in ``[runs] playbooks_dir`` without ``.yml``."""

Variables = Annotated[dict[str, Any], AfterValidator(_variables)]
"""Extra variables of a run, any JSON. They are data: Ansible does not look for templates in them."""

Limit = Annotated[int, Field(ge=1, le=24 * 3600)]
"""Seconds that a run may take."""


def find(runs: Runs, name: str) -> Path:
    """The file of the playbook of that name.

    Raises ``Invalid``: ``playbooks_off`` when the controller runs none, ``playbook_unknown``, whose details list those there are.
    """
    if runs.playbooks_dir is None or runs.ssh_key is None:
        missing = " and ".join(f"[runs] {each}" for each in ("playbooks_dir", "ssh_key") if getattr(runs, each) is None)
        raise Invalid("playbooks_off", f"This controller runs no playbooks: {missing} is not set.", "Set it and restart.")
    for suffix in _SUFFIXES:
        path = runs.playbooks_dir / f"{name}{suffix}"
        if path.is_file():
            return path
    there = sorted({path.stem for suffix in _SUFFIXES for path in runs.playbooks_dir.glob(f"*{suffix}")})
    hint = f"There are: {', '.join(there)}." if there else f"Put it into {runs.playbooks_dir} on the controller."
    raise Invalid("playbook_unknown", f"There is no playbook {name}.", hint, playbook=name, playbooks=there)


def public_key(runs: Runs) -> str:
    """The public half of the key with which machines are reached, which lies beside it (``ssh_key`` and ``.pub``).

    Raises ``Invalid`` (``playbooks_off``) when it can not be read.
    """
    path = Path(f"{runs.ssh_key}.pub")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        hint = "Make the pair with: ssh-keygen -t ed25519 -N '' -f FILE"
        raise Invalid("playbooks_off", f"The public half of [runs] ssh_key, {path}, can not be read: {reason}.", hint) from None
