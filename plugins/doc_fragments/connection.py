# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach the controller, for modules and plugins."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment C(metalwright.fleet.connection)."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - URL of the controller, without the path of the API.
      - If not given, the environment variable E(METALWRIGHT_URL) is used.
    type: str
    default: http://127.0.0.1:5240
  token:
    description:
      - Bearer token of the API. C(metalwright token create) makes one.
      - If not given, the environment variable E(METALWRIGHT_TOKEN) is used.
    type: str
  ca_path:
    description:
      - File of PEM certificates that verify the controller's, for a private authority.
      - Certificates are always verified.
      - If not given, the environment variable E(METALWRIGHT_CA_PATH) is used, else the system's authorities.
    type: path
  timeout:
    description:
      - Seconds that one answer of the controller may take.
    type: int
    default: 30
"""

    PLUGIN = r"""
options:
  url:
    env:
      - name: METALWRIGHT_URL
  token:
    env:
      - name: METALWRIGHT_TOKEN
  ca_path:
    env:
      - name: METALWRIGHT_CA_PATH
"""
