# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which playbook the controller runs on a machine, for modules that lead one somewhere."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment C(metalwright.fleet.playbook)."""

    DOCUMENTATION = r"""
options:
  playbook:
    description:
      - Name of a playbook of the controller, which it runs on the machine by itself.
      - With O(state=deployed) once the machine is deployed, which has failed if the playbook fails. A machine that was deployed with
        another playbook is not as is wished, see O(on_drift).
      - With O(state=ready) and O(state=allocated) before a deployed machine is released. If it fails, the machine stays deployed.
    type: str
  playbook_vars:
    description:
      - Extra variables of the O(playbook). They are data, in which no templates are looked for by the controller.
      - The controller encrypts them and never shows them again.
    type: dict
  playbook_timeout:
    description: Seconds that the O(playbook) may take. What the controller's C([deadlines] playbook) says if not given.
    type: int
"""
