"""One mode under watch: from readings to a snapshot, and what was made of it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, Protocol

from reservd.config.accounts import Holding
from reservd.config.mode import ModeConfig
from reservd.errors import CallError
from reservd.monitor.table import Found, Place, Table
from reservd.reserve.amounts import ZERO, add
from reservd.reserve.holds import GroupReading, read_group
from reservd.reserve.models import ADEQUATE, Observation, ReserveSnapshot, ReserveStatus
from reservd.reserve.policy import BelievedEquity, Missing, observe_equity, take_snapshot
from reservd.reserve.readings import AccountFailure, Balance, Equity
from reservd.reserve.tracker import Instant, Step, TrackerState, advance

if TYPE_CHECKING:
    from reservd.monitor.sharing import JointReadings, SharingGroup

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
    believed: BelievedEquity
    """What the equity tells the modes."""
    joint: "JointReadings | None" = None
    """What was read for all who share accounts with the mode; None where it shares none."""


class Holds(Protocol):
    """What is promised to accepted withdrawals."""

    def held(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        """Return what of these balances of a mode's accounts is promised."""

    def owed(self, mode: str, equity: Equity) -> Decimal:
        """Return what an equity that is not net of them still shows of a mode's accepted withdrawals."""

    def shows_paid(self, mode: str, balances: Sequence[Balance], equity: Equity | CallError) -> bool:
        """Return whether these readings still show what is paid: later ones of the same amounts mean more."""

    def regroup(self) -> None:
        """Hear that modes may share other accounts than before."""


class Standing(NamedTuple):
    """How a mode stands: what a decision about its reserve rests on."""

    confirmed: ReserveStatus
    snapshot: ReserveSnapshot
    """What the last check found."""
    reading: GroupReading | None
    """What the accounts held then, as far as they were read; None when nothing was."""
    doubted: bool
    """Whether an amount jumped and no second reading has agreed yet."""
    good: ReserveSnapshot | None
    """The last snapshot that was conclusive and is not doubted."""


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


