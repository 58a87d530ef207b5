"""How long a reserve lasts at the rate at which money leaves it.

The rate is the net outflow over a window that slides: all that left less all that came, by the time that it was
watched. A rise by more than a tenth at once is a refill or a large deposit: it says nothing of how fast money leaves,
and counts as nothing. Stretches over which nothing certain was read count neither as outflow nor as time.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, describe, multiply, ratio, subtract
from reservd.reserve.models import ADEQUATE, EventType, ReserveSnapshot
from reservd.reserve.policy import ReservePolicy
from reservd.reserve.state import Instant, Step
from reservd.reserve.tracker import announce

REFILL = Decimal("0.1")
"""A rise by more than this part of the balance before it is a refill."""
_PARTS = 12
"""A window is kept in so many parts, whatever the number of readings."""
_READINGS = 60
"""As many balances are noted in a window at most, or checks of thousands of modes would cost twice as much."""
_LEAST_WATCHED = 0.25
"""The part of the window that must have been watched: before that, one withdrawal would be a trend."""
_REARM = 1.5
"""A warning was answered once the runway is so many times the warning's again."""
_HOUR = Decimal(3600)


class Runway(NamedTuple):
    """How long a reserve that falls lasts.

    Attributes:
        low_seconds: Until it is LOW, at the rate measured; 0 when it is.
        critical_seconds: The same until it is CRITICAL.
        outflow: What left it, net, in whole units of the share class.
        watched_seconds: In how long.
    """

    low_seconds: float
    critical_seconds: float
    outflow: Decimal
    watched_seconds: float


class _Part(NamedTuple):
    """What left between two moments, and how much of the time between them was watched."""

    start: float
    end: float
    seconds: float
    outflow: Decimal


class Outflow:
    """What left one reserve within a window. Times are monotonic seconds.

    Args:
        window_seconds: How far back it looks.
        longest_gap_seconds: Two readings farther apart say nothing of what was between them; counted from when the
            next was to be noted.

    Attributes:
        due_at: Before this no balance need be noted.
    """

    __slots__ = ("_balance", "_end", "_gap", "_parts", "_spacing", "_window", "due_at")

    def __init__(self, window_seconds: float, longest_gap_seconds: float) -> None:
        self._window = window_seconds
        self._spacing = window_seconds / _READINGS
        self._gap = longest_gap_seconds + self._spacing
        self.due_at = 0.0
        self._parts: deque[_Part] = deque()
        self._end: float | None = None
        self._balance = ZERO

    @property
    def moved(self) -> bool:
        """Whether the balance was another within the window."""
        return any(part.outflow for part in self._parts)

    def hold(self, until: float, balance: Decimal) -> None:
        """Take that the reserve was watched until a moment, and held so much since soon after the last reading."""
        if self._end is None or until <= self._end:
            return
        if balance != self._balance:
            # Read when none was due: within the spacing.
            self.note(min(until, self._end + self._spacing), balance)
        if until > self._end:
            self._add(self._end, until, ZERO)
            self._end = until

    def note(self, at: float, balance: Decimal) -> None:
        """Take a balance that was read and is believed."""
        if self._end is not None and 0 < at - self._end <= self._gap:
            self._add(self._end, at, _left(self._balance, balance))
        self._end, self._balance = at, balance
        self.due_at = at + self._spacing

    def measure(self, now: float) -> tuple[Decimal, float] | None:
        """Return what left, net, and in how many seconds that were watched; None when they are too few to tell."""
        parts, horizon = self._parts, now - self._window
        while parts and parts[0].end <= horizon:
            parts.popleft()
        outflow, seconds = ZERO, 0.0
        for start, end, watched, left in parts:
            if start >= horizon:
                seconds += watched
                outflow = add(outflow, left)
            else:
                # Of a part that has begun before the window, as much as lies within.
                within = (end - horizon) / (end - start)
                seconds += watched * within
                outflow = add(outflow, multiply(left, Decimal(f"{within:.6f}")))
        return (outflow, seconds) if seconds >= _LEAST_WATCHED * self._window else None

    def _add(self, start: float, end: float, outflow: Decimal) -> None:
        parts = self._parts
        if parts and end - parts[-1].start <= self._window / _PARTS:
            last = parts[-1]
            total = add(last.outflow, outflow) if outflow else last.outflow
            parts[-1] = _Part(last.start, end, last.seconds + end - start, total)
        else:
            parts.append(_Part(start, end, end - start, outflow))
            while parts[0].end <= end - self._window:
                parts.popleft()


def _left(before: Decimal, after: Decimal) -> Decimal:
    """Return what left between two balances; below 0 when something came, but for a refill."""
    left = subtract(before, after)
    return ZERO if left < ZERO and -left > multiply(REFILL, before.copy_abs()) else left


def project(outflow: Outflow, snapshot: ReserveSnapshot, policy: ReservePolicy, now: float) -> Runway | None:
    """Return how long a reserve lasts; None when it does not fall, or that cannot be told.

    Args:
        outflow: What left it.
        snapshot: What was found last.
        policy: The thresholds.
        now: The moment, in monotonic seconds.
    """
    balance, target = snapshot.reserve_balance, snapshot.target_reserve
    measured = outflow.measure(now)
    if balance is None or not target or measured is None or measured[0] <= ZERO:
        return None
    left, seconds = measured

    def until(threshold: Decimal) -> float:
        above = subtract(balance, multiply(threshold, target))
        return float(ratio(above, left)) * seconds if above > ZERO else 0.0

    return Runway(until(policy.low_threshold), until(policy.critical_threshold), left, seconds)


def warn(step: Step, runway: Runway | None, policy: ReservePolicy, now: Instant, new_id: Callable[[], str]) -> Step:
    """Return a step with the early warning that a mode asked for: once, until the runway is long again.

    A reserve that is not adequate has its own event, and an event that a step has already goes first.

    Args:
        step: What a check led to; the snapshot is believed.
        runway: How long the reserve lasts; None when it does not fall.
        policy: When to warn, if at all.
        now: The moment of the check.
        new_id: Makes the id of an event.
    """
    state = step.state
    warning = policy.runway_warning
    if warning is None or state.confirmed is not ADEQUATE:
        return step
    limit = warning.total_seconds()
    if state.warned:
        long_again = runway is None or runway.low_seconds > _REARM * limit
        return step._replace(state=state._replace(warned=False)) if long_again else step
    if runway is None or runway.low_seconds > limit or step.event is not None:
        return step
    state, event = announce(state, ADEQUATE, _why(runway, policy), policy, now, new_id, event_type=EventType.RUNWAY_LOW)
    return step._replace(state=state._replace(warned=True), event=event)


def _why(runway: Runway, policy: ReservePolicy) -> str:
    an_hour = ratio(multiply(runway.outflow, _HOUR), Decimal(runway.watched_seconds))
    return (
        f"{describe(an_hour, 4, round_up=True)} {policy.share_class} an hour leave the reserve, measured over "
        f"{runway.watched_seconds / 60:.0f} minutes: low in {_span(runway.low_seconds)}, "
        f"critical in {_span(runway.critical_seconds)}"
    )


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"  # noqa: PLR2004  # an hour
