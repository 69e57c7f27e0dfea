# SPDX-License-Identifier: GPL-3.0-or-later
"""The first schema."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from metalwright.store.migrations import network_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "allocation",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("constraints", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allocation")),
        sa.UniqueConstraint("name", name=op.f("uq_allocation_name")),
    )
    op.create_table(
        "api_token",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("name", name=op.f("uq_api_token_name")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_token_token_hash")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=48), nullable=False),
        sa.Column("message", sa.String(length=1024), nullable=False),
        sa.Column("machine_id", sa.String(length=16), nullable=True),
        sa.Column("machine_name", sa.String(length=63), nullable=True),
        sa.Column("operation_id", sa.String(length=16), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_event_kind"), "event", ["kind"], unique=False)
    op.create_index("ix_event_machine", "event", ["machine_id", "id"], unique=False)
    op.create_index("ix_event_operation", "event", ["operation_id", "id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(Path(__file__).with_name("0001_events_in_flight.sql").read_text(encoding="utf-8"))
    op.create_table(
        "follower",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_follower")),
    )
    op.create_table(
        "image",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=127), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=True),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.Column("arch", sa.String(length=16), nullable=False),
        sa.Column("firmware", sa.JSON(), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=True),
        sa.Column("source", sa.String(length=2048), nullable=True),
        sa.Column("source_sha256", sa.String(length=64), nullable=True),
        sa.Column("content_sha256", sa.String(length=64), nullable=True),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=True),
        sa.Column("image_bytes", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("name", name=op.f("uq_image_name")),
    )
    op.create_index(op.f("ix_image_content_sha256"), "image", ["content_sha256"], unique=False)
    op.create_table(
        "key_mark",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_mark")),
    )
    op.create_table(
        "minding",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_minding")),
    )
    op.create_table(
        "pool",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("erase", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pool")),
    )
    op.create_table(
        "rule",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("condition", sa.String(length=1024), nullable=False),
        sa.Column("actions", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule")),
        sa.UniqueConstraint("name", name=op.f("uq_rule_name")),
    )
    op.create_table(
        "script",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("hardware", sa.String(length=1024), nullable=False),
        sa.Column("may_reboot", sa.Boolean(), nullable=False),
        sa.Column("destructive", sa.Boolean(), nullable=False),
        sa.Column("parallel", sa.Boolean(), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_script")),
        sa.UniqueConstraint("name", name=op.f("uq_script_name")),
    )
    op.create_index(op.f("ix_script_kind"), "script", ["kind"], unique=False)
    network_tables.create()
    op.create_table(
        "tally",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.String(length=255), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name=op.f("pk_tally")),
    )
    op.create_table(
        "webhook",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("verify_tls", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(length=1024), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("given_up", sa.Integer(), nullable=False),
        sa.Column("last_delivery_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
        sa.UniqueConstraint("name", name=op.f("uq_webhook_name")),
    )
    op.create_table(
        "machine",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("hostname", sa.String(length=63), nullable=True),
        sa.Column("held_hostname", sa.String(length=63), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("failed_from", sa.String(length=16), nullable=True),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.Column("former_state", sa.String(length=16), nullable=True),
        sa.Column("note", sa.String(length=1024), nullable=False),
        sa.Column("test_status", sa.String(length=12), nullable=True),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.Column("arch", sa.String(length=16), nullable=False),
        sa.Column("firmware", sa.String(length=8), nullable=True),
        sa.Column("pool", sa.String(length=63), nullable=False),
        sa.Column("zone", sa.String(length=63), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("system_uuid", sa.String(length=36), nullable=True),
        sa.Column("serial", sa.String(length=128), nullable=True),
        sa.Column("power_driver", sa.String(length=32), nullable=False),
        sa.Column("power_parameters", sa.Text(), nullable=False),
        sa.Column("power_lane", sa.String(length=255), nullable=True),
        sa.Column("power_state", sa.String(length=8), nullable=False),
        sa.Column("power_checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("power_poll_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("power_failure", sa.JSON(), nullable=True),
        sa.Column("hardware", sa.JSON(), nullable=True),
        sa.Column("cpu_count", sa.Integer(), nullable=True),
        sa.Column("memory_mib", sa.Integer(), nullable=True),
        sa.Column("disk_gib", sa.Integer(), nullable=True),
        sa.Column("rules_set", sa.JSON(), nullable=False),
        sa.Column("allocation_id", sa.String(length=16), nullable=True),
        sa.Column("deployed", sa.JSON(), nullable=True),
        sa.Column("host_keys", sa.JSON(), nullable=False),
        sa.Column("rescue", sa.JSON(), nullable=True),
        sa.Column("operation_id", sa.String(length=16), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("network", sa.JSON(), nullable=False),
        sa.Column("named", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["allocation_id"], ["allocation.id"], name=op.f("fk_machine_allocation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine")),
        sa.UniqueConstraint("hostname", name=op.f("uq_machine_hostname")),
        sa.UniqueConstraint("held_hostname", name=op.f("uq_machine_held_hostname")),
        sa.UniqueConstraint("name", name=op.f("uq_machine_name")),
        sa.UniqueConstraint("operation_id", name=op.f("uq_machine_operation_id")),
    )
    op.create_index(op.f("ix_machine_allocation_id"), "machine", ["allocation_id"], unique=False)
    op.create_index(op.f("ix_machine_power_lane"), "machine", ["power_lane"], unique=False)
    op.create_index(op.f("ix_machine_power_poll_at"), "machine", ["power_poll_at"], unique=False)
    op.create_index(op.f("ix_machine_state"), "machine", ["state"], unique=False)
    op.create_index(op.f("ix_machine_system_uuid"), "machine", ["system_uuid"], unique=False)
    network_tables.create_options()
    network_tables.create_addresses()
    op.create_table(
        "interface",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("machine_id", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=True),
        sa.Column("boot", sa.Boolean(), nullable=False),
        sa.Column("subnet_id", sa.String(length=16), nullable=True),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.ForeignKeyConstraint(["machine_id"], ["machine.id"], name=op.f("fk_interface_machine_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnet.id"], name=op.f("fk_interface_subnet_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interface")),
        sa.UniqueConstraint("address", name=op.f("uq_interface_address")),
        sa.UniqueConstraint("mac", name=op.f("uq_interface_mac")),
    )
    op.create_index(op.f("ix_interface_machine_id"), "interface", ["machine_id"], unique=False)
    op.create_table(
        "operation",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("machine_id", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=True),
        sa.Column("message", sa.String(length=1024), nullable=False),
        sa.Column("last_seen", sa.String(length=1024), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("token_expires", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next", sa.Text(), nullable=False),
        sa.Column("followed_by", sa.String(length=16), nullable=True),
        sa.Column("failure", sa.JSON(), nullable=True),
        sa.Column("playbook_run", sa.JSON(), nullable=True),
        sa.Column("requested_by", sa.String(length=63), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["machine_id"], ["machine.id"], name=op.f("fk_operation_machine_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_operation_token_hash")),
    )
    op.create_index(op.f("ix_operation_deadline"), "operation", ["deadline"], unique=False)
    op.create_index(op.f("ix_operation_machine_id"), "operation", ["machine_id"], unique=False)
    op.create_index(op.f("ix_operation_state"), "operation", ["state"], unique=False)
    op.create_table(
        "console_log",
        sa.Column("operation_id", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["operation_id"], ["operation.id"], name=op.f("fk_console_log_operation_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("operation_id", "source", name=op.f("pk_console_log")),
    )
    op.create_table(
        "script_run",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("operation_id", sa.String(length=16), nullable=True),
        sa.Column("machine_id", sa.String(length=16), nullable=False),
        sa.Column("script_name", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("parallel", sa.Boolean(), nullable=False),
        sa.Column("may_reboot", sa.Boolean(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("exit_status", sa.Integer(), nullable=True),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("runtime_seconds", sa.Double(), nullable=True),
        sa.Column("reboots", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["machine_id"], ["machine.id"], name=op.f("fk_script_run_machine_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["operation_id"], ["operation.id"], name=op.f("fk_script_run_operation_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_script_run")),
    )
    op.create_index("ix_script_run_history", "script_run", ["machine_id", "script_name", "created_at"], unique=False)
    op.create_index(op.f("ix_script_run_operation_id"), "script_run", ["operation_id"], unique=False)
    op.create_table(
        "task",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("machine_id", sa.String(length=16), nullable=True),
        sa.Column("operation_id", sa.String(length=16), nullable=True),
        sa.Column("phase", sa.String(length=16), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lane", sa.String(length=255), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("begun", sa.Boolean(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["machine_id"], ["machine.id"], name=op.f("fk_task_machine_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["operation_id"], ["operation.id"], name=op.f("fk_task_operation_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_task_claim", "task", ["state", "run_at"], unique=False)
    op.create_index(op.f("ix_task_lane"), "task", ["lane"], unique=False)
    op.create_index(op.f("ix_task_machine_id"), "task", ["machine_id"], unique=False)
    op.create_index(op.f("ix_task_operation_id"), "task", ["operation_id"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f("ix_task_operation_id"), table_name="task")
    op.drop_index(op.f("ix_task_machine_id"), table_name="task")
    op.drop_index(op.f("ix_task_lane"), table_name="task")
    op.drop_index("ix_task_claim", table_name="task")
    op.drop_table("task")
    op.drop_index(op.f("ix_script_run_operation_id"), table_name="script_run")
    op.drop_index("ix_script_run_history", table_name="script_run")
    op.drop_table("script_run")
    op.drop_table("console_log")
    op.drop_index(op.f("ix_operation_state"), table_name="operation")
    op.drop_index(op.f("ix_operation_machine_id"), table_name="operation")
    op.drop_index(op.f("ix_operation_deadline"), table_name="operation")
    op.drop_table("operation")
    op.drop_index(op.f("ix_interface_machine_id"), table_name="interface")
    op.drop_table("interface")
    op.drop_index(op.f("ix_machine_system_uuid"), table_name="machine")
    op.drop_index(op.f("ix_machine_state"), table_name="machine")
    op.drop_index(op.f("ix_machine_power_poll_at"), table_name="machine")
    op.drop_index(op.f("ix_machine_power_lane"), table_name="machine")
    op.drop_index(op.f("ix_machine_allocation_id"), table_name="machine")
    network_tables.drop_addresses()
    network_tables.drop_options()
    op.drop_table("machine")
    op.drop_table("webhook")
    op.drop_table("tally")
    network_tables.drop()
    op.drop_index(op.f("ix_script_kind"), table_name="script")
    op.drop_table("script")
    op.drop_table("rule")
    op.drop_table("pool")
    op.drop_table("minding")
    op.drop_table("key_mark")
    op.drop_index(op.f("ix_image_content_sha256"), table_name="image")
    op.drop_table("image")
    op.drop_table("follower")
    op.drop_index("ix_event_operation", table_name="event")
    op.drop_index("ix_event_machine", table_name="event")
    op.drop_index(op.f("ix_event_kind"), table_name="event")
    op.drop_table("event")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION metalwright_event_in_flight()")
    op.drop_table("api_token")
    op.drop_table("allocation")
