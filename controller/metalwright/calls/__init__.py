# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversations with BMCs, each run as ``python -m metalwright.calls.NAME`` in a short-lived process by ``power.child``.

They import the library of their protocol and nothing of ours but each other, so that a call costs little more than the library.
"""
