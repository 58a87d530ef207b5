"""The distance between requests, so that an exchange never limits them."""

import asyncio


class Pace:
    """Starts requests one after another, each after the cost of the one before.

    It replaces ccxt's limiter, which does not count idle time: with that, the first request after an idle
    hour waits for the cost of the last one, a fifth of a second at Binance.
    """

    def __init__(self, rate_limit_ms: float) -> None:
        """Prepare.

        Args:
            rate_limit_ms: Milliseconds for a request of cost 1.
        """
        self._seconds = rate_limit_ms / 1000
        self._free_at = 0.0

    async def wait(self, cost: float | None = None) -> None:
        """Return when a request may start.

        Args:
            cost: Its cost at the exchange; 1 if unknown.
        """
        delay = self.take(1 if cost is None else float(cost), asyncio.get_running_loop().time())
        if delay > 0:
            await asyncio.sleep(delay)

    def take(self, cost: float, now: float) -> float:
        """Return the seconds until a request may start, and reserve that time for it.

        Args:
            cost: Its cost at the exchange.
            now: The present, in seconds of any steady clock.
        """
        begin = max(now, self._free_at)
        self._free_at = begin + self._seconds * cost
        return begin - now
