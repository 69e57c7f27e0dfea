# SPDX-License-Identifier: GPL-3.0-or-later
"""What cloud-init says when something failed, read: which module, its message, and which packages could not be installed.

cloud-init collects its errors in ``result.json`` as the text of a tuple, ``('scripts-user', RuntimeError('...'))``: the module's
name as the image's ``cloud.cfg`` writes it, and the exception. For packages the exception says only that the package manager
failed, so what that one has printed is read too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_MODULE = re.compile(r"\('([\w.-]+)', (.*)\)", re.DOTALL)
_PACKAGES = re.compile(
    r"Unable to locate package (\S+)"
    r"|Package '?([\w.+:-]+)'? has no installation candidate"
    r"|Couldn't find any package by \w+ '([^']+)'"
    r"|No match for argument: (\S+)"
    r"|Unable to find a match: (.+)"
    r"|No package (\S+) available"
    r"|Package '([^']+)' not found"
    r"|No provider of '([^']+)' found"
    r'|snap "([^"]+)" not found'
    r"|Failed to install the following packages: \{([^}]+)\}"
)
"""How apt, dnf, yum, zypper, snap and cloud-init (24.1 on) name what they could not install."""
_EMPTY = re.compile(r"(\\n)?(Reason|Stdout|Stderr): -")
_TAIL = 2048


def failure(machine: str, errors: Sequence[str], complaints: Sequence[str], console: str) -> dict[str, Any]:
    """What the operation failed at: ``code, message, log_tail``. ``complaints`` are lines of package managers."""
    first = next(iter(errors), "an error that it does not name")
    module = _MODULE.fullmatch(first)
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    code = "cloud_init_failed"
    if module is not None and module[1].replace("-", "_") == "package_update_upgrade_install":
        code, what = "package_install_failed", _packages(complaints, module[2])
    else:
        what = f"module {module[1]} failed: {_readable(module[2])}" if module else _readable(first)
    tail = "\n".join(filter(None, [console[-_TAIL:].strip(), *complaints[:8], *errors]))
    return {"code": code, "message": f"{machine}: cloud-init: {what}{more}", "log_tail": tail}


def _packages(complaints: Sequence[str], error: str) -> str:
    """Which packages could not be installed, in the words of the package manager."""
    found = [match for text in (*complaints, error) for match in _PACKAGES.findall(text)]
    names = list(dict.fromkeys(name.strip("'") for match in found for name in "".join(match).replace(",", " ").split()))
    telling = [text for text in complaints if _PACKAGES.search(text)]
    why = next(iter((*telling, *complaints)), _readable(error))
    which = f"package{'s' * (len(names) > 1)} {', '.join(names)}" if names else "packages"
    return f"{which} could not be installed: {why}"


def _readable(error: str) -> str:
    """An exception as cloud-init writes it down: in one line, and without what it leaves empty."""
    return " ".join(_EMPTY.sub("", error).replace("\\n", " ").split())
