"""How far requests are kept apart, so that an exchange never limits them."""

import asyncio


class Pace:
    """Lets requests begin one after another, each so long after the one before as that one cost.

    It stands in place of ccxt's limiter, which does not count the time in which nothing was asked: there the first
    request after an hour of silence waits for what the last one cost, a fifth of a second at Binance.
    """

    def __init__(self, rate_limit_ms: float) -> None:
        """Prepare.

        Args:
            rate_limit_ms: Milliseconds that a request of cost 1 takes up.
        """
        self._seconds = rate_limit_ms / 1000
        self._free_at = 0.0

    async def wait(self, cost: float | None = None) -> None:
        """Return when a request may begin.

        Args:
            cost: What the exchange counts it as; 1 when it is not told.
        """
        delay = self.take(1 if cost is None else float(cost), asyncio.get_running_loop().time())
        if delay > 0:
            await asyncio.sleep(delay)

    def take(self, cost: float, now: float) -> float:
        """Return after how many seconds a request may begin, which is then expected to do so.

        Args:
            cost: What the exchange counts it as.
            now: The moment, in seconds of any steady clock.
        """
        begin = max(now, self._free_at)
        self._free_at = begin + self._seconds * cost
        return begin - now
