"""The modes that are watched, and the state of each."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from reservd.config.mode import ModeConfig
from reservd.errors import ConfigError
from reservd.monitor.clock import Clock
from reservd.monitor.observer import Observer
from reservd.monitor.sources.readers import Sources
from reservd.monitor.watches.explain import explain
from reservd.monitor.watches.holds import Holds
from reservd.monitor.watches.runways import Runways
from reservd.monitor.watches.sharers import Sharers
from reservd.monitor.watches.standing import Standing
from reservd.monitor.watches.watch import ModeWatch
from reservd.monitor.wiring import Wiring
from reservd.reserve.explanation import Explanation
from reservd.reserve.holds import GroupReading
from reservd.reserve.identity import AccountKey
from reservd.reserve.kept import KeptState, keep, recall
from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.runway import Outflow, Runway
from reservd.reserve.tracker import TrackerState


class Memory(NamedTuple):
    """The state of a mode."""

    watch: ModeWatch
    outflow: Outflow | None


class Memories(NamedTuple):
    """The state of everything that is watched."""

    modes: Mapping[str, Memory]
    sources: Sources
    """The readers until now."""


NO_MEMORIES = Memories({}, Sources({}, {}, {}))


class WatchedModes:
    """The modes that are watched, and what is known of each.

    Args:
        clock: Tells the time.
        observers: Notified of the state with which each mode starts.
        runways: Measures how long reserves last.
        wiring: Has the readers and each mode's configuration.

    Attributes:
        reserve_configs: The configuration of each mode.
        holds: The holds of accepted withdrawals; None when there are none.
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
        """Set the stored states of modes, before `start_monitoring`.

        Args:
            states: By mode. A mode without one starts without state.
            first_sequence: The first event number of such modes.
        """
        self._kept = dict(states)
        self._first_sequence = first_sequence

    def memories(self) -> Memories:
        """Return all state, for a successor in the same process."""
        modes = {mode: Memory(watch, self._runways.measured(mode)) for mode, watch in self._watches.items()}
        return Memories(modes, self._wiring.readers)

    def go_on(self, memories: Memories) -> None:
        """Continue from a manager that has just ended, before `start_monitoring`.

        Nothing was missed in between. So a mode with the same money keeps all state, including what `restore` leaves
        out: the age of what is certain, doubts, checks in a row, and outflow. A source with the same options keeps its
        newest answers and the pauses that it asked for.
        """
        self._memories = dict(memories.modes)
        self._wiring.readers.go_on(memories.sources)

    def kept_states(self) -> dict[str, KeptState]:
        """Return the state to store of each mode."""
        now = self._clock.now()
        return {mode: keep(watch.state, now) for mode, watch in self._watches.items()}

    def kept_state(self, strategy_mode: str) -> KeptState:
        """Return the state to store of one mode: its confirmed status and its incident."""
        return keep(self._watches[strategy_mode].state, self._clock.now())

    def begin(self) -> None:
        """Start modes from their stored states, each once. `start_monitoring` starts those that have not started."""
        now = self._clock.now()
        for mode, watch in self._watches.items():
            if watch.latest is None and mode not in self._begun:
                self._begun.add(mode)
                kept = self._kept.pop(mode, None)
                # Without stored state, staleness counts from the start of watching.
                fresh = TrackerState(now.monotonic, sequence=self._first_sequence)
                recalled = fresh if kept is None else recall(kept, watch.config.policy, now)
                state = self._gone_on(watch, recalled)
                watch.begin(state)
                if kept is not None:
                    self._recall_balances(watch)
                for observer in self._observers if kept is not None or state is not recalled else ():
                    observer.began(mode, state)
        self._memories.clear()

    def _recall_balances(self, watch: ModeWatch) -> None:
        """Remember what a mode's accounts held before the process started, in case a node that lags is read now."""
        readers = self._wiring.readers.balances
        for source, balance in watch.last_balances():
            if source in readers:
                readers[source].recall(balance)

    def status(self, strategy_mode: str) -> ReserveStatus:
        """Return the confirmed status; UNKNOWN before one was confirmed, and when nothing was certain for too long."""
        watch = self._watches[strategy_mode]
        age = watch.state.age_at(self._clock.now().monotonic)
        if age > watch.config.policy.max_staleness.total_seconds():
            return ReserveStatus.UNKNOWN
        return watch.state.confirmed or ReserveStatus.UNKNOWN

    def latest_snapshot(self, strategy_mode: str) -> ReserveSnapshot | None:
        """Return the snapshot of a mode's last check; None before the first."""
        return self._watches[strategy_mode].latest

    def runway(self, strategy_mode: str) -> Runway | None:
        """Return how long a mode's reserve lasts; None while it does not fall, or if that is unknown."""
        return self._runways.find(strategy_mode)

    def explain(self, strategy_mode: str) -> Explanation | None:
        """Return what a mode's last check was based on, and the reason for its status; None before the first."""
        return self._explain(self._watches[strategy_mode])

    def standing(self, strategy_mode: str) -> Standing | None:
        """Return the basis for decisions about a mode's reserve; None before its first check."""
        watch = self._watches[strategy_mode]
        latest = watch.latest
        if latest is None:
            return None
        state = watch.state
        doubted = state.doubted is not None
        return Standing(self.status(strategy_mode), latest, watch.reading, doubted, state.good)

    def believed_reading(self, strategy_mode: str) -> GroupReading | None:
        """Return the last certain reading of a mode's accounts, including those it shares; None when there is none."""
        return self._watches[strategy_mode].believed

    def account_group(self, strategy_mode: str) -> str:
        """Return the name of the accounts that a mode is paid from: the same for all modes that share some.

        It is derived from the accounts, so that promises stay valid when a mode is renamed or removed.
        """
        watch = self._watches[strategy_mode]
        return watch.accounts if watch.sharing is None else watch.sharing.name

    def group_accounts(self, strategy_mode: str) -> frozenset[AccountKey]:
        """Return the accounts that a mode is paid from, including those of all modes in its group."""
        return frozenset(holding.key for watch in self._sharing_with(strategy_mode) for holding in watch.holdings)

    def modes_with(self, accounts: Iterable[AccountKey]) -> list[str]:
        """Return the modes that count any of these accounts."""
        return self._sharers.modes_with(accounts)

    def account_sharers(self, strategy_mode: str) -> tuple[str, ...]:
        """Return the modes that are paid from the same accounts as a mode, including itself."""
        return tuple([watch.mode for watch in self._sharing_with(strategy_mode)])

    def others_sharing(self, strategy_mode: str) -> list[ReserveSnapshot]:
        """Return the snapshots of those that share accounts with a mode, from the readings of its own last check."""
        watch = self._watches[strategy_mode]
        joint = watch.readings.joint if watch.readings is not None else None
        if watch.sharing is None or joint is None:
            return []
        others = [each for each in watch.sharing.watches if each is not watch]
        return [each.share_of(joint.readings(each), joint, self.holds) for each in others]

    def venues(self, strategy_mode: str) -> frozenset[str]:
        """Return the chains and exchanges of the accounts that a mode is paid from; none if it is not watched."""
        if strategy_mode not in self._watches:
            return frozenset()
        return frozenset(account.venue for account in self.group_accounts(strategy_mode))

    def look_again(self, strategy_mode: str) -> None:
        """Have the next cycle check a mode even without new readings, because its holds have changed."""
        watch = self._watches.get(strategy_mode)
        if watch is not None:
            watch.look_again()

    def _sharing_with(self, strategy_mode: str) -> tuple[ModeWatch, ...]:
        watch = self._watches[strategy_mode]
        return (watch,) if watch.sharing is None else watch.sharing.watches

    def _watch(self, mode: str, watch: ModeWatch) -> None:
        """Watch a mode, or replace its watch.

        Raises:
            ConfigError: If modes that share an account disagree on how to split it.
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
        """Return the state of the mode's last watch, or the stored one if the former must not be continued."""
        memory = self._memories.pop(watch.mode, None)
        # An event that was not stored must be decided again.
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
