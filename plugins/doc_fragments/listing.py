# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of all modules that return a list."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment C(metalwright.fleet.listing), and C(.recent) for lists that have no end."""

    DOCUMENTATION = r"""
options:
  fields:
    description:
      - Only these keys of each thing. All of them if not given.
      - The controller sends nothing else, which counts where there is much.
    type: list
    elements: str
"""

    RECENT = r"""
options:
  limit:
    description: How many are returned at most.
    type: int
    default: 100
"""
