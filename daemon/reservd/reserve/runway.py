"""How long a reserve lasts at the rate at which money leaves it.

The rate is the net outflow over a sliding window: all that left less all that came, divided by the time that was
watched. A sudden rise by more than a tenth is a refill or a large deposit. It says nothing about how fast money leaves,
and is ignored. Periods without a certain reading count neither as outflow nor as time.
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
"""A rise by more than this part of the earlier balance is a refill."""
_PARTS = 12
"""The number of parts in which a window is kept, whatever the number of readings."""
_READINGS = 60
"""The most balances that are noted per window. Without a limit, checks of thousands of modes would cost twice as
much."""
_LEAST_WATCHED = 0.25
"""The part of the window that must have been watched: with less, a single withdrawal would be a trend."""
_REARM = 1.5
"""A warning is rearmed once the runway is this many times the warning's again."""
_HOUR = Decimal(3600)
_TWO_MINUTES = 120


class Runway(NamedTuple):
    """How long a reserve that falls lasts.

    Attributes:
        low_seconds: The time until it is LOW, at the measured rate; 0 when it is.
        critical_seconds: The time until it is CRITICAL.
        outflow: The net outflow, in whole units of the share class.
        watched_seconds: The time in which that left.
    """

    low_seconds: float
    critical_seconds: float
    outflow: Decimal
    watched_seconds: float


class _Part(NamedTuple):
    """The outflow between two times, and how much of the time between them was watched."""

    start: float
    end: float
    seconds: float
    outflow: Decimal


class Outflow:
    """The outflow of one reserve within a window. Times are monotonic seconds.

    Args:
        window_seconds: The length of the window.
        longest_gap_seconds: Two readings farther apart say nothing about the time between them. Counted from when the
            next one was due.

    Attributes:
        due_at: No balance need be noted before this time.
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
        """Whether the balance changed within the window."""
        return any(part.outflow for part in self._parts)

    def hold(self, until: float, balance: Decimal) -> None:
        """Note that the reserve was watched until a time, with this balance since soon after the last reading."""
        if self._end is None or until <= self._end:
            return
        if balance != self._balance:
            # It was read when no reading was due: within the spacing.
            self.note(min(until, self._end + self._spacing), balance)
        if until > self._end:
            self._add(self._end, until, ZERO)
            self._end = until

    def note(self, at: float, balance: Decimal) -> None:
        """Note a balance that was read and is believed."""
        if self._end is not None and 0 < at - self._end <= self._gap:
            self._add(self._end, at, _left(self._balance, balance))
        self._end, self._balance = at, balance
        self.due_at = at + self._spacing

    def measure(self, now: float) -> tuple[Decimal, float] | None:
        """Return the net outflow and the seconds watched; None when these are too few."""
        parts, horizon = self._parts, now - self._window
        while parts and parts[0].end <= horizon:
            parts.popleft()
        outflow, seconds = ZERO, 0.0
        for start, end, watched, left in parts:
            if start >= horizon:
                seconds += watched
                outflow = add(outflow, left)
            else:
                # Of a part that starts before the window, count the fraction within it.
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
    """Return the outflow between two balances: negative after an inflow, 0 after a refill."""
    left = subtract(before, after)
    return ZERO if left < ZERO and -left > multiply(REFILL, before.copy_abs()) else left


def project(outflow: Outflow, snapshot: ReserveSnapshot, policy: ReservePolicy, now: float) -> Runway | None:
    """Return how long a reserve lasts; None when it does not fall, or that is unknown.

    Args:
        outflow: Its outflow.
        snapshot: The last snapshot.
        policy: The thresholds.
        now: The time, in monotonic seconds.
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
    """Return a step with an early warning if one is due: once, until the runway is long again.

    A reserve that is not adequate has its own event, and an event that the step has already takes precedence.

    Args:
        step: The result of a check whose snapshot is believed.
        runway: How long the reserve lasts; None when it does not fall.
        policy: When to warn, if at all.
        now: The time of the check.
        new_id: Returns the id of an event.
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
        f"the reserve falls by {describe(an_hour, 4, round_up=True)} {policy.share_class} an hour, measured over "
        f"{_minutes(runway.watched_seconds)}: low in {_span(runway.low_seconds)}, "
        f"critical in {_span(runway.critical_seconds)}"
    )


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else _minutes(seconds)  # noqa: PLR2004  # an hour


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= _TWO_MINUTES else f"{seconds:.0f} s"
