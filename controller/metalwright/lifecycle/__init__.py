# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines go through: states, operations as data, the engine that advances them, the outbox of effects."""
