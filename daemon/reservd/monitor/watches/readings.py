"""The readings of one cycle, and which of them modes may believe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from reservd.config.accounts import Holding
from reservd.errors import CallError
from reservd.monitor.sources.table import Found, Place, Table
from reservd.reserve.equity import BelievedEquity, believe_equity, observe_equity
from reservd.reserve.models import Observation, ReserveSnapshot
from reservd.reserve.policy import Missing, ReservePolicy, why_not_current
from reservd.reserve.readings import AccountFailure, Balance, Equity
from reservd.reserve.state import Instant

if TYPE_CHECKING:
    from reservd.monitor.watches.sharing import JointReadings

EquityPlace = tuple[str, str]
"""The name of an equity source, and the key that it is asked for."""
Places = Sequence[tuple[str, Place]]
"""Where the balances of a mode are read: the source of each, and the place in it."""


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """The readings of one cycle for modes with the same equity, and the ages that they accept.

    Attributes:
        balances: By source.
        equity: The reading of the equity.
        now: The time of the check.
        earliest: Observations before this are not believed.
        latest: Observations after this are not believed.
        current: Whether all balances are known to be within that time, so that each need not be tested.
        believed: The equity as far as it is believed.
        joint: The readings of all modes that share accounts with the mode; None if it shares none.
    """

    balances: Mapping[str, Table]
    equity: Equity | CallError
    now: Instant
    earliest: datetime
    latest: datetime
    current: bool
    believed: BelievedEquity
    joint: "JointReadings | None" = None

    def of(self, places: Places, holdings: Sequence[Holding]) -> tuple[Sequence[Balance], Sequence[Missing]]:
        """Return the balances at these places that may be believed, and the reasons why the others may not."""
        tables, current = self.balances, self.current
        balances: list[Balance] = []
        for source, place in places:
            value = tables[source].get(place)
            if type(value) is Balance and (current or self._is_current(value)):
                balances.append(value)
        if len(balances) == len(places):
            return balances, ()
        return balances, self._missing(places, holdings)

    def _missing(self, places: Places, holdings: Sequence[Holding]) -> list[Missing]:
        missing: list[Missing] = []
        for (source, place), holding in zip(places, holdings, strict=True):
            value = self.balances[source].get(place)
            if not isinstance(value, Balance):
                # A failure without an asset is one of the whole account.
                why = value if value is not None else self.balances[source].get((place[0], ""))
                problem = why_missing(holding.asset, why)
            elif self._is_current(value):
                continue
            else:
                limit = self.latest - self.now.wall
                problem = why_not_current(f"{holding.asset} is dated", value.observed_at, limit)
            missing.append(Missing(f"{holding.label}: {problem}", holding.non_negative))
        return missing

    def _is_current(self, balance: Balance) -> bool:
        return self.earliest <= balance.observed_at <= self.latest

    def renew(self, snapshot: ReserveSnapshot, places: Places) -> ReserveSnapshot:
        """Return a snapshot with the times of these readings, which have the same amounts at the same places."""
        found = [self.balances[source].get(place) for source, place in places]
        balances = [each for each in found if isinstance(each, Balance)]
        times = [each.observed_at for each in (self.equity, *balances) if isinstance(each, Equity | Balance)]
        return snapshot._replace(
            timestamp=self.now.wall,
            observed_at=min(times, default=None),
            equity_seen=observe_equity(self.equity) if isinstance(self.equity, Equity) else None,
            seen=tuple([Observation(each.observed_at, each.block) for each in balances]),
        )

    def repeat(self, before: "Readings", places: Places) -> bool:
        """Return whether these are the very balances of an earlier check."""
        sources = self.balances if self.joint is not None else [source for source, _ in places]
        return all(self.balances[source] is before.balances.get(source) for source in sources)


def believe_readings(
    tables: Mapping[str, Table],
    place: EquityPlace,
    equity: Equity | CallError,
    policy: ReservePolicy,
    now: Instant,
    joint: "JointReadings | None" = None,
) -> Readings:
    """Return the readings for modes, and which of them they may believe.

    Args:
        tables: The readings of their balance sources.
        place: Where their equity is read.
        equity: The reading of that.
        policy: The policy of one of the modes; all have the same currency, and the same limits on age and skew.
        now: The time of the check.
        joint: The readings of all modes that share accounts with them; None if they share none.
    """
    earliest, latest = now.wall - policy.max_staleness, now.wall + policy.max_staleness
    believed = believe_equity(equity_or_missing(place, equity), policy, now.wall)
    if joint is not None:
        return Readings(tables, equity, now, earliest, latest, current=False, believed=believed, joint=joint)
    # The times of whole tables are tested once, so that each balance need not be.
    start, end = believed.within or (earliest, latest)
    start, end = max(start, earliest), min(end, latest)
    current = all([table.is_within(start, end) for table in tables.values()])  # noqa: C419  # half the time
    if current:
        believed = believed.beside_any()
    return Readings(tables, equity, now, earliest, latest, current, believed)


class GroupRecord:
    """What the modes of one group share, so that a cycle writes nothing to modes that it skips.

    Attributes:
        readings: The last readings that left modes unchanged; None when no mode was skipped.
        awake: The indexes in the group of the modes to check next time whatever the readings.
    """

    __slots__ = ("awake", "readings")

    def __init__(self, awake: set[int]) -> None:
        self.readings: Readings | None = None
        self.awake = awake


def equity_or_missing(place: EquityPlace, equity: Equity | CallError) -> Equity | Missing:
    """Return an equity that was read, or what is missing."""
    return Missing(f"{place[0]}: {equity}") if isinstance(equity, CallError) else equity


def why_missing(asset: str, value: Found | None) -> str:
    """Return why there is no balance of an asset, from what was found instead."""
    match value:
        case None:
            return f"{asset} is missing"
        case AccountFailure():
            return f"{value.reason}: {value.detail}" if value.detail else str(value.reason)
        case _:
            return str(value)
