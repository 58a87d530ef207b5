"""Sources that lag: a constant lag is fine, and a source that stands still makes its mode unknown in time.

A mode needs 100 USDT, a tenth of its equity of 1,000, is checked every 30 seconds and believes observations for up to
120 seconds. A mode that is adequate and unchanged is not evaluated in every cycle, but its age must still count.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.errors import FailureReason, SourceError
from reservd.plugin import Balance, Equity, Reading
from reservd.reserve.models import ReserveEvent
from reservd.reserve.state import Instant
from reservd.store.encoding import encode
from reservd.store.states import decode_state
from support.bank import Clock
from support.sources import ScriptedBalances, ScriptedEquity, raises

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus


class HeldClock(Clock):
    """A clock that the test alone advances, so that ages are exact however long the machine takes."""

    def __init__(self) -> None:
        super().__init__()
        self._begin = super().now()

    def now(self) -> Instant:
        return Instant(self._begin.wall + self.ahead, self._begin.monotonic + self.ahead.total_seconds())


class Behind:
    """A mode whose sources report past observations.

    Attributes:
        behind: The lag in seconds of each source: `balance` and `equity`.
        events: All events so far.
    """

    def __init__(self) -> None:
        self.behind = {"balance": 0.0, "equity": 0.0}
        self.clock = HeldClock()
        self.bank = ScriptedBalances("bank", main=150)
        self.nav = ScriptedEquity()
        self.bank.misbehave, self.nav.misbehave = self._balances, self._equity
        self.events: list[ReserveEvent] = []
        self.start()

    def start(self) -> None:
        """Start without stored state."""
        self.manager = ReserveManager(self.nav, {"bank": self.bank}, clock=self.clock)
        self.manager.set_reserve_config("m", {"share_class": "USDT", "reserve_ratio": "0.1"})
        self.manager.add_reserve_callback(self.events.append)

    async def restart(self) -> None:
        """Restart with the stored state."""
        kept = {mode: decode_state(encode(state)) for mode, state in self.manager.kept_states().items()}
        await self.manager.close()
        self.start()
        self.manager.restore(kept)
        self.manager.begin()

    async def look(self, times: int = 1, *, standing: str = "") -> None:
        """Check this many times, 30 seconds apart, while the source `standing` repeats the same observation."""
        for _ in range(times):
            self.clock.ahead += timedelta(seconds=30)
            if standing:
                self.behind[standing] += 30
            await self.manager.check_all_reserves()
        await self.manager.close()

    @property
    def said(self) -> list[str]:
        return [event.event_type.removeprefix("reserve_") for event in self.events]

    @property
    def status(self) -> ReserveStatus:
        return self.manager.status("m")

    async def _balances(self) -> Any:
        return Reading([Balance("main", "USDT", Decimal(150), self._at("balance"))])

    async def _equity(self) -> Any:
        return Equity(Decimal(1000), "USDT", self._at("equity"))

    def _at(self, what: str) -> datetime:
        return self.clock.wall - timedelta(seconds=self.behind[what])


@pytest.mark.parametrize("behind", [{"balance": 60}, {"equity": 60}, {"balance": 60, "equity": 85}])
async def test_nothing_is_said_when_sources_are_always_behind(behind: dict[str, float]) -> None:
    world = Behind()
    world.behind |= behind
    for _ in range(20):
        await world.look()
        assert world.status is ADEQUATE
        world.clock.ahead += timedelta(seconds=29)
        assert world.status is ADEQUATE, "it must stay adequate until the next check"
        world.clock.ahead -= timedelta(seconds=29)
    assert world.said == []


@pytest.mark.parametrize("source", ["balance", "equity"])
async def test_unknown_is_said_by_the_first_look_at_which_observations_are_too_old(source: str) -> None:
    world = Behind()
    world.behind[source] = 29
    await world.look()
    await world.look(3, standing=source)
    assert (world.status, world.said) == (ADEQUATE, []), "119 seconds old"
    await world.look(standing=source)
    assert world.said == ["unknown"], "149 seconds old"
    world.behind[source] = 0
    await world.look()
    assert world.said == ["unknown", "adequate"]


async def test_unknown_counts_the_age_of_what_was_read_last_when_a_source_fails() -> None:
    world = Behind()
    world.behind["balance"] = 59
    await world.look(3)
    world.bank.misbehave = raises(SourceError(FailureReason.TIMEOUT, "no answer"))
    await world.look(2)
    assert world.said == [], "119 seconds old"
    await world.look()
    assert world.said == ["unknown"]
    assert world.events[0].reason.startswith("no conclusive check for 149 s: bank/main: timeout")


async def test_sources_are_asked_again_first_when_the_daemon_is_restarted_on_old_observations() -> None:
    world = Behind()
    world.behind["balance"] = 110
    await world.look()
    await world.restart()
    world.bank.misbehave = raises(SourceError(FailureReason.TIMEOUT, "no answer"))
    await world.look()
    assert world.said == [], "half of the allowed age remains"
    world.clock.ahead += timedelta(seconds=1)
    await world.look()
    assert world.said == ["unknown"]
