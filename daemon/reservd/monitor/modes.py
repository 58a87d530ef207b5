"""The modes that are watched: what is remembered of each, and how it stands."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from reservd.config.mode import ModeConfig
from reservd.errors import ConfigError
from reservd.monitor.clock import Clock
from reservd.monitor.explain import explain
from reservd.monitor.holds import Holds
from reservd.monitor.observer import Observer
from reservd.monitor.runways import Runways
from reservd.monitor.sharers import Sharers
from reservd.monitor.standing import Standing
from reservd.monitor.turns import Sources
from reservd.monitor.watch import ModeWatch
from reservd.monitor.wiring import Wiring
from reservd.reserve.explanation import Explanation
from reservd.reserve.holds import GroupReading
from reservd.reserve.identity import AccountKey
from reservd.reserve.kept import KeptState, keep, recall
from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.runway import Outflow, Runway
from reservd.reserve.tracker import TrackerState


class Memory(NamedTuple):
    """What is remembered of a mode."""

    watch: ModeWatch
    outflow: Outflow | None


class Memories(NamedTuple):
    """All that is remembered."""

    modes: Mapping[str, Memory]
    sources: Sources
    """What has read them until now."""


NO_MEMORIES = Memories({}, Sources({}, {}, {}))


class WatchedModes:
    """What there is to know of the modes under watch.

    Args:
        clock: Tells the time.
        observers: Hear with what memory a mode begins.
        runways: Know how long reserves last.
        wiring: Has what reads the sources, and knows what is configured for a mode.

    Attributes:
        reserve_configs: The configuration of each mode.
        holds: What is promised to accepted withdrawals; None when there are none.
    """

    def __init__(self, clock: Clock, observers: list[Observer], runways: Runways, wiring: Wiring) -> None:
        self._clock = clock
        self._observers = observers
        self._runways = runways
        self._wiring = wiring
        self._watches: dict[str, ModeWatch] = {}
        self._sharers = Sharers()
        self._kept: dict[str, KeptState] = {}
        self._first_sequence = 0
        self._begun: set[str] = set()
        self._memories: dict[str, Memory] = {}
        self.reserve_configs: dict[str, ModeConfig] = {}
        self.holds: Holds | None = None

    def restore(self, states: Mapping[str, KeptState], first_sequence: int = 0) -> None:
        """Take what was kept of modes, before `start_monitoring`.

        Args:
            states: By mode. Modes without one begin anew.
            first_sequence: Events of those are counted from here.
        """
        self._kept = dict(states)
        self._first_sequence = first_sequence

    def memories(self) -> Memories:
        """Return all that is remembered, for whoever goes on from here in the same process."""
        modes = {mode: Memory(watch, self._runways.measured(mode)) for mode, watch in self._watches.items()}
        return Memories(modes, self._wiring.readers)

    def go_on(self, memories: Memories) -> None:
        """Go on where another has ended just now, before `start_monitoring`.

        Nothing was missed meanwhile. So of a mode that is of the same money still, all is remembered that `restore`
        does not tell: for how long nothing was certain, what is in doubt, checks in a row, what flowed out. So it is of
        a source with the same options: what it told, and for how long it asked to be left alone.
        """
        self._memories = dict(memories.modes)
        self._wiring.readers.go_on(memories.sources)

    def kept_states(self) -> dict[str, KeptState]:
        """Return what is to be kept of each mode now."""
        now = self._clock.now()
        return {mode: keep(watch.state, now) for mode, watch in self._watches.items()}

    def kept_state(self, strategy_mode: str) -> KeptState:
        """Return what is to be kept of one mode now: what is confirmed, and its incident."""
        return keep(self._watches[strategy_mode].state, self._clock.now())

    def begin(self) -> None:
        """Begin with what was kept of the modes, each once; `start_monitoring` does so for those that have not."""
        now = self._clock.now()
        for mode, watch in self._watches.items():
            if watch.latest is None and mode not in self._begun:
                self._begun.add(mode)
                kept = self._kept.pop(mode, None)
                # Without memory, staleness counts from when watching begins.
                fresh = TrackerState(now.monotonic, sequence=self._first_sequence)
                recalled = fresh if kept is None else recall(kept, watch.config.policy, now)
                state = self._gone_on(watch, recalled)
                watch.begin(state)
                for observer in self._observers if kept is not None or state is not recalled else ():
                    observer.began(mode, state)
        self._memories.clear()

    def status(self, strategy_mode: str) -> ReserveStatus:
        """Return the confirmed status; UNKNOWN before anything was confirmed, and when nothing was for too long."""
        watch = self._watches[strategy_mode]
        age = watch.state.age_at(self._clock.now().monotonic)
        if age > watch.config.policy.max_staleness.total_seconds():
            return ReserveStatus.UNKNOWN
        return watch.state.confirmed or ReserveStatus.UNKNOWN

    def latest_snapshot(self, strategy_mode: str) -> ReserveSnapshot | None:
        """Return what the last check of a mode found; None before the first."""
        return self._watches[strategy_mode].latest

    def runway(self, strategy_mode: str) -> Runway | None:
        """Return how long a mode's reserve lasts; None while it does not fall, or that cannot be told."""
        return self._runways.find(strategy_mode)

    def explain(self, strategy_mode: str) -> Explanation | None:
        """Return what the last check of a mode was made of, and why it says what it does; None before the first."""
        return self._explain(self._watches[strategy_mode])

    def standing(self, strategy_mode: str) -> Standing | None:
        """Return how a mode stands; None before its first check."""
        watch = self._watches[strategy_mode]
        latest = watch.latest
        if latest is None:
            return None
        state = watch.state
        doubted = state.doubted is not None
        return Standing(self.status(strategy_mode), latest, watch.reading, doubted, state.good)

    def believed_reading(self, strategy_mode: str) -> GroupReading | None:
        """Return what a mode's accounts last held for certain, those of all who share them; None when unknown."""
        return self._watches[strategy_mode].believed

    def account_group(self, strategy_mode: str) -> str:
        """Return the name of the accounts that a mode is paid from: the same for all that share some.

        It is the accounts' own. What is promised of them stays promised when a mode is renamed, or taken out.
        """
        watch = self._watches[strategy_mode]
        return watch.accounts if watch.sharing is None else watch.sharing.name

    def group_accounts(self, strategy_mode: str) -> frozenset[AccountKey]:
        """Return the accounts that a mode is paid from, those of all who share some."""
        return frozenset(holding.key for watch in self._sharing_with(strategy_mode) for holding in watch.holdings)

    def modes_with(self, accounts: Iterable[AccountKey]) -> list[str]:
        """Return the modes that count any of some accounts themselves."""
        return self._sharers.modes_with(accounts)

    def account_sharers(self, strategy_mode: str) -> tuple[str, ...]:
        """Return the modes that are paid from the same accounts as a mode, itself included."""
        return tuple([watch.mode for watch in self._sharing_with(strategy_mode)])

    def others_sharing(self, strategy_mode: str) -> list[ReserveSnapshot]:
        """Return how those who share accounts with a mode stand by what its own last check read, itself left out."""
        watch = self._watches[strategy_mode]
        joint = watch.readings.joint if watch.readings is not None else None
        if watch.sharing is None or joint is None:
            return []
        others = [each for each in watch.sharing.watches if each is not watch]
        return [each.share_of(joint.readings(each), joint, self.holds) for each in others]

    def venues(self, strategy_mode: str) -> frozenset[str]:
        """Return the chains and exchanges of the accounts that a mode is paid from; none when it is not watched."""
        if strategy_mode not in self._watches:
            return frozenset()
        return frozenset(account.venue for account in self.group_accounts(strategy_mode))

    def look_again(self, strategy_mode: str) -> None:
        """Have the next cycle check a mode, even if it reads nothing new: what is held of it has changed."""
        watch = self._watches.get(strategy_mode)
        if watch is not None:
            watch.look_again()

    def _sharing_with(self, strategy_mode: str) -> tuple[ModeWatch, ...]:
        watch = self._watches[strategy_mode]
        return (watch,) if watch.sharing is None else watch.sharing.watches

    def _watch(self, mode: str, watch: ModeWatch) -> None:
        """Watch a mode, in place of what it was.

        Raises:
            ConfigError: If modes that count the same account do not agree how it is split.
        """
        disagreements = self._sharers.disagreements(watch)
        if disagreements:
            raise ConfigError([f"{each.mode}: {each.option}: {each.message}" for each in disagreements])
        before = self._watches.get(mode)
        if before is not None:
            watch.inherit(before)
            before.replaced = True
        self._sharers.replace(before, watch)
        self._watches[mode] = watch
        self._runways.forget(mode)

    def _gone_on(self, watch: ModeWatch, recalled: TrackerState) -> TrackerState:
        """Return what whoever watched a mode until now remembered, or what was recalled where that must not go on."""
        memory = self._memories.pop(watch.mode, None)
        # An event that did not get into the store must be decided again.
        if memory is None or memory.watch.state.sequence != recalled.sequence:
            return recalled
        if not watch.is_of_same_money(memory.watch):
            return recalled
        policy, before = watch.config.policy, memory.watch.config.policy
        same = (policy.runway_window, policy.max_staleness) == (before.runway_window, before.max_staleness)
        if memory.outflow is not None and same:
            self._runways.go_on(watch.mode, memory.outflow)
        return memory.watch.state

    def _explain(self, watch: ModeWatch) -> Explanation | None:
        return explain(watch, self._wiring.fingerprint(watch), self.holds)
