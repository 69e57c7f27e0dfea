# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine that boots now should do, as far as its operation says."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from metalwright.lifecycle.operations import OPERATIONS
from metalwright.store.models import Operation


def wants_netboot(operation: Operation | Row[Any] | None) -> bool:
    """True while the operation waits for the agent or the agent is at work: the boot script may be given out.

    Everything else boots its own disk, whatever the machine's boot order says.
    """
    if operation is None or operation.state != "running" or operation.phase is None:
        return False
    return OPERATIONS[operation.kind].phase(operation.phase).netboot
