#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operating system image."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: Manage images that machines can be deployed with
version_added: 0.1.0
description:
  - The controller fetches an image once, checks it, and converts it to what machines can write to their disks at once.
  - An image that is there but of another O(sha256) is replaced, and without one an image from another URL. Machines that are
    deployed stay as they are.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.wait
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the image, for example V(debian/12).
    type: str
    required: true
  state:
    description: Whether the image is to be there.
    type: str
    choices: [present, absent]
    default: present
  source:
    description:
      - Where the controller finds the image. A URL, or a file on the controller's disk below the directory that its setting
        C([images] import_dir) allows.
      - Raw or qcow2, as it is or compressed with gzip, xz or zstd.
      - Not needed if the image is there already.
    type: str
  sha256:
    description: SHA-256 of what the source holds, in hexadecimal. What differs is not imported.
    type: str
seealso:
  - module: metalwright.fleet.image_info
  - module: metalwright.fleet.machine
"""

EXAMPLES = r"""
- name: Have Debian 12
  metalwright.fleet.image:
    name: debian/12
    source: https://images.example.com/debian-12-generic-amd64.qcow2
    sha256: 0d2f0f4d7d5f5b4f5e0b4a1d5f7d9f0f0a6b4c1d2e3f405162738495a6b7c8d9

- name: Be sure that an image that was built on the controller is there
  metalwright.fleet.image:
    name: debian/12

- name: Remove an image
  metalwright.fleet.image:
    name: debian/11
    state: absent
"""

RETURN = r"""
image:
  description: The image as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    name: debian/12
    status: ready
    arch: amd64
    firmware: [bios, uefi]
    source: https://images.example.com/debian-12-generic-amd64.qcow2
    source_sha256: 0d2f0f4d7d5f5b4f5e0b4a1d5f7d9f0f0a6b4c1d2e3f405162738495a6b7c8d9
    content_sha256: 5b41362bc82b7f3d56edc5a306db22105707d01ff4819e26faef9724a2d406c9
    stored_bytes: 402653184
    image_bytes: 2147483648
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._image import FIELDS, ensure
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run
from ansible_collections.metalwright.fleet.plugins.module_utils._wait import WAITING

OPTIONS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    **FIELDS,
    **WAITING,
}


def main():
    """Run the module."""
    run(ensure, OPTIONS)


if __name__ == "__main__":
    main()
