"""A monotonic clock that stands still until somebody sleeps by it: minutes of waiting pass in no time."""

from collections.abc import Awaitable, Callable


class SleepingClock:
    """Tells seconds, and makes them pass.

    Attributes:
        seconds: What it shows.
        meanwhile: What happens at each of its ticks, a tenth of a second apart; it is given the second.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.meanwhile: Callable[[float], Awaitable[None]] | None = None

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass, whole tenths of a second."""
        for _ in range(round(seconds * 10)):
            self.seconds = round(self.seconds + 0.1, 1)
            if self.meanwhile is not None:
                await self.meanwhile(self.seconds)
