"""A monotonic clock that advances only when somebody sleeps on it: minutes of waiting take no time."""

from collections.abc import Awaitable, Callable


class SleepingClock:
    """A clock in seconds that `sleep` advances.

    Attributes:
        seconds: The current time.
        meanwhile: Called with the time at each tick, every tenth of a second.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.meanwhile: Callable[[float], Awaitable[None]] | None = None

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Let this much time pass, in whole tenths of a second."""
        for _ in range(round(seconds * 10)):
            self.seconds = round(self.seconds + 0.1, 1)
            if self.meanwhile is not None:
                await self.meanwhile(self.seconds)
