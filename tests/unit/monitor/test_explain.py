"""The explanation of a check that led to an event: created for every mode, and only then."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from reservd import ReserveManager, __version__
from reservd.errors import FailureReason
from reservd.monitor.observer import Checked, Observer
from reservd.plugin import AccountFailure, Balance, Component, Equity, Price, Reading, Secret, SourceConfig
from reservd.reserve.explanation import Explanation
from reservd.reserve.tracker import Instant
from support.sources import ScriptedBalances, ScriptedEquity, returns

BASE = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_monitoring_interval": 60}


class Seen(Observer):
    """Records every check."""

    def __init__(self) -> None:
        self.checks: list[Checked] = []

    def checked(self, checked: Checked) -> None:
        self.checks.append(checked)

    @property
    def newest(self) -> Explanation:
        """Return the explanation of the last event."""
        (*_, found) = [each.explanation for each in self.checks if each.step.event is not None]
        assert found is not None
        return found


class Keyed(SourceConfig):
    """Has a secret."""

    key: Secret


class LateClock:
    """The machine's clock, with a monotonic side that is ahead."""

    late = 0.0

    def now(self) -> Instant:
        return Instant(datetime.now(UTC), time.monotonic() + self.late)


class Office:
    """One mode on two accounts."""

    def __init__(self, **changes: Any) -> None:
        self.bank = ScriptedBalances("bank", hot=80, cold=30)
        self.nav = ScriptedEquity()
        self.seen = Seen()
        self.clock = LateClock()
        self.manager = ReserveManager(self.nav, {"bank": self.bank}, observers=[self.seen], clock=self.clock)
        self.manager.set_reserve_config("m", {**BASE, **changes})

    async def look(self, *found: Balance | AccountFailure, equity: Equity | None = None) -> None:
        """Check once; the balances given are what is read."""
        balances = [each for each in found if isinstance(each, Balance)]
        failures = [each for each in found if isinstance(each, AccountFailure)]
        self.bank.misbehave = returns(Reading(balances, failures)) if found else None
        self.nav.misbehave = returns(equity) if equity is not None else None
        await self.manager.check_all_reserves()


def at(account: str, amount: object, **fields: Any) -> Balance:
    return Balance(account, "USDT", Decimal(str(amount)), datetime.now(UTC), **fields)


async def test_event_comes_with_every_account_of_a_mode_that_shares_none() -> None:
    office = Office()
    hot, cold = at("hot", 50, block=7), at("cold", 24)
    await office.look(hot, cold)
    found = office.seen.newest
    assert [(part.account, part.asset, part.amount, part.part, part.block) for part in found.snapshot.accounts] == [
        ("bank/hot", "USDT", 50, 50, 7),
        ("bank/cold", "USDT", 24, 24, None),
    ]
    assert [part.observed_at for part in found.snapshot.accounts] == [hot.observed_at, cold.observed_at]
    assert (found.snapshot.status, found.confirmed, found.snapshot.reserve_balance) == ("low", "low", 74)
    assert found.good_at == found.snapshot.timestamp
    assert found.why == "74 of 100 USDT is 0.74 of the target, below 1.0 (low); 26 USDT short"
    assert (found.low_threshold, found.critical_threshold) == (1, Decimal("0.5"))
    assert (found.low_below, found.critical_below) == (100, 50)
    assert found.version == __version__
    assert len(found.configuration) == 64


async def test_event_comes_with_what_is_locked_and_why_and_no_secret_in_it() -> None:
    office = Office()
    office.bank.config = Keyed(key=SecretStr("hunter2"))
    office.manager = ReserveManager(office.nav, {"bank": office.bank}, observers=[office.seen])
    office.manager.set_reserve_config("m", BASE)
    suspended = at("hot", 0, locked=Decimal(80), note="suspended for hunter2")
    await office.look(suspended, at("cold", 74, locked=None))
    hot, cold = office.seen.newest.snapshot.accounts
    assert (hot.amount, hot.locked, hot.note) == (0, 80, "suspended for **********")
    assert (cold.amount, cold.locked, cold.note) == (74, None, "")


async def test_event_comes_with_the_equity_and_the_prices_that_it_was_made_with() -> None:
    office = Office()
    now = datetime.now(UTC)
    price = Price("ETH", "USDT", Decimal(3000), now)
    parts: dict[str, Any] = {
        "cash": Decimal(400),
        "eth": Component(Decimal(600), now, price),
        "nonsense": "1000",
        "worse": Component(600.0, now),  # type: ignore[arg-type]  # third-party code may do this
    }
    await office.look(at("hot", 50), at("cold", 24), equity=Equity(Decimal(1000), "USDT", now, components=parts))
    equity = office.seen.newest.equity
    assert (equity.source, equity.amount, equity.observed_at, equity.problem) == ("equity_calculator", 1000, now, "")
    assert equity.components == {"cash": Decimal(400), "eth": Component(Decimal(600), now, price)}


async def test_check_that_leads_to_no_event_is_not_explained_unless_asked() -> None:
    office = Office()
    await office.look()
    await office.look(at("hot", 81), at("cold", 30))
    assert [each.explanation for each in office.seen.checks] == [None, None]
    asked = office.manager.explain("m")
    assert asked is not None
    assert [part.amount for part in asked.snapshot.accounts] == [81, 30]


async def test_unknown_comes_with_what_was_missing_and_with_the_last_good_moment() -> None:
    office = Office(reserve_max_staleness=60)
    await office.look()
    good = office.manager.latest_snapshot("m")
    assert good is not None
    office.clock.late = 61
    await office.look(at("hot", 80), AccountFailure("cold", FailureReason.RATE_LIMITED, "HTTP 429"))
    found = office.seen.newest
    assert (found.snapshot.status, found.confirmed) == ("unknown", "unknown")
    assert found.good_at == good.timestamp
    assert found.snapshot.missing == ("bank/cold: rate_limited: HTTP 429",)
    hot, cold = found.snapshot.accounts
    assert (hot.amount, hot.problem) == (80, "")
    assert (cold.amount, cold.part, cold.problem) == (None, None, "rate_limited: HTTP 429")


async def test_snapshot_that_was_handed_in_is_not_explained_by_readings_of_before() -> None:
    office = Office()
    await office.look()
    latest = office.manager.latest_snapshot("m")
    assert latest is not None
    low = latest._replace(
        timestamp=latest.timestamp + timedelta(seconds=1), reserve_balance=Decimal(74), parts=(), status="low"
    )
    await office.manager.process_reserve_snapshot(low)
    (event,) = [each for each in office.seen.checks if each.step.event is not None]
    assert event.explanation is None


async def test_configuration_hash_is_another_once_a_mode_is_configured_anew() -> None:
    office = Office()
    await office.look(at("hot", 50), at("cold", 24))
    first = office.seen.newest.configuration
    office.manager.set_reserve_config("m", {**BASE, "reserve_low_threshold": "0.9"})
    await office.look(at("hot", 20), at("cold", 24))
    assert office.seen.newest.snapshot.status == "critical"
    assert office.seen.newest.configuration != first
