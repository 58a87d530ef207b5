"""Operators' orders, kept with their outcomes; those about refills are moved here."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table, and move what waits in the one that it stands in for."""
    op.create_table(
        "orders",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("subject", sa.String(16), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("target", sa.String(100), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("amount", sa.Text),
        sa.Column("block", sa.BigInteger),
        sa.Column("paid_at", sa.BigInteger),
        sa.Column("answered_at", sa.BigInteger),
        sa.Column("refusal", sa.Text),
    )
    op.create_index("orders_by_target", "orders", ["target", "asked_at"])
    op.create_index("orders_by_answer", "orders", ["answered_at"])
    op.execute(
        "INSERT INTO orders (id, subject, action, target, reason, asked_at, asked_by, amount) "
        "SELECT id, 'replenishment', action, target, reason, asked_at, asked_by, amount FROM replenishment_orders"
    )
    op.drop_table("replenishment_orders")
