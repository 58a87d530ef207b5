"""When a failed delivery is tried again, and when it is given up."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

_LEAST_SECONDS = 0.05
_MOST_ASKED_SECONDS = 3600.0
_MAX_DOUBLINGS = 30


def waited_out(asked_seconds: float | None) -> float:
    """Return for how many seconds the other side is left alone of those that it asked for; 0 if it did not."""
    return min(asked_seconds or 0.0, _MOST_ASKED_SECONDS)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Exponential with full jitter: so many seconds at most, twice as many after each failure.

    Attributes:
        first_seconds: The most to wait after the first failure.
        longest_seconds: The most to wait after any.
        give_up_after: How old an event may grow; a reserve alarm of yesterday helps nobody.
    """

    first_seconds: float = 1.0
    longest_seconds: float = 300.0
    give_up_after: timedelta = timedelta(hours=24)

    def delay_seconds(self, failures: int, asked_seconds: float | None = None) -> float:
        """Return how long to wait after so many failures.

        Args:
            failures: In a row, 1 or more.
            asked_seconds: What the other side asked for; waited out, up to an hour.
        """
        most = min(self.longest_seconds, self.first_seconds * 2 ** min(failures - 1, _MAX_DOUBLINGS))
        delay = max(_LEAST_SECONDS, random.uniform(0, most))  # noqa: S311  # spreads load, hides nothing
        return max(delay, waited_out(asked_seconds))

    def gives_up(self, decided_at: datetime, now: datetime) -> bool:
        """Whether an event is too old to be tried again."""
        return now - decided_at > self.give_up_after
