"""A plugin that raises, hangs or returns invalid data costs its own reading and nothing else."""

import asyncio
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Self

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.errors import DeliveryError, FailureReason, SourceError
from reservd.monitor.observer import Observer
from reservd.plugin import AccountFailure, Balance, Reading
from reservd.reserve.models import ReserveEvent
from reservd.store.database import Database, parse_url
from support.office import Office
from support.polling import until
from support.sources import (
    Behaviour,
    ScriptedBalances,
    ScriptedEquity,
    ScriptedSink,
    hangs,
    ignores_cancellation,
    raises,
    returns,
)

BASE = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_monitoring_interval": "0.1"}
NOW = datetime.now(UTC)


class Failures(Observer):
    """Records why readings failed."""

    def __init__(self) -> None:
        self.reasons: list[tuple[str, FailureReason | None]] = []

    def fetched(self, source: str, seconds: float, failure: FailureReason | None) -> None:
        self.reasons.append((source, failure))


async def generator_that_breaks() -> AsyncIterator[int]:
    yield 1


WAYS: dict[str, tuple[Behaviour, FailureReason]] = {
    "raises": (raises(RuntimeError("no")), FailureReason.INTERNAL),
    "says why": (raises(SourceError(FailureReason.RATE_LIMITED, "slow down")), FailureReason.RATE_LIMITED),
    "ends the interpreter": (raises(SystemExit(1)), FailureReason.INTERNAL),
    "interrupts": (raises(KeyboardInterrupt()), FailureReason.INTERNAL),
    "cancels itself": (raises(asyncio.CancelledError()), FailureReason.INTERNAL),
    "gives up waiting": (raises(TimeoutError()), FailureReason.TIMEOUT),
    "hangs": (hangs, FailureReason.TIMEOUT),
    "returns nothing": (returns(None), FailureReason.INVALID_DATA),
    "returns a number": (returns(12.5), FailureReason.INVALID_DATA),
    "returns a list of numbers": (returns(Reading([math.nan])), FailureReason.INVALID_DATA),  # type: ignore[list-item]
    "returns what cannot be counted": (returns(Reading(12)), FailureReason.INTERNAL),  # type: ignore[arg-type]
    "says two things of one account": (
        returns(Reading([Balance("main", "USDT", Decimal(n), NOW) for n in (1, 2)])),
        FailureReason.INVALID_DATA,
    ),
    "gives a failure that is none": (returns(Reading([], ["oops"])), FailureReason.INVALID_DATA),  # type: ignore[list-item]
}


@pytest.mark.parametrize("way", WAYS)
async def test_balance_source_costs_its_own_mode_only(way: str) -> None:
    behaviour, reason = WAYS[way]
    seen = Failures()
    bad, good = ScriptedBalances("bad", timeout=0.1, main=110), ScriptedBalances("good", main=110)
    manager = ReserveManager(ScriptedEquity(), {"bad": bad, "good": good}, observers=[seen])
    for name in ("bad", "good"):
        manager.set_reserve_config(name, {**BASE, "reserve_balance_sources": [name]})
    heard: list[ReserveEvent] = []
    manager.add_reserve_callback(heard.append)
    await manager.check_all_reserves()
    bad.misbehave = behaviour
    found = await manager.check_all_reserves()
    assert found["good"].status is ReserveStatus.ADEQUATE
    assert found["bad"].status is ReserveStatus.UNKNOWN
    assert manager.status("bad") is ReserveStatus.ADEQUATE, "the last good status stays until it is too old"
    assert ("bad", reason) in seen.reasons
    assert found["bad"].missing[0].startswith(f"bad/main: {reason}")
    bad.misbehave = None
    found = await manager.check_all_reserves()
    assert found["bad"].status is ReserveStatus.ADEQUATE
    await manager.close()
    assert heard == []


OF_READINGS = {"returns a list of numbers", "says two things of one account", "gives a failure that is none"}


@pytest.mark.parametrize("way", sorted(WAYS.keys() - OF_READINGS))
async def test_equity_source_costs_its_own_mode_only(way: str) -> None:
    behaviour, reason = WAYS[way]
    seen = Failures()
    bad, good = ScriptedEquity("bad", timeout=0.1), ScriptedEquity("good")
    sources = {"a": ScriptedBalances("a", main=110), "b": ScriptedBalances("b", main=110)}
    manager = ReserveManager({"bad": bad, "good": good}, sources, observers=[seen])
    manager.set_reserve_config("bad", {**BASE, "reserve_balance_sources": ["a"], "reserve_equity_source": "bad"})
    manager.set_reserve_config("good", {**BASE, "reserve_balance_sources": ["b"], "reserve_equity_source": "good"})
    bad.misbehave = behaviour
    found = await manager.check_all_reserves()
    assert found["good"].status is ReserveStatus.ADEQUATE
    assert found["bad"].status is ReserveStatus.UNKNOWN
    assert found["bad"].reserve_balance == 110, "a missing equity does not hide the balance"
    expected = FailureReason.INVALID_DATA if way == "returns what cannot be counted" else reason
    assert ("bad", expected) in seen.reasons
    await manager.close()


