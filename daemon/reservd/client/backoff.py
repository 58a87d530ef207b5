"""How long to wait before the next attempt."""

import random

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0


class Backoff:
    """Exponential and bounded, with full jitter: clients that lost the same daemon do not all return at once.

    Args:
        first_seconds: The longest wait before the first attempt. It doubles with each attempt.
        longest_seconds: The longest wait of all, unless the server asks for more.
    """

    def __init__(self, first_seconds: float = FIRST_SECONDS, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._most_seconds = first_seconds

    def next_seconds(self, at_least: float | None = None) -> float:
        """Return how many seconds to wait now.

        Args:
            at_least: The wait that the server asked for.
        """
        most, self._most_seconds = self._most_seconds, min(2 * self._most_seconds, self._longest_seconds)
        return random.uniform(0, most) + (at_least or 0.0)  # noqa: S311  # it spreads, and hides nothing

    def reset(self) -> None:
        """Start over from the shortest wait, after a success."""
        self._most_seconds = self._first_seconds
