"""A circuit breaker, as pure decisions: how often a source that keeps failing is read.

After a few failures in a row, a source is read in every second cycle only, then in every fourth, and so on; in the
other cycles its last failure is returned. A source that asks for a pause gets it from the first failure on. One success
resets everything.
"""

from collections.abc import Iterable
from typing import NamedTuple

from reservd.errors import CallError, FailureReason

FAILURES = 3
"""The number of failures in a row after which a source is read less often."""
LONGEST_PAUSE_SECONDS = 300.0
"""The longest time until the recovery of a source is noticed."""
_MOST_DOUBLINGS = 16


class Circuit(NamedTuple):
    """The state of a source that fails. All times are monotonic seconds.

    Attributes:
        failure: The last failure.
        failures: The number of failures in a row.
        well_at: When it last succeeded, or was first read if it never did.
        asked_at: When it was last read.
        passed_over: The number of cycles that have skipped it since then.
        passed_at: The last such cycle; None when there was none.
        longest_gap: The longest time between two cycles since then, in seconds.
    """

    failure: CallError
    failures: int
    well_at: float
    asked_at: float
    passed_over: int = 0
    passed_at: float | None = None
    longest_gap: float = 0.0

    @property
    def open(self) -> bool:
        """Whether the source is read less often."""
        return self.failures >= FAILURES or self.rest_seconds > 0

    @property
    def rest_seconds(self) -> float:
        """The pause in seconds that the source asked for, capped. An exchange bans clients that ignore it."""
        return min(self.failure.retry_after_seconds or 0.0, LONGEST_PAUSE_SECONDS)


def after_failure(before: Circuit | None, failure: CallError, well_at: float, asked_at: float) -> Circuit:
    """Return the state of a source after a failure."""
    return Circuit(failure, before.failures + 1 if before is not None else 1, well_at, asked_at)


def pass_over(circuit: Circuit, now: float) -> Circuit:
    """Return the state of a source after a cycle that skips it."""
    return circuit._replace(passed_over=circuit.passed_over + 1, passed_at=now, longest_gap=_longest_gap(circuit, now))


def _longest_gap(circuit: Circuit, now: float) -> float:
    last = circuit.asked_at if circuit.passed_at is None else circuit.passed_at
    return max(circuit.longest_gap, now - last)


def is_due(circuit: Circuit, now: float, stalenesses: Iterable[float]) -> bool:
    """Return whether to read the source in this cycle.

    Args:
        circuit: The state of the source.
        now: The current time.
        stalenesses: The ages of a reading, in seconds, at which modes become unknown. Before that, a pause takes at
            most half of the time that is left, so that a recovery is seen in time. After that, it takes at most half of
            the staleness, so that a mode does not stay unknown for long once its source recovers. A source that limits
            its rate is not read before it allows that, except in the last cycle before a mode becomes unknown.
    """
    occasions = circuit.passed_over + 1
    waited = now - circuit.asked_at
    # The next cycle may be as far off as the longest gap so far: modes may have several intervals.
    until_next = _longest_gap(circuit, now)
    rests = waited < circuit.rest_seconds
    if rests and circuit.failure.reason is FailureReason.RATE_LIMITED:
        age = now - circuit.well_at
        return any(age < staleness <= age + until_next for staleness in stalenesses)
    every = 2 ** min(max(circuit.failures - FAILURES + 1, 0), _MOST_DOUBLINGS)
    if occasions >= every and not rests:
        return True
    age = circuit.asked_at - circuit.well_at
    halves = [(staleness - age if staleness > age else staleness) / 2 for staleness in stalenesses]
    return waited + until_next > min([LONGEST_PAUSE_SECONDS, *halves])
