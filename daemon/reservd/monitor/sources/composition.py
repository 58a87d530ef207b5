"""The readers that sources use to build on other sources."""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

from reservd.errors import CallError
from reservd.monitor.sources.readers import BalanceReader, EquityReader, PriceReader
from reservd.plugin.composition import BalanceReference, EquityReference, PriceReference, Readers, only
from reservd.reserve.readings import Equity, Price, Reading

T = TypeVar("T")


class SharedReaders(Readers):
    """Reads each source at most once a cycle, under its own guard, whoever asks.

    If a caller gives up waiting the reading goes on, since others may wait for it, too.
    """

    def __init__(
        self,
        balances: Mapping[str, BalanceReader],
        equities: Mapping[str, EquityReader],
        prices: Mapping[str, PriceReader],
    ) -> None:
        super().__init__(
            {name: reader.source for name, reader in balances.items()},
            {name: reader.source for name, reader in equities.items()},
            {name: reader.source for name, reader in prices.items()},
        )
        self._balance_readers = balances
        self._equity_readers = equities
        self._price_readers = prices

    async def balances(self, reference: BalanceReference) -> Reading:
        """Return the source's reading in this cycle; raises `CallError`."""
        table = await asyncio.shield(self._balance_readers[reference.instance].read())
        return only(table.reading(), reference)

    async def equity(self, reference: EquityReference, mode: str, currency: str) -> Equity:
        """Return the source's reading in this cycle; raises `CallError`."""
        reader = self._equity_readers[reference.instance]
        return await _answer(reader.read(reader.key(mode, currency), currency))

    async def price(self, reference: PriceReference, base: str, quote: str) -> Price:
        """Return the source's reading in this cycle; raises `CallError`."""
        return await _answer(self._price_readers[reference.instance].read(base, quote))


async def _answer(reading: "asyncio.Task[T | CallError]") -> T:
    """Return the result of a reading, or raise its failure as a new error, since others may share it."""
    answer = await asyncio.shield(reading)
    if isinstance(answer, CallError):
        raise CallError(answer.reason, answer.detail)
    return answer
