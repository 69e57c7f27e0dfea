# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversations with BMCs, each in a short-lived process that ``__main__`` forks for ``power.child``.

They import the library of their protocol and nothing of ours but each other: what is forked is small.
"""
