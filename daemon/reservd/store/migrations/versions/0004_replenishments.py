"""Requests for refills, their changes, and what operators decide about them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "replenishments",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("mode", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("replenishments_by_mode", "replenishments", ["mode", "requested_at"])
    op.create_index("replenishments_by_time", "replenishments", ["requested_at"])
    op.create_index("replenishments_by_end", "replenishments", ["ended_at"])
    op.create_table(
        "replenishment_changes",
        sa.Column("mode", sa.String(100), primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("replenishment_id", sa.String(64), nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
    )
    op.create_index("replenishment_changes_by_id", "replenishment_changes", ["replenishment_id"])
    op.create_table(
        "replenishment_orders",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("target", sa.String(100), nullable=False),
        sa.Column("amount", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
    )
