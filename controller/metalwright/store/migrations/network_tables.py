# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the network in the first schema (``versions/0001_the_first_schema.py``)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def create() -> None:
    """Make VLANs, subnets, ranges, reservations, leases, domains, records, resolver."""
    op.create_table(
        "vlan",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("vid", sa.Integer(), nullable=False),
        sa.Column("mtu", sa.Integer(), nullable=True),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("rack", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vlan")),
        sa.UniqueConstraint("name", name=op.f("uq_vlan_name")),
        sa.UniqueConstraint("rack", "vid", name=op.f("uq_vlan_rack_vid")),
    )
    op.create_table(
        "subnet",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("cidr", sa.String(length=43), nullable=False),
        sa.Column("gateway", sa.String(length=45), nullable=True),
        sa.Column("dns_servers", sa.JSON(), nullable=False),
        sa.Column("ntp_servers", sa.JSON(), nullable=False),
        sa.Column("search", sa.JSON(), nullable=False),
        sa.Column("domain", sa.String(length=253), nullable=True),
        sa.Column("dhcp", sa.Boolean(), nullable=False),
        sa.Column("enlist", sa.Boolean(), nullable=False),
        sa.Column("relays", sa.JSON(), nullable=False),
        sa.Column("vlan_id", sa.String(length=16), nullable=True),
        sa.Column("rack", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["vlan_id"], ["vlan.id"], name=op.f("fk_subnet_vlan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subnet")),
        sa.UniqueConstraint("cidr", name=op.f("uq_subnet_cidr")),
        sa.UniqueConstraint("name", name=op.f("uq_subnet_name")),
    )
    op.create_index(op.f("ix_subnet_vlan_id"), "subnet", ["vlan_id"], unique=False)
    op.create_table(
        "ip_range",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("subnet_id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("start", sa.String(length=45), nullable=False),
        sa.Column("end", sa.String(length=45), nullable=False),
        sa.Column("comment", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("fk_ip_range_subnet_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ip_range")),
        sa.UniqueConstraint("end", name=op.f("uq_ip_range_end")),
        sa.UniqueConstraint("start", name=op.f("uq_ip_range_start")),
    )
    op.create_index(op.f("ix_ip_range_subnet_id"), "ip_range", ["subnet_id"], unique=False)
    op.create_table(
        "reservation",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("subnet_id", sa.String(length=16), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=True),
        sa.Column("domain", sa.String(length=253), nullable=True),
        sa.Column("comment", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("fk_reservation_subnet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservation")),
        sa.UniqueConstraint("address", name=op.f("uq_reservation_address")),
        sa.UniqueConstraint("subnet_id", "mac", name=op.f("uq_reservation_subnet_id_mac")),
    )
    op.create_index(op.f("ix_reservation_mac"), "reservation", ["mac"], unique=False)
    op.create_index(op.f("ix_reservation_name"), "reservation", ["name"], unique=False)
    op.create_table(
        "lease",
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_lease")),
    )
    op.create_index(op.f("ix_lease_mac"), "lease", ["mac"], unique=False)
    op.create_table(
        "domain",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("forward_to", sa.JSON(), nullable=False),
        sa.Column("ttl", sa.Integer(), nullable=True),
        sa.Column("default", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domain")),
        sa.UniqueConstraint("name", name=op.f("uq_domain_name")),
    )
    op.create_table(
        "record",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("domain_id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("ttl", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_record_domain_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record")),
    )
    op.create_index(op.f("ix_record_domain_id"), "record", ["domain_id"], unique=False)
    op.create_index(op.f("ix_record_name"), "record", ["name"], unique=False)
    op.create_table(
        "resolver",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("forwarders", sa.JSON(), nullable=True),
        sa.Column("query_from", sa.JSON(), nullable=True),
        sa.Column("recurse_from", sa.JSON(), nullable=True),
        sa.Column("ttl", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resolver")),
    )


def create_options() -> None:
    """Make DHCP options; the machines they refer to are there."""
    op.create_table(
        "dhcp_option",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("subnet_id", sa.String(length=16), nullable=True),
        sa.Column("machine_id", sa.String(length=16), nullable=True),
        sa.Column("reservation_id", sa.String(length=16), nullable=True),
        sa.Column("family", sa.Integer(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["machine_id"], ["machine.id"], name=op.f("fk_dhcp_option_machine_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["reservation_id"], ["reservation.id"], name=op.f("fk_dhcp_option_reservation_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("fk_dhcp_option_subnet_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dhcp_option")),
        sa.UniqueConstraint("machine_id", "family", "code", name=op.f("uq_dhcp_option_machine_id_family_code")),
        sa.UniqueConstraint("reservation_id", "family", "code", name=op.f("uq_dhcp_option_reservation_id_family_code")),
        sa.UniqueConstraint("subnet_id", "family", "code", name=op.f("uq_dhcp_option_subnet_id_family_code")),
    )


def drop_options() -> None:
    """Take DHCP options back."""
    op.drop_table("dhcp_option")


def create_addresses() -> None:
    """Make the addresses of machines' declared networks."""
    op.create_table(
        "interface_address",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("machine_id", sa.String(length=16), nullable=False),
        sa.Column("interface", sa.String(length=15), nullable=False),
        sa.Column("subnet_id", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["machine_id"], ["machine.id"], name=op.f("fk_interface_address_machine_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("fk_interface_address_subnet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interface_address")),
        sa.UniqueConstraint("address", name=op.f("uq_interface_address_address")),
    )
    op.create_index(op.f("ix_interface_address_machine_id"), "interface_address", ["machine_id"], unique=False)
    op.create_index(op.f("ix_interface_address_subnet_id"), "interface_address", ["subnet_id"], unique=False)


def drop_addresses() -> None:
    """Take those addresses back."""
    op.drop_table("interface_address")


def drop() -> None:
    """Take the rest back."""
    for name in ("resolver", "record", "domain", "lease", "reservation", "ip_range", "subnet", "vlan"):
        op.drop_table(name)
