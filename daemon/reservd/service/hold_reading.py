"""The book of holds as the store has it: what counts for a decision of now."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from operator import itemgetter

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.reserve.hold_book import HoldBook
from reservd.reserve.holds import CLOCKS_DIFFER_BY
from reservd.store.account_groups import load_accounts
from reservd.store.holds import (
    last_position,
    load_accepted,
    load_levels,
    load_payouts,
    load_shown,
    readable,
    unreadable,
)

log = structlog.get_logger(__name__)


async def read_accepted(
    connection: AsyncConnection,
    book: HoldBook,
    periods: Mapping[str, timedelta],
    currencies: Mapping[str, str],
    now: datetime,
) -> None:
    """Read what counts for the limits of modes within their periods.

    Args:
        connection: To the store.
        book: Takes it in.
        periods: Of the modes that have limits.
        currencies: The share class of each mode.
        now: The time that limits go by.
    """
    book.last_position = await last_position(connection)
    for mode, period in periods.items():
        accepted = await load_accepted(connection, mode, currencies[mode], now - period)
        # By a clock that was ahead, some was accepted later than now.
        counted = [(each.position, each.amount, min(each.decided_at, now)) for each in readable(accepted)]
        book.load_accepted(mode, sorted(counted, key=itemgetter(2)))
        if unreadable(accepted):
            book.doubt_accepted(mode, now)


async def read_shown(connection: AsyncConnection, book: HoldBook, since: datetime) -> None:
    """Read what is open, or ended after then, so that readings may show it still; after what counts for limits."""
    book.places.load(await load_accounts(connection))
    shown = await load_shown(connection, since)
    book.load(readable(shown))
    for each in unreadable(shown):
        log.error("withdrawal.unreadable", mode=each.mode, withdrawal_id=each.id)
        book.places.leave_out(each)


async def read_payouts(
    connection: AsyncConnection, book: HoldBook, currencies: Mapping[str, str], counted_from: datetime | None
) -> None:
    """Read what was paid since arrivals are counted, if they are, and what they are counted from."""
    if counted_from is not None:
        paid = await load_payouts(connection, counted_from - CLOCKS_DIFFER_BY)
        book.load_payouts(each for each in paid if each.currency == currencies.get(each.mode))
    book.load_levels(await load_levels(connection))