async def test_source_that_ignores_its_cancellation_is_left_behind_and_not_asked_a_second_time() -> None:
    """Checks wait for it no longer than its timeout, and it is read again once the old call has ended."""
    ended = asyncio.Event()
    source = ScriptedBalances("stubborn", timeout=0.05, main=110)
    manager = ReserveManager(ScriptedEquity(), {"stubborn": source})
    manager.set_reserve_config("m", BASE)
    source.misbehave = ignores_cancellation(ended)
    for _ in range(3):
        found = await manager.check_all_reserves()
        assert found["m"].status is ReserveStatus.UNKNOWN
    assert source.reads == 1
    assert "has still not ended" in found["m"].missing[0]
    ended.set()
    source.misbehave = None
    while (await manager.check_all_reserves())["m"].status is ReserveStatus.UNKNOWN:
        await asyncio.sleep(0.01)
    assert source.reads == 2
    await manager.close()


async def test_source_is_opened_again_when_it_could_not_be_opened_before() -> None:
    class Shy(ScriptedBalances):
        async def __aenter__(self) -> Self:
            if not self.opened:
                self.opened += 1
                raise OSError("not yet")
            return await super().__aenter__()

        async def __aexit__(self, *_: object) -> None:
            raise OSError("not twice")

    source = Shy("shy", main=110)
    manager = ReserveManager(ScriptedEquity(), {"shy": source})
    manager.set_reserve_config("m", BASE)
    assert (await manager.check_all_reserves())["m"].status is ReserveStatus.UNKNOWN
    assert (await manager.check_all_reserves())["m"].status is ReserveStatus.ADEQUATE
    await manager.close()


async def test_partial_reading_is_adequate_only_when_what_was_read_is_enough_alone() -> None:
    """One of two accounts cannot be read: the other alone is enough for adequate, but too little alone is unknown."""
    source = ScriptedBalances("t", a=110, b=50)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", BASE)

    def partial(amount: int) -> Behaviour:
        failure = AccountFailure("b", FailureReason.TIMEOUT, "too slow")
        return returns(Reading([Balance("a", "USDT", Decimal(amount), datetime.now(UTC))], [failure]))

    source.misbehave = partial(110)
    found = await manager.check_all_reserves()
    assert found["m"].status is ReserveStatus.ADEQUATE
    assert found["m"].missing == ("t/b: timeout: too slow",)
    source.misbehave = partial(60)
    found = await manager.check_all_reserves()
    assert found["m"].status is ReserveStatus.UNKNOWN
    assert manager.status("m") is ReserveStatus.ADEQUATE


async def test_balance_is_not_believed_when_its_account_failed_as_well() -> None:
    """A plugin that begins with 0 and then notes why it could not read the account raises no alarm."""
    source = ScriptedBalances("t", main=110)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", BASE)
    await manager.check_all_reserves()
    source.misbehave = returns(
        Reading(
            [Balance("main", "USDT", Decimal(0), datetime.now(UTC))],
            [AccountFailure("main", FailureReason.TIMEOUT, "too slow")],
        )
    )
    for _ in range(3):
        found = await manager.check_all_reserves()
        assert (found["m"].status, found["m"].missing) == (ReserveStatus.UNKNOWN, ("t/main: timeout: too slow",))
    assert manager.status("m") is ReserveStatus.ADEQUATE
    await manager.close()


@pytest.mark.parametrize("age_seconds", [-3600, 3600])
async def test_reading_is_not_believed_when_it_is_too_old_or_from_the_future(age_seconds: int) -> None:
    """An exchange that keeps returning yesterday's balance, or whose clock is an hour ahead."""
    source = ScriptedBalances("t", main=110)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", BASE)
    at = datetime.fromtimestamp(datetime.now(UTC).timestamp() - age_seconds, UTC)
    source.misbehave = returns(Reading([Balance("main", "USDT", Decimal(110), at)]))
    found = await manager.check_all_reserves()
    assert found["m"].status is ReserveStatus.UNKNOWN
    assert "too far from the present to be trusted: reserve_max_staleness is 120 s" in found["m"].missing[0]


