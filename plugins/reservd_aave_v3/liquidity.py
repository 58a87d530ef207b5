"""What a pool can pay of each reserve, counted once over all accounts."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from reservd.plugin import SourceError
from reservd.plugin.evm import BALANCE_OF, Call, Function, Results
from reservd_aave_v3.pool import Pool, Reserve

_ALL = 2**256
_VIRTUAL_BALANCE = Function("getVirtualUnderlyingBalance", ("address",), ("uint128",))


class _Doubt(NamedTuple):
    """The most that an account may take of a reserve, and why the exact amount is unknown."""

    most: int
    failure: SourceError


class Liquidity:
    """The pool's liquidity, reduced by each amount that is taken."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._taken: Counter[Reserve] = Counter()
        self._doubtful: dict[Reserve, list[_Doubt]] = {}

    def calls(self, reserve: Reserve) -> Iterator[Call]:
        """Yield the calls for a reserve's liquidity."""
        yield BALANCE_OF.on(reserve.token, reserve.a_token)
        yield self._virtual_call(reserve)

    def left(self, results: Results, reserve: Reserve) -> int:
        """Return how many units the pool can still pay.

        Raises:
            SourceError: If that is unknown.
        """
        held = results.number(BALANCE_OF.on(reserve.token, reserve.a_token))
        virtual = self._virtual_call(reserve)
        if not results.reverted(virtual):  # pools before v3.1 have no such function
            held = min(held, results.number(virtual))
        return held - self._taken[reserve]

    def check_certain(self, results: Results, reserve: Reserve, units: int) -> None:
        """Check that this many units are left, whatever accounts with unknown amounts have taken.

        Raises:
            SourceError: If they may not be; gives the reason why an amount is unknown.
        """
        doubts = self._doubtful.get(reserve, [])
        if units > self.left(results, reserve) - sum(doubt.most for doubt in doubts):
            reason, detail = doubts[0].failure.reason, doubts[0].failure.detail
            raise SourceError(reason, f"the amount of an earlier account is not known: {detail}")

    def doubt(self, reserve: Reserve, most: int | None, failure: SourceError) -> None:
        """Note that an account takes an unknown amount, at most `most` if that is known."""
        self._doubtful.setdefault(reserve, []).append(_Doubt(_ALL if most is None else most, failure))

    def take(self, reserve: Reserve, units: int) -> None:
        """Subtract units, so that the next account does not count on them too."""
        self._taken[reserve] += units

    def _virtual_call(self, reserve: Reserve) -> Call:
        return _VIRTUAL_BALANCE.on(self._pool.address, reserve.token)
