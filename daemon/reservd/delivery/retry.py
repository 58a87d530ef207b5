"""When a failed delivery is retried, and when it is given up."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

_LEAST_SECONDS = 0.05
_MOST_ASKED_SECONDS = 3600.0
_MAX_DOUBLINGS = 30


def waited_out(asked_seconds: float | None) -> float:
    """Return how many of the seconds that a sink asked for are waited; 0 if it asked for none."""
    return min(asked_seconds or 0.0, _MOST_ASKED_SECONDS)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Exponential backoff with full jitter: the longest wait doubles after each failure.

    Attributes:
        first_seconds: The longest wait after the first failure.
        longest_seconds: The longest wait after any failure.
        give_up_after: The age at which an event is given up; yesterday's reserve alarm helps nobody.
    """

    first_seconds: float = 1.0
    longest_seconds: float = 300.0
    give_up_after: timedelta = timedelta(hours=24)

    def delay_seconds(self, failures: int, asked_seconds: float | None = None) -> float:
        """Return how many seconds to wait after a number of failures.

        Args:
            failures: Consecutive failures, 1 or more.
            asked_seconds: The wait that the sink asked for, respected up to an hour.
        """
        most = min(self.longest_seconds, self.first_seconds * 2 ** min(failures - 1, _MAX_DOUBLINGS))
        delay = max(_LEAST_SECONDS, random.uniform(0, most))  # noqa: S311  # spreads load, hides nothing
        return max(delay, waited_out(asked_seconds))

    def gives_up(self, decided_at: datetime, now: datetime) -> bool:
        """Return whether an event is too old to be retried."""
        return now - decided_at > self.give_up_after
