"""Metalwright: metal as a service for people who live in Ansible."""

__version__ = "0.1.0"
