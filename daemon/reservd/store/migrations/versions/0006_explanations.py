"""The inputs of the check that led to an event."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; earlier events have none."""
    op.add_column("events", sa.Column("explanation", sa.Text))
