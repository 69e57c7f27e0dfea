# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a machine is turned on and off, for modules that describe one."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragment C(metalwright.fleet.power)."""

    DOCUMENTATION = r"""
options:
  power:
    description: How it is turned on and off.
    type: dict
    suboptions:
      driver:
        description:
          - V(ipmi), a BMC that speaks IPMI 2.0.
          - V(libvirt), a virtual machine.
          - V(manual), somebody does it by hand.
          - V(redfish), a BMC that speaks Redfish.
          - V(webhook), HTTP requests of your own.
          - V(wol), Wake-on-LAN, which only turns on.
        type: str
        choices: [ipmi, libvirt, manual, redfish, webhook, wol]
        required: true
      parameters:
        description: What the driver needs to know.
        type: dict
        suboptions:
          address:
            description: Name or address of the BMC. Needed for V(ipmi), and for V(redfish), where it may be a URL.
            type: str
          port:
            description: UDP port. V(623) if not given for V(ipmi), V(9) for V(wol).
            type: int
          username:
            description: User of the BMC. Needed for V(ipmi) and V(redfish).
            type: str
          password:
            description:
              - Password of that user. Needed for V(ipmi) and V(redfish). The SecureOn password for V(wol).
              - The controller never returns it.
            type: str
          privilege_level:
            description: Privilege to ask for. For V(ipmi).
            type: str
            choices: [operator, administrator]
          auth:
            description: How to log in. V(auto) if not given, which prefers a session. For V(redfish).
            type: str
            choices: [auto, session, basic]
          system:
            description: ID of the system. Needed where the service has more than one. For V(redfish).
            type: str
          verify:
            description:
              - V(true) if not given, the TLS certificate is verified. V(false), it is not. Else a file with certificates to trust, on
                the controller's host.
              - For V(redfish) and V(webhook).
            type: str
          uri:
            description: URI of the hypervisor, for example V(qemu:///system). Needed for V(libvirt).
            type: str
          domain:
            description: Name of the virtual machine there. Needed for V(libvirt).
            type: str
          mac:
            description: MAC address of the interface that wakes the machine. Needed for V(wol).
            type: str
          broadcast:
            description: Broadcast address of its subnet. For V(wol).
            type: str
          on_url:
            description: Requested to turn the machine on. Needed for V(webhook).
            type: str
          on_method:
            description: Method of that request, V(POST) if not given.
            type: str
          on_body:
            description: Body of that request.
            type: str
          off_url:
            description: Requested to turn the machine off. Needed for V(webhook).
            type: str
          off_method:
            description: Method of that request, V(POST) if not given.
            type: str
          off_body:
            description: Body of that request.
            type: str
          cycle_url:
            description: Requested to start a machine again that is on. Else it is turned off and on. For V(webhook).
            type: str
          cycle_method:
            description: Method of that request, V(POST) if not given.
            type: str
          cycle_body:
            description: Body of that request.
            type: str
          query_url:
            description: Requested to know whether the machine is on. Else nobody knows. For V(webhook).
            type: str
          query_method:
            description: Method of that request, V(GET) if not given.
            type: str
          query_body:
            description: Body of that request.
            type: str
          query_on:
            description: Regular expression for the answer of a machine that is on.
            type: str
          query_off:
            description: Regular expression for the answer of a machine that is off.
            type: str
          headers:
            description: Headers of all requests, one a line. For V(webhook). The controller never returns them.
            type: str
          secret:
            description:
              - What C({secret}) stands for in URLs, headers and bodies. For V(webhook). The controller never returns it.
            type: str
"""
