# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables.

JSON columns are replaced whole, never changed in place: SQLAlchemy does not watch inside them.
"""

from metalwright.store.models.access import ApiToken, KeyMark
from metalwright.store.models.allocation import Allocation
from metalwright.store.models.image import Image
from metalwright.store.models.machine import Interface, InterfaceAddress, Machine
from metalwright.store.models.network import DhcpOption, Domain, IpRange, Lease, Record, Reservation, Resolver, Subnet, Vlan
from metalwright.store.models.operation import ConsoleLog, Event, Minding, Operation, Task
from metalwright.store.models.outreach import Follower, Tally, Webhook
from metalwright.store.models.policy import Pool, Rule
from metalwright.store.models.script import Script, ScriptRun

__all__ = [
    "Allocation",
    "ApiToken",
    "ConsoleLog",
    "DhcpOption",
    "Domain",
    "Event",
    "Follower",
    "Image",
    "Interface",
    "InterfaceAddress",
    "IpRange",
    "KeyMark",
    "Lease",
    "Machine",
    "Minding",
    "Operation",
    "Pool",
    "Record",
    "Reservation",
    "Resolver",
    "Rule",
    "Script",
    "ScriptRun",
    "Subnet",
    "Tally",
    "Task",
    "Vlan",
    "Webhook",
]
