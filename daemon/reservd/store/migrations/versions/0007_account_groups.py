"""What the accounts are that holds are on; of those of before it is told when their modes are paid from them still."""

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
