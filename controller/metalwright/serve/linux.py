# SPDX-License-Identifier: GPL-3.0-or-later
"""The two things of prctl(2) that the standard library lacks: dying with one's parent, and a name in ``ps`` and ``top``."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Have the kernel kill this process as soon as ``parent``, which forked it, is gone.

    The setting survives exec, but the kernel drops it when a process changes its user (prctl(2)): what is started so must keep
    the user it was started as. Raises ``OSError`` when the kernel refuses.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died between our fork and the line above
        os.kill(os.getpid(), signal.SIGKILL)


def set_name(name: str) -> None:
    """Name this process, at most 15 characters, for ``ps -o comm``, ``top`` and ``pgrep``."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
