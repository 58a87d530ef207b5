"""One mode under watch: from readings to a snapshot, and what was made of it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reservd.config.accounts import Holding
from reservd.config.mode import ModeConfig
from reservd.errors import CallError
from reservd.monitor.readers import Found, Place, Table
from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.policy import Missing, take_snapshot
from reservd.reserve.readings import AccountFailure, Balance, Equity
from reservd.reserve.tracker import Instant, Step, TrackerState, advance

EquityPlace = tuple[str, str]
"""The name of an equity source, and what it is asked for."""


class Readings(NamedTuple):
    """What one cycle read for modes that share an equity, and how old it may be."""

    balances: Mapping[str, Table]
    """By source."""
    equity: Equity | CallError
    now: Instant
    earliest: datetime
    latest: datetime
    """What was observed before `earliest` or after `latest` is not believed."""


class ModeWatch:
    """The memory of one mode between two checks.

    Attributes:
        mode: Its name.
        config: What its owner decided.
        holdings: The accounts that are its reserve.
        equity: Where its equity is read.
    """

    __slots__ = (
        "_amounts",
        "_equity_amount",
        "_latest",
        "_observed",
        "_places",
        "_policy",
        "_quiet",
        "_refreshed",
        "_state",
        "config",
        "equity",
        "holdings",
        "mode",
    )

    def __init__(
        self, config: ModeConfig, holdings: tuple[Holding, ...], equity: EquityPlace, state: TrackerState
    ) -> None:
        self.config = config
        self.mode = config.mode
        self.holdings = holdings
        self.equity = equity
        self._state = state
        self._latest: ReserveSnapshot | None = None
        self._observed: tuple[Readings, ReserveSnapshot] | None = None
        self._refreshed: Readings | None = None
        self._policy = config.policy
        self._places: tuple[tuple[str, Place], ...] = tuple((h.source, (h.account, h.asset)) for h in holdings)
        self._amounts: list[Decimal] = []
        self._equity_amount: Decimal | None = None
        self._quiet = False

    def inherit(self, before: "ModeWatch") -> None:
        """Take over the memory of the mode's watch under its last configuration, if it is of the same money."""
        same = (before.holdings, before.equity, before.config.share_class)
        if same == (self.holdings, self.equity, self.config.share_class):
            self._state, self._latest = before.state, before.latest

    @property
    def state(self) -> TrackerState:
        """What is confirmed."""
        if self._refreshed is None:
            return self._state
        return self._state._replace(good_at=self._refreshed.now.monotonic, good=self.latest)

    @property
    def latest(self) -> ReserveSnapshot | None:
        """What the last check found, conclusive or not; None before the first."""
        readings = self._refreshed
        if readings is None or self._latest is None:
            return self._latest
        found = [readings.equity, *(readings.balances[source].get(place) for source, place in self._places)]
        oldest = min((value.observed_at for value in found if isinstance(value, Equity | Balance)), default=None)
        return self._latest._replace(timestamp=readings.now.wall, observed_at=oldest)

    def is_unchanged(self, readings: Readings) -> bool:
        """Whether the readings say nothing new of this mode; then only its age changes, which is noted.

        Nothing is new when equity and every balance are as they were and nothing waits to be
        confirmed, doubted or repeated: the same snapshot would lead nowhere. Most modes are so in
        most cycles, so this is what a cycle costs.
        """
        tables, equity, _, earliest, latest = readings
        if (
            not self._quiet
            or type(equity) is not Equity
            or equity.amount != self._equity_amount
            or not equity.complete
            or not earliest <= equity.observed_at <= latest
        ):
            return False
        for (source, place), amount in zip(self._places, self._amounts, strict=True):
            value = tables[source].get(place)
            if type(value) is not Balance or value.amount != amount or not earliest <= value.observed_at <= latest:
                return False
        self._refreshed = readings
        return True

    def observe(self, readings: Readings) -> ReserveSnapshot:
        """Return what the readings say of this mode."""
        tables, equity, now, earliest, latest = readings
        balances: list[Balance] = []
        missing: list[Missing] = []
        for index, (source, place) in enumerate(self._places):
            value = tables[source].get(place)
            if type(value) is Balance and earliest <= value.observed_at <= latest:
                balances.append(value)
            else:
                # A failure without an asset is one of the whole account.
                why = value if value is not None else tables[source].get((place[0], ""))
                holding = self.holdings[index]
                missing.append(Missing(f"{holding.label}: {_why(holding, why)}", holding.non_negative))
        self._amounts = [balance.amount for balance in balances]
        if isinstance(equity, CallError):
            self._equity_amount = None
            known: Equity | Missing = Missing(f"{self.equity[0]}: {equity}")
        else:
            self._equity_amount = equity.amount
            known = equity
        snapshot = take_snapshot(self._policy, known, balances, missing, now=now.wall)
        self._observed = readings, snapshot
        return snapshot

    def has_seen(self, readings: Readings) -> bool:
        """Whether these are the very readings of the last check: two checks may have joined one.

        A reading counts once; it must neither agree with itself nor be two checks in a row.
        """
        if self._observed is None:
            return False
        last = self._observed[0]
        return readings.equity is last.equity and all(
            readings.balances[source] is last.balances[source] for source, _ in self._places
        )

    def advance(self, snapshot: ReserveSnapshot, now: Instant, new_id: Callable[[], str]) -> Step:
        """Take a snapshot into the memory and return what it led to."""
        state = self._state if self._refreshed is None else self.state
        step = advance(state, snapshot, self._policy, now, new_id)
        self._state = step.state
        self._latest = snapshot
        self._refreshed = None
        self._quiet = (
            self._observed is not None
            and snapshot is self._observed[1]
            and step.conclusive
            and step.state.confirmed is ReserveStatus.ADEQUATE
            and snapshot.bounds is None
            and not step.state.low_streak
            and step.state.doubted is None
        )
        return step


def _why(holding: Holding, value: Found | None) -> str:
    match value:
        case None:
            return f"{holding.asset} is missing"
        case Balance():
            return f"{holding.asset} is of {value.observed_at.isoformat()}, too far from now to be believed"
        case AccountFailure():
            return f"{value.reason}: {value.detail}" if value.detail else str(value.reason)
        case _:
            return str(value)
