# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a machine is deployed, for modules that deploy one."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment C(metalwright.fleet.deployment)."""

    DOCUMENTATION = r"""
options:
  image:
    description: Name of the image to deploy. Needed with O(state=deployed).
    type: str
  hostname:
    description: Name under which it is deployed, and known to DNS. Its O(name) if not given.
    type: str
  ssh_keys:
    description: Public keys that may log in as the image's default user.
    type: list
    elements: str
  user_data:
    description:
      - User-data for cloud-init. It reaches the machine byte for byte, and where it speaks of the same thing as an option here, it
        wins. It is checked before anything is powered.
    type: str
  user_data_file:
    description: File with the user-data, on the host on which the module runs. That is usually the control node.
    type: path
  manage_etc_hosts:
    description: Whether cloud-init keeps C(/etc/hosts). See its documentation for V(localhost).
    type: str
    choices: ["true", "false", localhost]
  packages:
    description: Packages to install.
    type: list
    elements: str
  package_update:
    description: Whether to update the list of packages first.
    type: bool
  package_upgrade:
    description: Whether to upgrade what is installed.
    type: bool
  timezone:
    description: Time zone, for example V(Europe/Paris).
    type: str
  power_state:
    description:
      - What to do when cloud-init has finished, as its module C(power_state_change) describes it.
      - C(mode) is V(poweroff), V(halt) or V(reboot); C(delay) is V(now), or minutes as V(+30); C(message) is told to those who are
        logged in; C(timeout) is the seconds that cloud-init gets to finish; C(condition) is V(true), V(false), or a command whose
        success says so.
    type: dict
  address:
    description:
      - V(auto), the same free address of the subnet's static range each time.
      - V(dhcp), none of its own.
      - An address of that range.
    type: str
  disk:
    description: The disk to install to. The smallest that is large enough if not given.
    type: dict
    suboptions:
      name:
        description: Kernel name, for example V(sda).
        type: str
      serial:
        description: Serial number.
        type: str
      wwn:
        description: World wide name.
        type: str
      model:
        description: Model.
        type: str
      min_size_gib:
        description: Size in GiB, at least.
        type: int
      rotational:
        description: Whether it is a disk that turns.
        type: bool
"""
