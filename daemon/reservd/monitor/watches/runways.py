"""Measures how long each mode's reserve lasts, and reports it while the reserve falls."""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile

from reservd.monitor.observer import Observer
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.models import ReserveSnapshot
from reservd.reserve.runway import Outflow, Runway, project, warn
from reservd.reserve.tracker import Instant, Step, TrackerState

_SLIDE_SECONDS = 60.0
"""How long a reported runway stays without a check of its mode: windows slide even if the mode is skipped."""


class Runways:
    """Measures the runways of all modes.

    Args:
        observers: Notified of how long a reserve lasts.
        new_id: Returns the ids of early warnings.
    """

    def __init__(self, observers: Sequence[Observer], new_id: Callable[[], str]) -> None:
        self._observers = observers
        self._new_id = new_id
        self._outflows: dict[str, Outflow] = {}
        self._told_at: dict[str, float] = {}
        """When the runway of each falling reserve was last reported, oldest first."""
        self._told: dict[str, Runway] = {}

    def find(self, mode: str) -> Runway | None:
        """Return the last reported runway of a mode; None while its reserve does not fall."""
        return self._told.get(mode)

    def follow(
        self, watch: ModeWatch, before: TrackerState, snapshot: ReserveSnapshot, step: Step, now: Instant
    ) -> Step:
        """Take in a check of a mode, report its runway, and return the step, with an early warning if one is due.

        Args:
            watch: The mode's watch; an early warning changes its state.
            before: Its state before the check.
            snapshot: The snapshot of the check.
            step: The tracker's result.
            now: The time of the check.
        """
        balance = snapshot.reserve_balance
        if balance is None or step.state.good is not snapshot:
            return step
        policy = watch.config.policy
        outflow = self._outflows.get(watch.mode)
        if outflow is None:
            outflow = self._outflows[watch.mode] = Outflow(
                policy.runway_window.total_seconds(), policy.max_staleness.total_seconds()
            )
        _hold(outflow, before)
        advanced = step.state
        if advanced.warned and outflow.measure(before.good_at) is not None:
            # The runway may have become long again while the mode was skipped.
            held = before.good if before.good is not None else snapshot
            step = warn(step, project(outflow, held, policy, before.good_at), policy, now, self._new_id)
        outflow.note(now.monotonic, balance)
        watch.followed_until = outflow.due_at
        runway = project(outflow, snapshot, policy, now.monotonic) if outflow.moved else None
        self._tell(watch.mode, runway, now.monotonic)
        # A window that is too short, as after a start or an outage, does not show that the runway is long again.
        if not step.state.warned or outflow.measure(now.monotonic) is not None:
            step = warn(step, runway, policy, now, self._new_id)
        if step.state is not advanced:
            watch.begin(step.state)
        return step

    def slide(self, watches: Mapping[str, ModeWatch], now: float) -> None:
        """Update the reported runways of modes that were skipped since, as their windows have moved on.

        The runway of a mode whose balance is unknown is left as it is.

        Args:
            watches: All modes.
            now: The time, in monotonic seconds.
        """
        old = takewhile(lambda told: now - told[1] > _SLIDE_SECONDS, list(self._told_at.items()))
        for mode, _ in old:
            watch = watches[mode]
            state, policy = watch.state, watch.config.policy
            if state.good is None or state.age_at(now) > policy.max_staleness.total_seconds():
                continue
            _hold(self._outflows[mode], state)
            self._tell(mode, project(self._outflows[mode], state.good, policy, now), now)

    def forget(self, mode: str) -> None:
        """Start over with a mode, whose reserve may now be of other accounts."""
        self._tell(mode, None, 0.0)
        self._outflows.pop(mode, None)

    def measured(self, mode: str) -> Outflow | None:
        """Return the measured outflow of a mode; None before anything was measured."""
        return self._outflows.get(mode)

    def go_on(self, mode: str, outflow: Outflow) -> None:
        """Continue with the outflow that was measured so far by another."""
        self._outflows[mode] = outflow

    def _tell(self, mode: str, runway: Runway | None, now: float) -> None:
        before = self._told_at.pop(mode, None)
        self._told.pop(mode, None)
        if runway is not None:
            self._told_at[mode], self._told[mode] = now, runway
        elif before is None:
            return
        for observer in self._observers:
            observer.runway_is(mode, runway)


def _hold(outflow: Outflow, state: TrackerState) -> None:
    """Fill the time since the last check of a skipped mode: its balance did not change."""
    if state.good is not None and state.good.reserve_balance is not None and state.doubted is None:
        outflow.hold(state.good_at, state.good.reserve_balance)
