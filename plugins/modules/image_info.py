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
  - metalwright.fleet.attributes.info
options:
  name:
    description:
      - Name or ID of one image. Where there is none, the list that is returned is empty.
      - All images if not given.
    type: str
seealso:
  - module: metalwright.fleet.image
"""

EXAMPLES = r"""
- name: Look at all images
  metalwright.fleet.image_info:
  register: catalogue

- name: Show what can be deployed
  ansible.builtin.debug:
    msg: "{{ catalogue.images | selectattr('status', 'eq', 'ready') | map(attribute='name') }}"
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

from ansible_collections.metalwright.fleet.plugins.module_utils._image import IMAGE
from ansible_collections.metalwright.fleet.plugins.module_utils._resource import run

OPTIONS = {"name": {"type": "str"}}


def look(module, client):
    """Return the images asked for."""
    if module.params["name"] is None:
        return {"images": client.items(IMAGE.path)}
    image = IMAGE.read(client, module.params["name"])
    return {"images": [] if image is None else [image]}


def main():
    """Run the module."""
    run(look, OPTIONS)


if __name__ == "__main__":
    main()
