"""Holds of accepted withdrawals."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "holds",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False, unique=True),
        sa.Column("mode", sa.String(100), nullable=False),
        sa.Column("account_group", sa.String(200), nullable=False),
        sa.Column("currency", sa.String(100), nullable=False),
        sa.Column("amount", sa.Text, nullable=False),
        sa.Column("from_reserve", sa.Text, nullable=False),
        sa.Column("unwound", sa.Text, nullable=False),
        sa.Column("speed", sa.String(16), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.Column("overdue_at", sa.BigInteger, nullable=False),
        sa.Column("expected_at", sa.BigInteger),
        sa.Column("snapshot_at", sa.BigInteger),
        sa.Column("arrived", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("unwinding", sa.String(16), nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("paid_at", sa.BigInteger),
        sa.Column("block", sa.BigInteger),
    )
    op.create_index("holds_by_key", "holds", ["key", "mode"], unique=True)
    op.create_index("holds_by_mode", "holds", ["mode", "position"])
    op.create_index("holds_by_end", "holds", ["ended_at"])
    op.create_index("holds_by_time", "holds", ["decided_at"])
    op.create_table(
        "hold_levels",
        sa.Column("account_group", sa.String(200), primary_key=True),
        sa.Column("balance", sa.Text, nullable=False),
        sa.Column("observed_at", sa.BigInteger, nullable=False),
        sa.Column("block", sa.BigInteger),
    )
