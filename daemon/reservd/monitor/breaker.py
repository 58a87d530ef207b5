"""How often a source that keeps failing is asked: a circuit breaker, as plain decisions.

After a few failures in a row a source is asked at every second occasion only, then at every fourth, and so on, and
what asks for it has the last failure meanwhile. One that asks to be left alone is, from the first failure on. One
answer makes all as before. An occasion is a cycle.
"""

from collections.abc import Iterable
from typing import NamedTuple

from reservd.errors import CallError, FailureReason

FAILURES = 3
"""In a row, after which a source is asked less often."""
LONGEST_PAUSE_SECONDS = 300.0
"""A source that is well again is noticed at most so much later."""
_MOST_DOUBLINGS = 16


class Circuit(NamedTuple):
    """What is remembered of a source that fails.

    Attributes:
        failure: The last.
        failures: How many there were in a row.
        well_at: When it last answered, or was asked for the first time; monotonic seconds, as all times here.
        asked_at: When it was last asked.
        passed_over: On how many occasions it was not, since.
        passed_at: The last of them; None when there was none.
        longest_gap: Seconds between two occasions since, at most.
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
        """Whether it is asked less often."""
        return self.failures >= FAILURES or self.rest_seconds > 0

    @property
    def rest_seconds(self) -> float:
        """For how long it is left alone because it asked for that: an exchange bans those who do not listen."""
        return min(self.failure.retry_after_seconds or 0.0, LONGEST_PAUSE_SECONDS)


def after_failure(before: Circuit | None, failure: CallError, well_at: float, asked_at: float) -> Circuit:
    """Return what to remember when a source that was asked at a time has failed."""
    return Circuit(failure, before.failures + 1 if before is not None else 1, well_at, asked_at)


def pass_over(circuit: Circuit, now: float) -> Circuit:
    """Return what to remember when a source was not asked on an occasion."""
    return circuit._replace(passed_over=circuit.passed_over + 1, passed_at=now, longest_gap=_longest_gap(circuit, now))


def _longest_gap(circuit: Circuit, now: float) -> float:
    last = circuit.asked_at if circuit.passed_at is None else circuit.passed_at
    return max(circuit.longest_gap, now - last)


def is_due(circuit: Circuit, now: float, stalenesses: Iterable[float]) -> bool:
    """Whether to ask on this occasion.

    Args:
        circuit: What is remembered.
        now: The moment.
        stalenesses: After how many seconds without a reading modes are called unknown. Of what is left until then no
            more than half is waited: a source that is well again in time must be seen to be. Once it is over, no
            more than half of the whole: what is unknown must not stay so for long when its source is well again.
            Only one that limits how often it is asked is not asked before it allows that, but on the last occasion
            before modes are unknown.
    """
    occasions = circuit.passed_over + 1
    waited = now - circuit.asked_at
    # The next occasion is expected as far from this one as any two were: several intervals may have one at a time.
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
