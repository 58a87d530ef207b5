"""Clocks are set back at night, and a database reports local times: 01:59 is followed by 01:00.

A mode needs 100 USDT, a tenth of its equity of 1,000, and is checked every 30 seconds.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

import pytest

from reservd import ReserveManager
from reservd.plugin import Balance, Equity, Reading
from reservd.reserve.models import ReserveEvent
from reservd.reserve.tracker import Instant
from support.sources import ScriptedBalances, ScriptedEquity

SET_BACK = datetime(2026, 10, 25, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)


class London(tzinfo):
    """The time zone: an hour ahead of UTC until 01:00 UTC, equal to UTC from then on."""

    def utcoffset(self, at: datetime | None) -> timedelta:
        assert at is not None
        before = at.replace(tzinfo=None, fold=0) < SET_BACK.replace(tzinfo=None) + _HOUR and not at.fold
        return _HOUR if before else timedelta()

    def dst(self, at: datetime | None) -> timedelta:
        return self.utcoffset(at)

    def tzname(self, at: datetime | None) -> str:
        return "BST" if self.utcoffset(at) else "GMT"

    def fromutc(self, at: datetime) -> datetime:
        since = at.replace(tzinfo=None) - SET_BACK.replace(tzinfo=None)
        return at + _HOUR if since < timedelta() else at.replace(fold=int(since < _HOUR))


LONDON = London()


class Night:
    """A mode that is checked during that night.

    Attributes:
        zones: The time zone in which each source reports its times.
        said: The kinds of the events, in order.
    """

    def __init__(self, **zones: tzinfo) -> None:
        self.zones = {"balance": UTC, "equity": UTC, **zones}
        self.seconds = 0.0
        self.amount = 150
        self.said: list[str] = []
        bank, nav = ScriptedBalances("bank", main=0), ScriptedEquity()
        bank.misbehave, nav.misbehave = self._balances, self._equity
        self.manager = ReserveManager(nav, {"bank": bank}, clock=self)
        self.manager.set_reserve_config("m", {"share_class": "USDT", "reserve_ratio": "0.1"})
        self.manager.add_reserve_callback(self._hear)

    def now(self) -> Instant:
        """Return the current time: a minute before clocks are set back, plus the elapsed seconds."""
        return Instant(SET_BACK + timedelta(seconds=self.seconds - 60), self.seconds)

    async def look(self, times: int = 1) -> None:
        """Check the mode this many times, 30 seconds apart."""
        for _ in range(times):
            await self.manager.check_all_reserves()
            self.seconds += 30
        await self.manager.close()

    def _hear(self, event: ReserveEvent) -> None:
        self.said.append(event.event_type.removeprefix("reserve_"))

    def _at(self, source: str) -> datetime:
        return self.now().wall.astimezone(self.zones[source])

    async def _balances(self) -> Reading:
        return Reading([Balance("main", "USDT", Decimal(self.amount), self._at("balance"))])

    async def _equity(self) -> Equity:
        return Equity(Decimal(1000), "USDT", self._at("equity"))


def test_the_zone_is_that_of_the_night() -> None:
    clocks = [(SET_BACK + timedelta(minutes=each)).astimezone(LONDON) for each in (-30, 30, 90)]
    assert [f"{at:%H:%M %Z}" for at in clocks] == ["01:30 BST", "01:30 GMT", "02:30 GMT"]


@pytest.mark.parametrize("local", [["balance"], ["equity"], ["balance", "equity"]])
async def test_nothing_is_said_when_sources_tell_their_times_by_a_clock_that_is_set_back(local: list[str]) -> None:
    """During the hour that occurs twice, both readings count as current and as taken together: no event is raised."""
    night = Night(**dict.fromkeys(local, LONDON))
    for _ in range(75):
        night.amount = 301 - night.amount  # a mode without changes would be checked less often
        await night.look(2)
    assert night.said == []


async def test_critical_is_said_at_the_second_look_when_a_wallet_was_emptied_as_clocks_are_set_back() -> None:
    """The first reading of 0 is dated 01:59, the second 01:00: the second counts as later and confirms the first."""
    night = Night(balance=LONDON, equity=LONDON)
    await night.look()
    night.amount = 0
    await night.look()
    assert night.said == []
    await night.look()
    assert night.said == ["critical"]
