# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible may expect of a module."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment C(metalwright.fleet.attributes), and C(.info) for modules that only look."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can say what it would change without changing it.
    support: full
    details:
      - The controller is asked for every change as a dry run, so a check meets the same refusals as a run.
  diff_mode:
    description: Returns what has changed, or would change in check mode, when in diff mode.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  action_group:
    description: Use C(group/metalwright.fleet.metalwright) in C(module_defaults) to set options of all modules at once.
    support: full
    membership:
      - metalwright.fleet.metalwright
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can say what it would change without changing it.
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    description: Returns what has changed, or would change in check mode, when in diff mode.
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
    details:
      - This module changes nothing.
  action_group:
    description: Use C(group/metalwright.fleet.metalwright) in C(module_defaults) to set options of all modules at once.
    support: full
    membership:
      - metalwright.fleet.metalwright
"""
