"""What one cycle read for modes, and what of it they may believe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from reservd.config.accounts import Holding
from reservd.errors import CallError
from reservd.monitor.table import Found, Place, Table
from reservd.reserve.equity import BelievedEquity, observe_equity
from reservd.reserve.models import Observation, ReserveSnapshot
from reservd.reserve.policy import Missing
from reservd.reserve.readings import AccountFailure, Balance, Equity
from reservd.reserve.state import Instant

if TYPE_CHECKING:
    from reservd.monitor.sharing import JointReadings

EquityPlace = tuple[str, str]
"""The name of an equity source, and what it is asked for."""
Places = Sequence[tuple[str, Place]]
"""Where the balances of a mode are: the source of each, and the place there."""


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """What one cycle read for modes that share an equity, and how old it may be.

    Attributes:
        balances: By source.
        equity: What was read of the equity.
        now: The moment of the check.
        earliest: What was observed before this is not believed.
        latest: The same of what was observed after.
        believed: What the equity tells the modes.
        joint: What was read for all who share accounts with the mode; None where it shares none.
    """

    balances: Mapping[str, Table]
    equity: Equity | CallError
    now: Instant
    earliest: datetime
    latest: datetime
    believed: BelievedEquity
    joint: "JointReadings | None" = None

    def of(self, places: Places, holdings: Sequence[Holding]) -> tuple[list[Balance], list[Missing]]:
        """Return the balances of holdings, at these places, that may be believed, and why the others may not."""
        tables, earliest, latest = self.balances, self.earliest, self.latest
        balances: list[Balance] = []
        missing: list[Missing] = []
        for number, (source, place) in enumerate(places):
            value = tables[source].get(place)
            if type(value) is Balance and earliest <= value.observed_at <= latest:
                balances.append(value)
            else:
                # A failure without an asset is one of the whole account.
                why = value if value is not None else tables[source].get((place[0], ""))
                holding = holdings[number]
                missing.append(Missing(f"{holding.label}: {why_missing(holding.asset, why)}", holding.non_negative))
        return balances, missing

    def renew(self, snapshot: ReserveSnapshot, places: Places) -> ReserveSnapshot:
        """Return a snapshot as these readings show it, which found the same amounts at the same places."""
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
        """Whether they are the very balances of an earlier check."""
        sources = self.balances if self.joint is not None else [source for source, _ in places]
        return all(self.balances[source] is before.balances.get(source) for source in sources)


class GroupRecord:
    """What the modes of one group share, so that a cycle writes nothing to each mode that it leaves alone.

    Attributes:
        readings: The last readings that found modes as they were; None when none was left alone.
        awake: The modes, by their number in the group, to be checked next time whatever the readings say.
    """

    __slots__ = ("awake", "readings")

    def __init__(self, awake: set[int]) -> None:
        self.readings: Readings | None = None
        self.awake = awake


def equity_or_missing(place: EquityPlace, equity: Equity | CallError) -> Equity | Missing:
    """Return an equity that was read there, or what is missing."""
    return Missing(f"{place[0]}: {equity}") if isinstance(equity, CallError) else equity


def why_missing(asset: str, value: Found | None) -> str:
    """Return why what was found of an asset cannot be counted."""
    match value:
        case None:
            return f"{asset} is missing"
        case Balance():
            return f"{asset} is of {value.observed_at.isoformat()}, too far from now to be believed"
        case AccountFailure():
            return f"{value.reason}: {value.detail}" if value.detail else str(value.reason)
        case _:
            return str(value)
