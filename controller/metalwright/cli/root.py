# SPDX-License-Identifier: GPL-3.0-or-later
"""The top of the command: which nouns there are."""

from __future__ import annotations

import click

from metalwright import __version__
from metalwright.cli.lazy import LazyGroup

COMMANDS = {
    "init": ("metalwright.cli.init:init", "Set up a controller on this host."),
    "serve": ("metalwright.cli.serve:serve", "Run the controller."),
    "status": ("metalwright.cli.status:status", "How the controller and its machines are."),
    "machine": ("metalwright.cli.machine:machine", "Machines: add, commission, deploy, release, power."),
    "chassis": ("metalwright.cli.chassis:chassis", "All machines behind one address: a libvirt host, a Redfish service."),
    "allocation": ("metalwright.cli.allocation:allocation", "Named claims on machines that fit."),
    "pool": ("metalwright.cli.pool:pool", "Groups of machines and the defaults they share."),
    "rule": ("metalwright.cli.rule:rule", "Rules over the hardware: tags, pools, zones and names follow from it."),
    "image": ("metalwright.cli.image:image", "Operating system images: build, import, list."),
    "agent": ("metalwright.cli.agent:agent", "What machines boot from the network (on the controller's host)."),
    "vlan": ("metalwright.cli.vlan:vlan", "Tagged networks of layer 2."),
    "subnet": ("metalwright.cli.subnet:subnet", "Networks that machines boot on."),
    "range": ("metalwright.cli.range:range_", "What the addresses of subnets are for."),
    "reservation": ("metalwright.cli.reservation:reservation", "Addresses that are kept for a network card."),
    "address": ("metalwright.cli.address:address", "Who has which address."),
    "domain": ("metalwright.cli.domain:domain", "Domains: held here, or asked elsewhere."),
    "record": ("metalwright.cli.record:record", "DNS records."),
    "dns": ("metalwright.cli.dns:dns", "How names are answered."),
    "dhcp-option": ("metalwright.cli.dhcp_option:dhcp_option", "What DHCP tells beside what follows by itself."),
    "network": ("metalwright.cli.network:network", "What serves DHCP and DNS (on the controller's host)."),
    "script": ("metalwright.cli.script:script", "Programs that machines run: tests, commissioning, release."),
    "operation": ("metalwright.cli.operation:operation", "What is going on: list, wait, abort."),
    "explain": ("metalwright.cli.explain:explain", "Where a machine stands, why, and every way out."),
    "timeline": ("metalwright.cli.timeline:timeline", "Where the time of a machine's operation went."),
    "event": ("metalwright.cli.event:event", "The event log."),
    "webhook": ("metalwright.cli.webhook:webhook", "URLs to which events are posted."),
    "token": ("metalwright.cli.token:token", "Access tokens of the API (on the controller's host)."),
    "sim": ("metalwright.sim.cli:sim", "A fleet of pretend machines, to size a controller and to test it."),
    "lab": ("metalwright.lab.cli:lab", "A rack of virtual machines on this host."),
}

EPILOG = (
    "Commands find the controller by METALWRIGHT_URL, METALWRIGHT_TOKEN and METALWRIGHT_CA_PATH, or by the file that "
    "'metalwright init' wrote."
)


@click.group(cls=LazyGroup, lazy=COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="metalwright")
def root() -> None:
    """Metal as a service for people who live in Ansible."""
