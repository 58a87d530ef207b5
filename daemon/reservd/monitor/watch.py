"""One mode under watch: from readings to a snapshot, and what was made of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reservd.config.accounts import Holding
from reservd.config.mode import ModeConfig
from reservd.errors import CallError
from reservd.monitor.readers import Found, Place, Table
from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.policy import Missing, is_current, take_snapshot
from reservd.reserve.readings import AccountFailure, Balance, Equity
from reservd.reserve.tracker import Instant, Step, TrackerState, advance

EquityPlace = tuple[str, str]
"""The name of an equity source, and what it is asked for."""


class Readings(NamedTuple):
    """What one cycle read."""

    balances: Mapping[str, Table]
    """By source."""
    equities: Mapping[EquityPlace, Equity | CallError]


class ModeWatch:
    """The memory of one mode between two checks.

    Attributes:
        config: What its owner decided.
        holdings: The accounts that are its reserve.
        equity: Where its equity is read.
    """

    __slots__ = (
        "_inputs",
        "_latest",
        "_places",
        "_policy",
        "_quiet",
        "_refreshed",
        "_state",
        "config",
        "equity",
        "holdings",
    )

    def __init__(
        self, config: ModeConfig, holdings: tuple[Holding, ...], equity: EquityPlace, state: TrackerState
    ) -> None:
        self.config = config
        self.holdings = holdings
        self.equity = equity
        self._state = state
        self._latest: ReserveSnapshot | None = None
        self._refreshed: tuple[Instant, datetime] | None = None
        self._policy = config.policy
        self._places: tuple[tuple[str, Place], ...] = tuple((h.source, (h.account, h.asset)) for h in holdings)
        self._inputs: list[Decimal | None] = []
        self._quiet = False

    @property
    def state(self) -> TrackerState:
        """What is confirmed."""
        if self._refreshed is None:
            return self._state
        return self._state._replace(good_at=self._refreshed[0].monotonic, good=self.latest)

    @property
    def latest(self) -> ReserveSnapshot | None:
        """What the last check found, conclusive or not; None before the first."""
        if self._refreshed is None or self._latest is None:
            return self._latest
        now, observed_at = self._refreshed
        return replace(self._latest, timestamp=now.wall, observed_at=observed_at)

    def observe(self, readings: Readings, now: Instant) -> ReserveSnapshot | None:
        """Return what the readings say of this mode, or None when nothing is new.

        Nothing is new when equity and every balance are as they were and nothing waits to be
        confirmed, doubted or repeated: the same snapshot would lead nowhere. Then only its age
        changes, which is noted and costs next to nothing.
        """
        equity = readings.equities[self.equity]
        inputs: list[Decimal | None] = [None]
        oldest = now.wall
        if type(equity) is Equity and equity.complete:
            inputs[0] = equity.amount
            oldest = equity.observed_at
        found: list[Found | None] = []
        for source, place in self._places:
            value = readings.balances[source].get(place)
            if type(value) is Balance:
                inputs.append(value.amount)
                if value.observed_at < oldest:  # noqa: PLR1730  # min() costs twice as much, 10,000 times a cycle
                    oldest = value.observed_at
            else:
                inputs.append(None)
            found.append(value)
        if self._quiet and inputs == self._inputs and is_current(oldest, now.wall, self._policy):
            self._refreshed = (now, oldest)
            return None
        self._inputs = inputs
        return self._take(equity, found, readings, now)

    def _take(
        self, equity: Equity | CallError, found: list[Found | None], readings: Readings, now: Instant
    ) -> ReserveSnapshot:
        balances: list[Balance] = []
        missing: list[Missing] = []
        for holding, value in zip(self.holdings, found, strict=True):
            if type(value) is Balance and is_current(value.observed_at, now.wall, self._policy):
                balances.append(value)
            else:
                # A failure without an asset is one of the whole account.
                why = value if value is not None else readings.balances[holding.source].get((holding.account, ""))
                missing.append(Missing(f"{holding.label}: {_why(holding, why)}", holding.non_negative))
        known = Missing(f"{self.equity[0]}: {equity}") if isinstance(equity, CallError) else equity
        return take_snapshot(self._policy, known, balances, missing, now=now.wall)

    def advance(self, snapshot: ReserveSnapshot, now: Instant, new_id: Callable[[], str]) -> Step:
        """Take a snapshot into the memory and return what it led to."""
        step = advance(self.state, snapshot, self._policy, now, new_id)
        self._state = step.state
        self._latest = snapshot
        self._refreshed = None
        self._quiet = (
            step.conclusive
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
