"""The accounts that holds are on. For earlier holds they are known if their modes are still paid from them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "account_groups",
        sa.Column("account_group", sa.String(200), primary_key=True),
        sa.Column("accounts", sa.Text, nullable=False),
    )
