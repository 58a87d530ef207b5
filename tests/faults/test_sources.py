"""Sources that misbehave: they must neither raise nor end an alarm.

Each source reads from the real server behind a front that misbehaves: a reserve of 110 or 74 with a target of 100, an
equity with a reserve of 10 for a target of a tenth, or the price of what most of an equity consists of.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from reservd import ReserveStatus
from support.rigs.chains import AaveV3, Erc4626, Evm
from support.rigs.exchanges import Ccxt, CcxtOnBybit, CcxtOnKraken, CcxtOnOkx
from support.rigs.ledgers import PostgresqlLedger, SqliteLedger
from support.rigs.local import Command
from support.rigs.prices import CcxtPrice, CcxtPriceWithoutTime, ChainlinkPrice, HttpJsonPrice
from support.rigs.servers import AMOUNTS, Servers
from support.rigs.venues import HttpJson, OfPrometheus
from support.rigs.watch import EquityWatch, PriceWatch, Watch

UNKNOWN = ReserveStatus.UNKNOWN


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    servers = Servers()
    try:
        yield servers
    finally:
        servers.close()


RIGS: dict[str, Any] = {
    "evm": Evm,
    "erc4626": Erc4626,
    "aave_v3": AaveV3,
    "ccxt on Binance": Ccxt,
    "ccxt on Bybit": CcxtOnBybit,
    "ccxt on OKX": CcxtOnOkx,
    "ccxt on Kraken": CcxtOnKraken,
    "http_json": HttpJson,
    "prometheus": OfPrometheus,
    "sql on SQLite": SqliteLedger,
    "sql on PostgreSQL": PostgresqlLedger,
    "command": Command,
}
WITHOUT_EQUITY = {"evm", *(kind for kind in RIGS if kind.startswith("ccxt"))}
PRICE_RIGS: dict[str, Any] = {
    "price of ccxt": CcxtPrice,
    "price of ccxt without a time": CcxtPriceWithoutTime,
    "price of http_json": HttpJsonPrice,
    "price of chainlink": ChainlinkPrice,
}


@pytest.fixture
async def watch(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> AsyncIterator[Watch]:
    """A source that reports either amount, checked once."""
    make, kind, amount = request.param
    fault = request.node.callspec.params.get("fault", "")
    async with (RIGS | PRICE_RIGS)[kind](servers, amount, tmp_path, fault, of_equity=make.of_equity) as rig:
        watch: Watch = make(rig)
        await watch.look_until(watch.begin)
        yield watch
        await watch.manager.close()


def sources(*kinds: str) -> Iterator[tuple[Any, str, str]]:
    """Yield for each source of these kinds: the class that watches it, its kind and its name."""
    for kind in kinds:
        if kind in PRICE_RIGS:
            yield PriceWatch, kind, kind
            continue
        yield Watch, kind, kind
        if kind not in WITHOUT_EQUITY:
            yield EquityWatch, kind, f"equity of {kind}"


def each(*kinds: str) -> list[Any]:
    return [
        pytest.param((make, kind, amount), id=f"{name}-{AMOUNTS[amount]}")
        for make, kind, name in sources(*kinds)
        for amount in AMOUNTS
    ]


CASES = [
    pytest.param((make, kind, amount), fault, id=f"{name} {fault}-{AMOUNTS[amount]}")
    for make, kind, name in sources(*RIGS, *PRICE_RIGS)
    for fault in (RIGS | PRICE_RIGS)[kind].FAULTS
    for amount in AMOUNTS
]


@pytest.mark.parametrize(("watch", "fault"), CASES, indirect=["watch"])
async def test_status_is_neither_better_nor_worse_but_unknown_in_time(watch: Watch, fault: str) -> None:
    before, begin = list(watch.said), watch.begin
    broken = watch.rig.breaks(fault)()
    if broken is not None:
        await broken
    await watch.look(3)
    assert (watch.status, watch.said) == (begin, before)
    snapshot = watch.manager.latest_snapshot("m")
    assert snapshot is not None
    assert (snapshot.status, watch.told(snapshot)) == (UNKNOWN, None)
    assert snapshot.missing
    await watch.look(3)
    assert (watch.status, watch.said) == (UNKNOWN, [*before, "unknown"])
    await watch.rig.heal()
    await watch.look_until(begin)
    assert watch.said == [*before, "unknown", str(begin)]


@pytest.mark.parametrize("watch", each(*RIGS), indirect=True)
async def test_nothing_is_said_when_a_source_reads_zero_by_mistake(watch: Watch) -> None:
    """A fall to 0 is a jump: it is read again, at once where it could change a status, and the second reading is as
    before.
    """
    before, amount = list(watch.said), watch.read[-1]
    watch.read.clear()
    watch.rig.tells_zero_once()
    await watch.look(2)
    first, *others = watch.read
    assert (first, set(others)) == (0, {amount})
    assert (watch.status, watch.said) == (watch.begin, before)


@pytest.mark.parametrize("watch", each("evm", "erc4626", "aave_v3"), indirect=True)
async def test_nothing_is_said_when_a_node_reads_zero_at_one_block(watch: Watch) -> None:
    """However often that block is read: only a reading of a newer block confirms it."""
    before, amount = list(watch.said), watch.read[-1]
    watch.read.clear()
    watch.rig.tells_zero()
    await watch.look(3)
    assert len(watch.read) >= 3
    assert set(watch.read) == {0}
    assert (watch.status, watch.said) == (watch.begin, before)
    await watch.rig.heal()
    watch.rig.servers.chain.mine()
    await watch.look()
    assert watch.read[-1] == amount
    assert (watch.status, watch.said) == (watch.begin, before)


@pytest.mark.parametrize("watch", each(*PRICE_RIGS), indirect=True)
async def test_nothing_is_said_when_a_price_is_ten_times_too_high_once(watch: Watch) -> None:
    """The equity jumps: it is read again at once, and the second reading is as before."""
    before, amount = list(watch.said), watch.read[-1]
    watch.read.clear()
    watch.rig.tells_ten_times_too_much_once()
    await watch.look(2)
    first, *others = watch.read
    assert first is not None
    assert amount is not None
    assert first > 5 * amount
    assert set(others) == {amount}
    assert (watch.status, watch.said) == (watch.begin, before)
