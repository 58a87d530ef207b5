"""What must survive: the owner, the modes' states, the outbox and the history."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_PENDING = sa.text("state = 'pending'")
_DEAD = sa.text("state = 'dead'")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "owner",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(200)),
        sa.Column("heartbeat", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "mode_states",
        sa.Column("mode", sa.String(100), primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("mode", sa.String(100), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("reminder", sa.Boolean, nullable=False),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
    )
    op.create_index("events_by_mode", "events", ["mode", "position"])
    op.create_index("events_by_time", "events", ["decided_at"])
    op.create_table(
        "deliveries",
        sa.Column("sink", sa.String(100), primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("mode", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("tried_at", sa.BigInteger),
        sa.Column("reason", sa.String(32)),
        sa.Column("detail", sa.Text),
    )
    op.create_index(
        "deliveries_pending",
        "deliveries",
        ["sink", "mode", "position"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index("deliveries_dead", "deliveries", ["position"], sqlite_where=_DEAD, postgresql_where=_DEAD)
    op.create_table(
        "snapshots",
        sa.Column("mode", sa.String(100), primary_key=True),
        sa.Column("taken_at", sa.BigInteger, primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("snapshot", sa.Text, nullable=False),
    )
    op.create_index("snapshots_by_time", "snapshots", ["taken_at"])