class ModeWatch:
    """The memory of one mode between two checks.

    Attributes:
        mode: Its name.
        config: What its owner decided.
        holdings: The accounts that are its reserve.
        equity: Where its equity is read.
        places: The source, the account and the asset of each holding.
        number: Its number in its group.
        sharing: All who share accounts with it, and are checked with it; None where it shares none.
        replaced: Whether the mode is watched with another configuration meanwhile.
        followed_until: Before this moment, in monotonic seconds, no check need be told to what measures its runway.
    """

    __slots__ = (
        "_group",
        "_latest",
        "_policy",
        "_restless",
        "_seen",
        "_state",
        "config",
        "equity",
        "followed_until",
        "holdings",
        "mode",
        "number",
        "places",
        "replaced",
        "sharing",
    )

    def __init__(
        self, config: ModeConfig, holdings: tuple[Holding, ...], equity: EquityPlace, state: TrackerState
    ) -> None:
        self.config = config
        self.mode = config.mode
        self.holdings = holdings
        self.equity = equity
        self.places: tuple[tuple[str, Place], ...] = tuple((h.source, (h.account, h.asset)) for h in holdings)
        self.number = 0
        self.sharing: SharingGroup | None = None
        self.replaced = False
        self.followed_until = 0.0
        self._group = GroupRecord(set())
        self._state = state
        self._latest: ReserveSnapshot | None = None
        self._seen: Readings | None = None
        self._restless = False
        self._policy = config.policy

    def begin(self, state: TrackerState) -> None:
        """Begin with a memory."""
        self._state = state

    def inherit(self, before: "ModeWatch") -> None:
        """Take over the memory of the mode's watch under its last configuration.

        Its incident goes on, and its sequence, whatever it is made of now. What was read of other money is
        forgotten: the next reading is compared with none of it.
        """
        self._state = before.state
        if (before.holdings, before.equity) == (self.holdings, self.equity) and self._same_currency(before):
            self._latest = before.latest
            return
        self._state = self._state._replace(
            low_streak=0,
            critical_streak=0,
            good=self._state.good if self._same_currency(before) else None,
            believed_balance=None,
            believed_equity=None,
            believed_parts=(),
            doubted=None,
        )

    def _same_currency(self, before: "ModeWatch") -> bool:
        return before.config.share_class == self.config.share_class

    def join(self, group: GroupRecord, number: int) -> None:
        """Share the record of a group from now on."""
        self._state, self._latest = self.state, self.latest
        self._group = group
        self.number = number

    def share(self, sharing: "SharingGroup | None") -> None:
        """Share accounts with these modes from now on, or with none."""
        if sharing is not None:
            self.join(GroupRecord(set()), 0)
        self.sharing = sharing

    @property
    def interval_seconds(self) -> float:
        """How often it is checked: as often as any mode that it shares accounts with."""
        return self.config.interval_seconds if self.sharing is None else self.sharing.interval_seconds

    def rouse(self) -> None:
        """Have the next cycle check the mode whatever it reads: what it remembers is not of a reading."""
        self._seen = None
        self._group.awake.add(self.number)

    def look_again(self) -> None:
        """Have the next cycle check the mode whatever it reads: what is held of its reserve has changed."""
        self._state, self._latest = self.state, self.latest
        self._restless = True
        self._group.awake.add(self.number)

    @property
    def quiet(self) -> bool:
        """Whether the last readings again would lead nowhere: nothing is low, doubted or waits to be confirmed."""
        state, latest = self._state, self._latest
        return (
            state.confirmed is ADEQUATE
            and state.good is latest
            and latest is not None
            and latest.bounds is None
            and not state.low_streak
            and self._seen is not None
            and not self._restless
            # With a limit, times are news as well as amounts; what is too old is news anyway.
            and (self._policy.max_skew is None or self._policy.max_skew >= self._policy.max_staleness)
        )

    @property
    def doubts(self) -> bool:
        """Whether a reading jumped and waits for a second one."""
        return self._state.doubted is not None

    @property
    def state(self) -> TrackerState:
        """What is confirmed."""
        readings = self._left_alone_by()
        if readings is None:
            return self._state
        latest = self._renew(self._latest, readings) if self._latest is not None else None
        return self._state._replace(good_at=readings.now.monotonic, good=latest, told=latest)

    @property
    def latest(self) -> ReserveSnapshot | None:
        """What the last check found, conclusive or not; None before the first."""
        readings = self._left_alone_by()
        return self._latest if readings is None or self._latest is None else self._renew(self._latest, readings)

    def _renew(self, snapshot: ReserveSnapshot, readings: Readings) -> ReserveSnapshot:
        """Return a snapshot as readings show it that found the same amounts."""
        found = [readings.balances[source].get(place) for source, place in self.places]
        seen = tuple([Observation(each.observed_at, each.block) for each in found if isinstance(each, Balance)])
        equity = readings.equity
        times = [each.observed_at for each in (equity, *found) if isinstance(each, Equity | Balance)]
        return snapshot._replace(
            timestamp=readings.now.wall,
            observed_at=min(times, default=None),
            equity_seen=observe_equity(equity) if isinstance(equity, Equity) else None,
            seen=seen,
        )

    @property
    def readings(self) -> Readings | None:
        """What the last check was made of; None before the first."""
        return self._left_alone_by() or self._seen

    @property
    def reading(self) -> GroupReading | None:
        """What the accounts held at the last check, as far as they were read; None when nothing was.

        Where accounts are shared, what all those of the group held; None when not all were read.
        """
        readings = self.readings
        if readings is None:
            return None
        if readings.joint is not None:
            return readings.joint.whole
        return read_group(self._believed(readings)[0])

    @property
    def believed(self) -> GroupReading | None:
        """The newest reading of all the accounts that is not in doubt; None where none is remembered.

        Where accounts are shared, of all those of the group.
        """
        if self.sharing is not None:
            return self.sharing.believed
        latest, state = self.latest, self.state
        if latest is not None and latest.reserve_balance is not None and state.doubted is None:
            return self.reading
        good = state.good
        # Of accounts that were shared then, a snapshot tells the mode's part alone.
        return None if good is None or good.accounts else told_by(good)

    def _left_alone_by(self) -> Readings | None:
        """Return the readings that found the mode as it was, when they are newer than its last check."""
        readings = self._group.readings
        if readings is None or readings.now.monotonic <= self._state.good_at or not self.quiet:
            return None
        return readings

    def observe(self, readings: Readings, holds: Holds | None = None) -> ReserveSnapshot:
        """Return what the readings say of this mode, less what is promised of its reserve."""
        self._seen = readings
        self._restless = False
        if readings.joint is not None:
            return self.share_of(readings, readings.joint, holds)
        now = readings.now.wall
        balances, missing = self._believed(readings)
        held = owed = ZERO
        if holds is not None:
            equity = readings.equity
            owed = owed_of(self.mode, equity, holds)
            held = holds.held(self.mode, balances)
            self._restless = bool(held or owed) and holds.shows_paid(self.mode, balances, equity)
        return take_snapshot(self._policy, readings.believed, balances, missing, now=now, held=held, owed=owed)

    def share_of(self, readings: Readings, joint: "JointReadings", holds: Holds | None) -> ReserveSnapshot:
        """Return what readings of shared accounts say of this mode, and remember nothing of them."""
        owed = owed_of(self.mode, readings.equity, holds) if holds is not None else ZERO
        found, now = joint.find(self.mode, holds), readings.now.wall
        return take_snapshot(
            self._policy, readings.believed, found.balances, found.missing, now=now, owed=owed, share=found.share
        )

    def _believed(self, readings: Readings) -> tuple[list[Balance], list[Missing]]:
        """Return the balances that were read and may be believed, and why the others may not."""
        tables, earliest, latest = readings.balances, readings.earliest, readings.latest
        balances: list[Balance] = []
        missing: list[Missing] = []
        for index, (source, place) in enumerate(self.places):
            value = tables[source].get(place)
            if type(value) is Balance and earliest <= value.observed_at <= latest:
                balances.append(value)
            else:
                # A failure without an asset is one of the whole account.
                why = value if value is not None else tables[source].get((place[0], ""))
                holding = self.holdings[index]
                missing.append(Missing(f"{holding.label}: {why_missing(holding.asset, why)}", holding.non_negative))
        return balances, missing

    def has_seen(self, readings: Readings) -> bool:
        """Whether these are the very readings of the last check: two checks may have joined one.

        A reading counts once; it must neither agree with itself nor be two checks in a row.
        """
        seen = self._seen
        if seen is None or readings.equity is not seen.equity:
            return False
        if readings.joint is not None:
            return all(table is seen.balances.get(source) for source, table in readings.balances.items())
        return all(readings.balances[source] is seen.balances.get(source) for source, _ in self.places)

    def advance(self, snapshot: ReserveSnapshot, now: Instant, new_id: Callable[[], str]) -> Step:
        """Take a snapshot into the memory and return what it led to."""
        state = self._state if self._group.readings is None else self.state
        step = advance(state, snapshot, self._policy, now, new_id)
        self._state = step.state
        self._latest = snapshot
        return step


def equity_or_missing(place: EquityPlace, equity: Equity | CallError) -> Equity | Missing:
    """Return an equity that was read there, or what is missing."""
    return Missing(f"{place[0]}: {equity}") if isinstance(equity, CallError) else equity


def owed_of(mode: str, equity: Equity | CallError, holds: Holds) -> Decimal:
    """Return what an equity still shows of a mode's accepted withdrawals."""
    if isinstance(equity, CallError) or equity.net_of_withdrawals:
        return ZERO
    return holds.owed(mode, equity)


def told_by(snapshot: ReserveSnapshot) -> GroupReading | None:
    """Return the reading that a snapshot was made of, as far as it still tells."""
    if snapshot.reserve_balance is None or snapshot.observed_at is None:
        return None
    return GroupReading(add(snapshot.reserve_balance, snapshot.held), snapshot.observed_at)


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