@pytest.mark.parametrize(
    ("age_seconds", "why"), [(-3600, "too far from the present"), (3600, "too far from the present"), (90, "s apart")]
)
async def test_one_balance_of_another_time_costs_its_own_mode_alone(age_seconds: int, why: str) -> None:
    """Many modes may share a source: a balance that is dated too early or too late costs only its own mode."""
    source = ScriptedBalances("t", fresh=110, old=110)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    for mode in source.amounts:
        manager.set_reserve_config(mode, {**BASE, "reserve_balance_sources": [f"t/{mode}"], "reserve_max_skew": 60})
    now = datetime.now(UTC)
    times = {"fresh": now, "old": now - timedelta(seconds=age_seconds)}
    source.misbehave = returns(Reading([Balance(mode, "USDT", Decimal(110), at) for mode, at in times.items()]))
    for _ in range(2):
        found = await manager.check_all_reserves()
        assert found["fresh"].status is ReserveStatus.ADEQUATE
        assert found["old"].status is ReserveStatus.UNKNOWN
        assert why in found["old"].missing[0]


async def test_asset_is_missing_and_not_zero_when_a_source_says_nothing_of_it() -> None:
    source = ScriptedBalances("t", main=110)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", BASE)
    source.misbehave = returns(Reading([Balance("main", "usdt", Decimal(110), datetime.now(UTC))]))
    found = await manager.check_all_reserves()
    assert found["m"].status is ReserveStatus.UNKNOWN
    assert found["m"].missing == ("t/main: USDT is missing",)


SINK_WAYS: dict[str, tuple[Behaviour, FailureReason]] = {
    "raises": (raises(ValueError("no")), FailureReason.INTERNAL),
    "refuses": (raises(DeliveryError(FailureReason.REJECTED, retryable=False)), FailureReason.REJECTED),
    "hangs": (hangs, FailureReason.TIMEOUT),
    "ends the interpreter": (raises(SystemExit()), FailureReason.INTERNAL),
}


@pytest.mark.parametrize("way", SINK_WAYS)
async def test_sink_costs_its_own_deliveries_only(way: str, tmp_path: Path) -> None:
    behaviour, reason = SINK_WAYS[way]
    bad, good = ScriptedSink("bad", timeout=0.05), ScriptedSink("good")
    bad.misbehave = behaviour
    database = Database(parse_url("sqlite:///store.db", tmp_path))
    async with Office(database, bad, good) as office:
        await office.look(m="critical")
        await until(
            lambda: {("bad", reason), ("good", None)} <= set(office.heard.attempts), "a delivery attempt to both sinks"
        )
    await database.close()
    assert bad.taken == []
    assert [event.type for event in good.taken] == ["reservd.reserve_critical.v1"]
    assert good.taken[0].source == "/reservd/modes/m"
    assert good.taken[0].id == good.taken[0].data.id


async def test_other_modes_are_checked_when_a_source_tells_its_block_as_a_text() -> None:
    """A balance jumps, and the block of the second reading is a text that cannot be compared with the first one."""
    bad, good = ScriptedBalances("bad", main=110), ScriptedBalances("good", main=110)
    manager = ReserveManager(ScriptedEquity(), {"bad": bad, "good": good})
    for name in ("bad", "good"):
        manager.set_reserve_config(name, {**BASE, "reserve_balance_sources": [name]})
    blocks: list[object] = [7, 8, "9"]

    async def tell() -> Reading:
        amount = Decimal(110 if len(blocks) == 3 else 10)
        return Reading([Balance("main", "USDT", amount, datetime.now(UTC), block=blocks.pop(0))])  # type: ignore[arg-type]

    bad.misbehave = tell
    await manager.check_all_reserves()
    good.amounts["main"] = 70
    found = await manager.check_all_reserves()
    assert found["bad"].missing[0].startswith("bad/main: internal")
    assert [manager.status(mode) for mode in ("bad", "good")] == [ReserveStatus.ADEQUATE, ReserveStatus.LOW]
    await manager.close()


async def test_a_mode_is_watched_when_its_equity_source_breaks_on_the_question_who_shares_an_answer() -> None:
    class Broken(ScriptedEquity):
        @property
        def by_share_class(self) -> bool:  # type: ignore[override]
            raise AttributeError("set when it is opened")

    nav = Broken()
    manager = ReserveManager(nav, {"t": ScriptedBalances("t", main=110)})
    manager.set_reserve_config("m", BASE)
    assert (await manager.check_all_reserves())["m"].status is ReserveStatus.ADEQUATE
    assert nav.asked == ["m"], "without an answer, each mode is read separately"
    await manager.close()
