# SPDX-License-Identifier: GPL-3.0-or-later
"""Metalwright: metal as a service for people who live in Ansible."""

__version__ = "0.1.0"
