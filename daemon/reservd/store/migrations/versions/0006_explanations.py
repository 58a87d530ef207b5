"""What the check was made of that led to an event."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; events of before have none."""
    op.add_column("events", sa.Column("explanation", sa.Text))
