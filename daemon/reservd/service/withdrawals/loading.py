"""Loads the holds that still matter from the store into the book."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from operator import itemgetter

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.reserve.holds import CLOCKS_DIFFER_BY
from reservd.reserve.holds.book import HoldBook
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
    """Load the accepted withdrawals that count towards the limits of modes.

    Args:
        connection: To the store.
        book: Takes them.
        periods: The period of each mode that has a limit.
        currencies: The share class of each mode.
        now: The time from which the periods are measured.
    """
    book.last_position = await last_position(connection)
    for mode, period in periods.items():
        accepted = await load_accepted(connection, mode, currencies[mode], now - period)
        # If the clock was ahead, a withdrawal may have been accepted later than now.
        counted = [(each.position, each.amount, min(each.decided_at, now)) for each in readable(accepted)]
        book.load_accepted(mode, sorted(counted, key=itemgetter(2)))
        if unreadable(accepted):
            book.doubt_accepted(mode, now)


async def read_shown(connection: AsyncConnection, book: HoldBook, since: datetime) -> None:
    """Load the holds that are open, or ended after `since` and so may be in readings. Call after `read_accepted`."""
    book.places.load(await load_accounts(connection))
    shown = await load_shown(connection, since)
    book.load(readable(shown))
    for each in unreadable(shown):
        log.error("withdrawal.unreadable", mode=each.mode, withdrawal_id=each.id)
        book.places.leave_out(each)


async def read_payouts(
    connection: AsyncConnection, book: HoldBook, currencies: Mapping[str, str], counted_from: datetime | None
) -> None:
    """Load the payouts since arrivals have been counted, if they are, and the baselines that they are counted from."""
    if counted_from is not None:
        paid = await load_payouts(connection, counted_from - CLOCKS_DIFFER_BY)
        book.load_payouts(each for each in paid if each.currency == currencies.get(each.mode))
    book.load_levels(await load_levels(connection))
