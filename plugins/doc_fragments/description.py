# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine is, for modules that describe one."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment C(metalwright.fleet.description)."""

    DOCUMENTATION = r"""
options:
  macs:
    description:
      - MAC addresses of its network interfaces, the one it boots from first.
      - Interfaces that were found when it was commissioned need not be named.
    type: list
    elements: str
  arch:
    description: Architecture, for example V(amd64).
    type: str
  firmware:
    description: Its firmware. Found out when it is commissioned.
    type: str
    choices: [bios, uefi]
  pool:
    description: Pool that it belongs to.
    type: str
  zone:
    description: Zone that it stands in.
    type: str
  tags:
    description: Its tags, all of them.
    type: list
    elements: str
  description:
    description: Free text.
    type: str
"""
