"""What a pool can pay of each reserve, counted once over all accounts."""

from collections import Counter
from collections.abc import Iterator

from reservd.plugin.evm import BALANCE_OF, Call, Function, Results
from reservd_aave_v3.pool import Pool, Reserve

_VIRTUAL_BALANCE = Function("getVirtualUnderlyingBalance", ("address",), ("uint128",))


class Liquidity:
    """The pool's liquidity, used up by what is taken of it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._taken: Counter[Reserve] = Counter()

    def calls(self, reserve: Reserve) -> Iterator[Call]:
        """Give what tells a reserve's liquidity."""
        yield BALANCE_OF.on(reserve.token, reserve.a_token)
        yield self._virtual_call(reserve)

    def left(self, results: Results, reserve: Reserve) -> int:
        """Return how many units the pool can still pay.

        Raises:
            SourceError: If it is not known.
        """
        held = results.number(BALANCE_OF.on(reserve.token, reserve.a_token))
        virtual = self._virtual_call(reserve)
        if not results.reverted(virtual):  # pools before v3.1 have no such function
            held = min(held, results.number(virtual))
        return held - self._taken[reserve]

    def take(self, reserve: Reserve, units: int) -> None:
        """Count units as gone, so that they are not promised to the next account too."""
        self._taken[reserve] += units

    def _virtual_call(self, reserve: Reserve) -> Call:
        return _VIRTUAL_BALANCE.on(self._pool.address, reserve.token)
