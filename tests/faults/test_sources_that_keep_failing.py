"""Sources that fail again and again are read less often, affect no other source, and recover without help.

Each mode needs 100 USDT, a tenth of its equity of 1,000, and is checked 50 times a second.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from reservd import ReserveManager
from reservd.errors import FailureReason, SourceError
from reservd.web.metrics import Metrics, Series
from support.hand_clock import HandClock
from support.polling import until
from support.sources import ScriptedBalances, ScriptedEquity, hangs, raises

MODE = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_monitoring_interval": "0.02"}
RATE_LIMITED = SourceError(FailureReason.RATE_LIMITED, "come back later")


class Room:
    """Two modes with a source each, of which one will fail, and their metrics."""

    def __init__(self, staleness: float, clock: HandClock | None = None) -> None:
        self.nav = ScriptedEquity()
        self.failing = ScriptedBalances("failing", timeout=1.0, main=110)
        self.well = ScriptedBalances("well", main=110)
        self.metrics = Metrics(Series({"m": "USDT", "other": "USDT"}, [0.02], ["failing", "well", "nav"]))
        sources = {"failing": self.failing, "well": self.well}
        self.manager = ReserveManager(self.nav, sources, observers=[self.metrics], clock=clock)
        for mode, source in (("m", "failing"), ("other", "well")):
            config = {**MODE, "reserve_balance_sources": [source], "reserve_max_staleness": staleness}
            self.manager.set_reserve_config(mode, config)

    def sample(self, name: str, source: str = "failing") -> float | None:
        """Return the value of a metric for a source."""
        return self.metrics.registry.get_sample_value(name, {"source": source})

    @property
    def open(self) -> bool:
        """Whether the metric shows that the failing source is read less often."""
        return self.sample("reservd_source_circuit_open") == 1


@asynccontextmanager
async def room(staleness: float = 0.02, clock: HandClock | None = None) -> AsyncIterator[Room]:
    """Start monitoring and wait until both modes are adequate."""
    found = Room(staleness, clock)
    running = asyncio.create_task(found.manager.start_monitoring())
    try:
        await until(lambda: {found.manager.status(mode) for mode in ("m", "other")} == {"adequate"})
        yield found
    finally:
        found.manager.stop_monitoring()
        await running


async def test_source_is_asked_ever_less_often_when_it_fails_for_many_cycles() -> None:
    async with room(staleness=60) as here:  # the last seconds before unknown would be worth more readings
        here.failing.misbehave = raises(RATE_LIMITED)
        reads, others = here.failing.reads, here.well.reads
        await until(lambda: here.well.reads >= others + 60)
        assert here.open
        assert here.failing.reads - reads < 12
        assert here.sample("reservd_source_circuit_open", "well") == 0


async def test_others_are_looked_at_as_before_when_a_source_hangs_again_and_again() -> None:
    async with room() as here:
        here.failing.misbehave = hangs
        await until(lambda: here.open)
        reads = here.well.reads
        await until(lambda: here.well.reads >= reads + 20)
        here.well.amounts["main"] = 90
        await until(lambda: here.manager.status("other") == "low")


async def test_mode_is_unknown_in_time_and_says_the_last_reason_when_its_source_is_not_asked() -> None:
    async with room(staleness=0.6) as here:
        here.failing.misbehave = raises(RATE_LIMITED)
        await until(lambda: here.manager.status("m") == "unknown")
        latest = here.manager.latest_snapshot("m")
        assert latest is not None
        assert latest.missing == ("failing/main: rate_limited: come back later",)


@pytest.mark.parametrize("staleness", [0.02, 60])
async def test_recovery_is_seen_without_help_when_the_source_answers_again(staleness: float) -> None:
    """The next probe succeeds, and from then on the source is read in every cycle again."""
    async with room(staleness) as here:
        here.failing.misbehave = raises(RATE_LIMITED)
        await until(lambda: here.open)
        here.failing.amounts["main"] = 90
        here.failing.misbehave = None
        await until(lambda: here.manager.status("m") == "low")
        assert not here.open
        reads, others = here.failing.reads, here.well.reads
        await until(lambda: here.well.reads >= others + 30)
        # On a busy machine a cycle may use the late reading of the cycle before. Half as many would be one pause.
        assert here.failing.reads - reads >= 25


async def test_source_is_left_alone_from_the_first_time_that_it_asks_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mode becomes unknown in time; before that, the source is read once more."""
    clock = HandClock()
    by_hand = SimpleNamespace(monotonic=lambda: clock.now().monotonic)
    monkeypatch.setattr("reservd.monitor.sources.reader.time", by_hand)
    async with room(60, clock) as here:
        here.failing.misbehave = raises(SourceError(FailureReason.RATE_LIMITED, "HTTP 429", retry_after_seconds=3600))
        reads = here.failing.reads
        await until(lambda: here.open)
        for seconds, asked in ((0, 1), (45, 2), (16, 2)):  # the cycle after the 45 s could be the last before unknown
            clock.advance(seconds)
            others = here.well.reads
            await until(lambda others=others: here.well.reads >= others + 20)
            assert here.failing.reads - reads == asked
            assert (here.manager.status("m") == "unknown") is (seconds == 16)
        assert here.manager.status("other") == "adequate"


