#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Information about images."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_info
short_description: Look at images
version_added: 0.1.0
description:
  - Returns images that machines can be deployed with. Changes nothing.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.listing
  - metalwright.fleet.attributes.info
options:
  name:
    description:
      - Name or ID of one image. Where there is none, the list that is returned is empty.
      - All images if not given.
    type: str
  status:
    description: Only images that are V(importing), V(ready) or V(failed).
    type: list
    elements: str
seealso:
  - module: metalwright.fleet.image
"""

EXAMPLES = r"""
- name: Look for images that can be deployed
  metalwright.fleet.image_info:
    status: ready
  register: catalogue

- name: Show their names
  ansible.builtin.debug:
    msg: "{{ catalogue.images | map(attribute='name') }}"
"""

RETURN = r"""
images:
  description: The images. The keys of one are those that M(metalwright.fleet.image) returns.
  returned: success
  type: list
  elements: dict
  sample:
    - name: debian/12
      status: ready
      arch: amd64
      firmware: [bios, uefi]
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._listing import MANY, Listing

IMAGES = Listing("images", "/images", {"status": MANY})


def main():
    """Run the module."""
    IMAGES.run()


if __name__ == "__main__":
    main()
