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
    """What an account may take of a reserve at most, and why no more is known of that."""

    most: int
    failure: SourceError


class Liquidity:
    """The pool's liquidity, used up by what is taken of it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._taken: Counter[Reserve] = Counter()
        self._doubtful: dict[Reserve, list[_Doubt]] = {}

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

    def check_certain(self, results: Results, reserve: Reserve, units: int) -> None:
        """Check that so many units are left whatever accounts took of which that is not known.

        Raises:
            SourceError: If they may not be: why that is not known.
        """
        doubts = self._doubtful.get(reserve, [])
        if units > self.left(results, reserve) - sum(doubt.most for doubt in doubts):
            reason, detail = doubts[0].failure.reason, doubts[0].failure.detail
            raise SourceError(reason, f"what an account before it takes is not known: {detail}")

    def doubt(self, reserve: Reserve, most: int | None, failure: SourceError) -> None:
        """Note that it is not known what an account takes; no more than `most`, where that is known."""
        self._doubtful.setdefault(reserve, []).append(_Doubt(_ALL if most is None else most, failure))

    def take(self, reserve: Reserve, units: int) -> None:
        """Count units as gone, so that they are not promised to the next account too."""
        self._taken[reserve] += units

    def _virtual_call(self, reserve: Reserve) -> Call:
        return _VIRTUAL_BALANCE.on(self._pool.address, reserve.token)
