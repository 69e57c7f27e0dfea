# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses as the controller writes them. Private to this collection: it may change in any release."""

from __future__ import annotations

from ipaddress import ip_address


def canonical(text):
    """Return an address in the one form that is a key (RFC 5952), and what is none as it is, for the controller to refuse."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text
