# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent: what runs in memory on a machine while the controller commissions, deploys or releases it.

Standard library only; it imports nothing else of the controller, because it is copied as it is into the machine's memory
(as the package ``metalwright_agent``). Its conversation with the controller is ``docs/reference/agent-protocol.md``.
"""

AGENT_VERSION = "0.1.0"
PROTOCOL = 1
