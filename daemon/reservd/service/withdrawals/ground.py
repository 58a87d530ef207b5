"""The basis of a decision about a withdrawal: the reserve, never assumed better than is certain."""

from collections.abc import Iterator
from decimal import Decimal

from reservd.config.mode import ModeConfig
from reservd.monitor.manager import ReserveManager
from reservd.monitor.watches.standing import Standing, told_by
from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.holds import GroupReading
from reservd.reserve.holds.book import HoldBook
from reservd.reserve.jumps import at_least
from reservd.reserve.models import ReserveStatus
from reservd.reserve.policy import is_current
from reservd.reserve.state import Instant
from reservd.reserve.withdrawal import Ground, worse

_UNKNOWN = Ground(ReserveStatus.UNKNOWN)


def find_ground(manager: ReserveManager, config: ModeConfig, book: HoldBook, now: Instant) -> Ground:
    """Return the basis of a decision.

    It is UNKNOWN without a snapshot within its maximum age, and while promises on the accounts cannot be read. While
    the newest snapshot is in doubt, the worse of it and the last believed one counts: the smaller available amount, and
    the larger target.
    """
    standing = manager.standing(config.mode)
    if standing is None:
        return _UNKNOWN
    snapshot = standing.snapshot
    status = worse(snapshot.status, standing.confirmed)
    if snapshot.observed_at is None or not is_current(snapshot.observed_at, now.wall, config.policy):
        status = ReserveStatus.UNKNOWN
    if status is ReserveStatus.UNKNOWN:
        return _UNKNOWN._replace(snapshot_at=snapshot.timestamp)
    group = manager.account_group(config.mode)
    if book.places.any_unreadable and book.places.in_doubt(group, manager.account_sharers(config.mode)):
        return _UNKNOWN._replace(snapshot_at=snapshot.timestamp)
    available: list[Decimal] = []
    targets: list[Decimal] = []
    for reading, target in _certain(standing):
        available.append(subtract(reading.balance, book.totals.held(group, reading)))
        targets.append(target)
    if not available:
        # Any amount meets a target of 0, but the amount is unknown.
        return _UNKNOWN._replace(snapshot_at=snapshot.timestamp)
    return Ground(status, min(available), max(targets), snapshot.timestamp)


def _certain(standing: Standing) -> Iterator[tuple[GroupReading, Decimal]]:
    """Yield each reading to rely on, or its certain minimum, with the target at that time."""
    snapshot = standing.snapshot
    least = at_least(snapshot)
    if standing.reading is not None and least is not None:
        # Of shared accounts, only the mode's part.
        yield standing.reading._replace(balance=add(least, snapshot.held)), snapshot.target_reserve or ZERO
    if standing.doubted and standing.good is not None:
        reading = told_by(standing.good)
        if reading is not None:
            yield reading, standing.good.target_reserve or ZERO
