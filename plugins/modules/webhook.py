#!/usr/bin/python
# Copyright (c) 2026 The Metalwright authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A webhook: where events are posted to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: webhook
short_description: Manage webhooks, where events are posted to
version_added: 0.1.0
description:
  - The controller posts every event that a webhook asks for, in order and signed, and goes on where it was after a pause.
  - An option that is left out stays what it is.
author:
  - The Metalwright authors (@metalwright)
extends_documentation_fragment:
  - metalwright.fleet.connection
  - metalwright.fleet.attributes
options:
  name:
    description: Name of the webhook.
    type: str
    required: true

  state:
    description: Whether the webhook is to be there.
    type: str
    choices: [present, absent]
    default: present
  target_url:
    description:
      - Where events are posted to, C(http://) or C(https://), without user name and password.
      - Needed to create the webhook.
    type: str
  events:
    description:
      - Kinds of events, for example V(operation.failed); V(*) stands for any text.
      - All for a new one if not given.
    type: list
    elements: str
  secret:
    description:
      - Key of the signature, 16 characters at least. Needed to create the webhook.
      - The controller never returns it.
    type: str
  verify_tls:
    description: Whether the certificate of the server is verified. V(true) for a new one if not given.
    type: bool
  enabled:
    description:
      - Whether events are posted. What happens while they are not is posted afterwards, as far as the event log reaches.
      - V(true) for a new one if not given.
    type: bool
seealso:
  - module: metalwright.fleet.webhook_info
  - module: metalwright.fleet.event_info
"""

EXAMPLES = r"""
- name: Tell the chat room about failures
  metalwright.fleet.webhook:
    name: chat
    target_url: https://chat.example.com/hooks/metal
    events: [operation.failed, "machine.*"]
    secret: "{{ chat_secret }}"

- name: Keep it quiet for a while
  metalwright.fleet.webhook:
    name: chat
    enabled: false

- name: Forget it
  metalwright.fleet.webhook:
    name: chat
    state: absent
"""

RETURN = r"""
webhook:
  description: The webhook as it is now, or would be in check mode; V(null) when it is absent.
  returned: success
  type: dict
  sample:
    name: chat
    url: https://chat.example.com/hooks/metal
    events: [operation.failed, "machine.*"]
    verify_tls: true
    enabled: true
    cursor: 4711
    failures: 0
    failing_since: null
    last_error: ""
    retry_at: null
    given_up: 0
    last_delivery_at: "2026-11-21T12:00:00+00:00"
"""

from ansible_collections.metalwright.fleet.plugins.module_utils._resource import Resource, run

WEBHOOK = Resource(
    "webhook",
    "/webhooks",
    {
        "target_url": {"type": "str"},
        "events": {"type": "list", "elements": "str"},
        "secret": {"type": "str", "no_log": True},
        "verify_tls": {"type": "bool"},
        "enabled": {"type": "bool"},
    },
    whole=True,
    called={"target_url": "url"},
    secrets=("secret",),
    needed=("target_url", "secret"),
)


def main():
    """Run the module."""
    run(WEBHOOK.manage, WEBHOOK.options())


if __name__ == "__main__":
    main()