async def test_source_is_taken_back_once_it_has_been_left_alone_for_as_long_as_it_asked() -> None:
    async with room(staleness=60) as here:
        here.failing.misbehave = raises(SourceError(FailureReason.REJECTED, "HTTP 503", retry_after_seconds=0.2))
        await until(lambda: here.open)
        here.failing.amounts["main"] = 90
        here.failing.misbehave = None
        await until(lambda: here.manager.status("m") == "low")
        assert not here.open


async def test_nothing_is_asked_less_often_when_only_every_second_reading_fails() -> None:
    async with room() as here:
        calls = 0
        plain = here.failing.fetch_balances

        async def every_second() -> object:
            nonlocal calls
            calls += 1
            if calls % 2:
                raise RATE_LIMITED
            here.failing.misbehave = None
            try:
                return await plain()
            finally:
                here.failing.misbehave = every_second

        here.failing.misbehave = every_second
        others = here.well.reads
        await until(lambda: here.well.reads >= others + 20)
        assert not here.open


async def test_equity_that_fails_again_and_again_is_asked_less_often_too() -> None:
    async with room(staleness=60) as here:  # the last seconds before unknown would be worth more readings
        here.nav.misbehave = raises(OSError())
        asked, others = len(here.nav.asked), here.well.reads
        await until(lambda: here.well.reads >= others + 60)
        assert len(here.nav.asked) - asked < 12
        assert here.sample("reservd_source_circuit_open", "nav") == 1
        here.nav.misbehave = None
        await until(lambda: here.sample("reservd_source_circuit_open", "nav") == 0)


async def test_it_is_logged_once_when_a_source_goes_and_once_when_it_is_back() -> None:
    with capture_logs() as logs:
        async with room() as here:
            here.failing.misbehave = raises(RATE_LIMITED)
            others = here.well.reads
            await until(lambda: here.well.reads >= others + 40)
            here.failing.misbehave = None
            await until(lambda: not here.open)
    told = [log["event"] for log in logs if log["event"].startswith("source.")]
    assert told == ["source.failed", "source.circuit_opened", "source.recovered"]


async def test_source_that_a_reload_took_out_is_not_told_of_when_its_last_call_fails_at_last() -> None:
    """It was removed because it hangs, so a call to it is usually in progress.

    Its late failure must create no metric.
    """
    async with room() as here:
        reader = here.manager._readers.balances["failing"]
        reader.guarded.timeout_seconds = 60.0
        given_up, asked = asyncio.Event(), here.failing.reads

        async def fail_late() -> None:
            await given_up.wait()
            raise SourceError(FailureReason.UNREACHABLE)

        here.failing.misbehave = fail_late
        await until(lambda: here.failing.reads > asked)
    late = reader.read()
    here.metrics.configure(Series({"other": "USDT"}, [0.02], ["well", "nav"]))
    given_up.set()
    await late
    assert here.sample("reservd_source_up") is None
    assert here.sample("reservd_fetches_total") is None
