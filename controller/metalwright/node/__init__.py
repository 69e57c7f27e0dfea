# SPDX-License-Identifier: GPL-3.0-or-later
"""The node plane: what firmware, agent and cloud-init of machines talk to. No admin route lives here."""
