# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting, for modules that start what takes time."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment C(metalwright.fleet.wait)."""

    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until what was started has ended, and to fail when it failed.
      - In check mode nothing is waited for.
      - Ansible shows nothing of a task before it has ended; C(metalwright event follow) shows what happens meanwhile. The result
        tells where the time went, and is shown with C(-v).
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait at most. The controller has deadlines of its own, so that whatever it does ends; this one is for users
        who can not wait that long.
      - What was started goes on when the time is over; running the same task again waits on.
    type: int
    default: 7200
"""
