"""The accounts of each group that has holds, needed once their modes are paid from other accounts."""

import json
from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.reserve.holds.places import Accounts
from reservd.reserve.identity import AccountKey
from reservd.store.statements import insert_new
from reservd.store.tables import account_groups

log = structlog.get_logger(__name__)


async def save_accounts(connection: AsyncConnection, accounts: Mapping[str, Accounts]) -> None:
    """Store the accounts of groups. The accounts of a stored group never change."""
    await insert_new(connection, account_groups, list(accounts.items()), _row)


async def load_accounts(connection: AsyncConnection) -> dict[str, Accounts]:
    """Return the accounts by group, including groups that no mode is paid from any more."""
    found: dict[str, Accounts] = {}
    for row in await connection.execute(select(account_groups)):
        try:
            found[row.account_group] = frozenset(AccountKey(*map(str, key)) for key in json.loads(row.accounts))
        except (ValueError, TypeError):
            log.error("account_group.unreadable", account_group=row.account_group)  # noqa: TRY400  # says it all
    return found


def _row(group: tuple[str, Accounts]) -> dict[str, Any]:
    name, accounts = group
    return {"account_group": name, "accounts": json.dumps(sorted(accounts))}
