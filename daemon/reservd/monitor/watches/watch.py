"""Watches one mode: turns its readings into snapshots and keeps its state."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from reservd.config.accounts import Holding
from reservd.config.mode import ModeConfig
from reservd.monitor.watches.holds import Holds, owed_of
from reservd.monitor.watches.readings import EquityPlace, GroupRecord, Places, Readings
from reservd.monitor.watches.standing import told_by
from reservd.reserve.amounts import ZERO
from reservd.reserve.holds import GroupReading, read_group
from reservd.reserve.identity import name_accounts
from reservd.reserve.models import ADEQUATE, ReserveSnapshot
from reservd.reserve.readings import Balance
from reservd.reserve.snapshot import take_snapshot
from reservd.reserve.tracker import Instant, Step, TrackerState, advance

if TYPE_CHECKING:
    from reservd.monitor.watches.sharing import JointReadings, SharingGroup


class ModeWatch:
    """The state of one mode between two checks.

    Attributes:
        mode: Its name.
        config: Its configuration.
        holdings: The accounts that make up its reserve.
        accounts: The name of its accounts together.
        equity: Where its equity is read.
        places: The source, account and asset of each holding.
        number: Its index in its group.
        sharing: The modes that share accounts with it and are checked with it; None if it shares none.
        replaced: Whether the mode is now watched with another configuration.
        followed_until: Checks before this time, in monotonic seconds, do not matter for its runway.
    """

    __slots__ = (
        "_group",
        "_latest",
        "_minds_times",
        "_policy",
        "_restless",
        "_seen",
        "_state",
        "accounts",
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
        self.accounts = name_accounts(holding.key for holding in holdings)
        self.equity = equity
        self.places: Places = tuple((h.source, (h.account, h.asset)) for h in holdings)
        self.number = 0
        self.sharing: SharingGroup | None = None
        self.replaced = False
        self.followed_until = 0.0
        self._group = GroupRecord(set())
        self._state = state
        self._latest: ReserveSnapshot | None = None
        self._seen: Readings | None = None
        self._policy = policy = config.policy
        # With such a skew, times are news as well as amounts. Otherwise only staleness makes them news.
        self._minds_times = policy.max_skew is not None and policy.max_skew < policy.max_staleness
        self._restless = self._minds_times

    def begin(self, state: TrackerState) -> None:
        """Set the state."""
        self._state = state

    def inherit(self, before: "ModeWatch") -> None:
        """Take over the state of the mode's watch under its last configuration.

        Its incident and its sequence go on in any case. Readings of other money are dropped, so that the next reading
        is not compared with them.
        """
        self._state = before.state
        if self.is_of_same_money(before):
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

    def is_of_same_money(self, before: "ModeWatch") -> bool:
        """Return whether accounts, equity and currency are the same under the mode's other configuration."""
        return (before.holdings, before.equity) == (self.holdings, self.equity) and self._same_currency(before)

    def _same_currency(self, before: "ModeWatch") -> bool:
        return before.config.share_class == self.config.share_class

    def last_balances(self) -> Iterator[tuple[str, Balance]]:
        """Yield the balances of its last good check, each with its source, as far as they were read."""
        good = self._state.good
        if good is None:
            return
        for part in good.accounts:
            source, _, account = part.account.partition("/")
            if part.amount is not None and part.observed_at is not None:
                yield source, Balance(account, part.asset, part.amount, part.observed_at, part.locked, part.block)
        if not good.accounts and len(good.parts) == len(good.seen) == len(self.places):
            for (source, (account, asset)), amount, seen in zip(self.places, good.parts, good.seen, strict=True):
                yield source, Balance(account, asset, amount, seen.observed_at, None, seen.block)

    def join(self, group: GroupRecord, number: int) -> None:
        """Use the record of a group from now on."""
        self._state, self._latest = self.state, self.latest
        self._group = group
        self.number = number

    def share(self, sharing: "SharingGroup | None") -> None:
        """Set the modes with which it shares accounts; None for none."""
        if sharing is not None:
            self.join(GroupRecord(set()), 0)
        self.sharing = sharing

    @property
    def interval_seconds(self) -> float:
        """The interval of its checks: the shortest of all modes that it shares accounts with."""
        return self.config.interval_seconds if self.sharing is None else self.sharing.interval_seconds

    def rouse(self) -> None:
        """Have the next cycle check the mode in any case, because its state does not come from a reading."""
        self._seen = None
        self._group.awake.add(self.number)

    def look_again(self) -> None:
        """Have the next cycle check the mode in any case, because its holds have changed."""
        self._state, self._latest = self.state, self.latest
        self._restless = True
        self._group.awake.add(self.number)

    def is_quiet(self) -> bool:
        """Return whether the same readings would change nothing: nothing is low, in doubt or yet to be confirmed."""
        state, latest = self._state, self._latest
        return (
            state.confirmed is ADEQUATE
            and state.good is latest
            and latest is not None
            and latest.bounds is None
            and not state.low_streak
            and self._seen is not None
            and not self._restless
        )

    @property
    def doubts(self) -> bool:
        """Whether a reading jumped and a second one is awaited."""
        return self._state.doubted is not None

    @property
    def state(self) -> TrackerState:
        """The tracker's state."""
        readings = self._left_alone_by()
        if readings is None:
            return self._state
        latest = readings.renew(self._latest, self.places) if self._latest is not None else None
        return self._state._replace(good_at=readings.now.monotonic, good=latest, told=latest)

    @property
    def latest(self) -> ReserveSnapshot | None:
        """The snapshot of the last check, conclusive or not; None before the first."""
        readings = self._left_alone_by()
        return self._latest if readings is None or self._latest is None else readings.renew(self._latest, self.places)

    @property
    def readings(self) -> Readings | None:
        """The readings of the last check; None before the first."""
        return self._left_alone_by() or self._seen

    @property
    def reading(self) -> GroupReading | None:
        """What the accounts held at the last check, as far as they were read; None when nothing was.

        For shared accounts, what all accounts of the group held; None when not all were read.
        """
        readings = self.readings
        if readings is None:
            return None
        if readings.joint is not None:
            return readings.joint.whole
        return read_group(readings.of(self.places, self.holdings)[0])

    @property
    def believed(self) -> GroupReading | None:
        """The newest reading of all accounts that is not in doubt; None when there is none.

        For shared accounts, of all accounts of the group.
        """
        if self.sharing is not None:
            return self.sharing.believed
        latest, state = self.latest, self.state
        if latest is not None and latest.reserve_balance is not None and state.doubted is None:
            return self.reading
        good = state.good
        # The last good snapshot of accounts that were shared then has the mode's part only.
        return None if good is None or good.accounts else told_by(good)

    def _left_alone_by(self) -> Readings | None:
        """Return the readings that left the mode unchanged, if they are newer than its last check."""
        readings = self._group.readings
        if readings is None or readings.now.monotonic <= self._state.good_at or not self.is_quiet():
            return None
        return readings

    def observe(self, readings: Readings, holds: Holds | None = None) -> ReserveSnapshot:
        """Return the mode's snapshot from readings, with holds taken off."""
        self._seen = readings
        self._restless = self._minds_times
        if readings.joint is not None:
            return self.share_of(readings, readings.joint, holds)
        now = readings.now.wall
        balances, missing = readings.of(self.places, self.holdings)
        held = owed = ZERO
        if holds is not None:
            equity = readings.equity
            owed = owed_of(self.mode, equity, holds)
            held = holds.held(self.mode, balances)
            self._restless |= bool(held or owed) and holds.means_more_later(self.mode, balances, equity)
        return take_snapshot(self._policy, readings.believed, balances, missing, now, held, owed)

    def share_of(self, readings: Readings, joint: "JointReadings", holds: Holds | None) -> ReserveSnapshot:
        """Return the mode's snapshot from readings of shared accounts, without keeping it."""
        owed = owed_of(self.mode, readings.equity, holds)
        found, now = joint.find(self.mode, holds), readings.now.wall
        return take_snapshot(
            self._policy, readings.believed, found.balances, found.missing, now, owed=owed, share=found.share
        )

    def has_seen(self, readings: Readings) -> bool:
        """Return whether the last check used these very readings: two checks may have joined one.

        A reading counts once: it must neither confirm itself nor count as two checks in a row.
        """
        seen = self._seen
        return seen is not None and seen.equity is readings.equity and readings.repeat(seen, self.places)

    def advance(self, snapshot: ReserveSnapshot, now: Instant, new_id: Callable[[], str]) -> Step:
        """Update the state with a snapshot and return the result."""
        state = self._state if self._group.readings is None else self.state
        step = advance(state, snapshot, self._policy, now, new_id)
        self._state = step.state
        self._latest = snapshot
        return step
