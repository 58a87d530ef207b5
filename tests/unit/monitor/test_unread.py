"""Accounts that a source does not report are counted; a reading without any account is a failed one."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from reservd import ReserveManager
from reservd.errors import FailureReason
from reservd.plugin import Account, AccountFailure, Balance, Reading
from reservd.web.metrics import Metrics, Series
from support.sources import ScriptedBalances, ScriptedEquity, raises, returns

HOT = AccountFailure("hot", FailureReason.RATE_LIMITED, "HTTP 429")
COLD = AccountFailure("cold", FailureReason.REJECTED, "HTTP 401")


class Room:
    """A mode on a source with two accounts, and its metrics."""

    def __init__(self, source: ScriptedBalances | None = None) -> None:
        self.bank = source or ScriptedBalances("bank", hot=80, cold=30)
        self.metrics = Metrics(Series({"m": "USDT"}, [30.0], ["bank", "nav"]))
        self.manager = ReserveManager(ScriptedEquity(), {"bank": self.bank}, observers=[self.metrics])
        config = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_balance_sources": ["bank"]}
        self.manager.set_reserve_config("m", config)

    async def look(self, *found: Any, times: int = 1) -> None:
        """Check this many times; the source returns the given balances."""
        balances = [Balance(name, "USDT", Decimal(50), datetime.now(UTC)) for name in found if isinstance(name, str)]
        failures = [each for each in found if not isinstance(each, str)]
        self.bank.misbehave = returns(Reading(balances, failures))
        for _ in range(times):
            await self.manager.check_all_reserves()

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"reservd_{name}", {"source": "bank", **labels})

    @property
    def unread(self) -> float | None:
        """Return the value of the gauge."""
        return self.sample("source_accounts_unread")

    def failures(self, name: str = "account_failures_total") -> dict[str, float]:
        """Return the counted failures by reason, without zeros."""
        found = {str(reason): self.sample(name, reason=str(reason)) for reason in FailureReason}
        assert None not in found.values(), "every series exists from the start"
        return {reason: count for reason, count in found.items() if count}


@pytest.fixture
def room() -> Room:
    return Room()


async def test_all_accounts_are_read_when_a_source_is_well(room: Room) -> None:
    assert (room.unread, room.failures()) == (0, {})
    await room.look("hot", "cold")
    assert (room.unread, room.failures()) == (0, {})


async def test_account_that_fails_is_counted_while_its_source_is_up(room: Room) -> None:
    await room.look("hot", COLD, times=2)
    assert (room.unread, room.failures()) == (1, {"rejected": 2})
    assert (room.sample("source_up"), room.failures("fetch_failures_total")) == (1, {})
    await room.look("hot", "cold")
    assert (room.unread, room.failures()) == (0, {"rejected": 2})


async def test_account_that_is_not_named_is_unread_as_absent_is_not_zero(room: Room) -> None:
    await room.look("hot")
    assert (room.unread, room.failures(), room.sample("source_up")) == (1, {"invalid_data": 1}, 1)


async def test_account_counts_once_however_many_of_its_assets_fail(room: Room) -> None:
    failures = [AccountFailure("cold", FailureReason.TIMEOUT, asset=asset) for asset in ("USDT", "USDC")]
    await room.look("hot", *failures)
    assert (room.unread, room.failures()) == (1, {"timeout": 2})


async def test_reading_of_failures_only_is_a_failed_one(room: Room) -> None:
    await room.look(HOT, COLD, times=10)
    assert (room.sample("source_up"), room.sample("source_circuit_open"), room.unread) == (0, 1, 2)
    reads = room.bank.reads
    assert reads < 10, "it is read less often"
    assert room.failures("fetch_failures_total") == {"rate_limited": reads}
    assert room.failures() == {"rate_limited": reads, "rejected": reads}
    assert room.sample("source_last_success_timestamp_seconds") == 0


async def test_reading_of_failures_only_keeps_why_each_account_failed(room: Room) -> None:
    await room.look(HOT, COLD)
    latest = room.manager.latest_snapshot("m")
    assert latest is not None
    assert latest.missing == ("bank/hot: rate_limited: HTTP 429", "bank/cold: rejected: HTTP 401")
    await room.look(HOT, COLD, times=3)  # the last check does not read it
    latest = room.manager.latest_snapshot("m")
    assert latest is not None
    said = "no account could be read: hot: rate_limited: HTTP 429; cold: rejected: HTTP 401"
    assert latest.missing == (f"bank/hot: rate_limited: {said}", f"bank/cold: rate_limited: {said}")


async def test_empty_reading_is_a_failed_one(room: Room) -> None:
    await room.look(times=3)
    assert (room.sample("source_up"), room.sample("source_circuit_open"), room.unread) == (0, 1, 2)
    assert room.failures("fetch_failures_total") == {"invalid_data": 3}


async def test_source_is_up_again_with_the_first_balance_that_is_read(room: Room) -> None:
    await room.look(HOT, COLD, times=3)
    for _ in range(20):
        await room.look("hot", COLD)
    assert (room.sample("source_up"), room.sample("source_circuit_open"), room.unread) == (1, 0, 1)


async def test_all_accounts_are_unread_when_all_of_their_source_fails(room: Room) -> None:
    await room.look("hot", "cold")
    room.bank.misbehave = raises(ConnectionError())
    await room.manager.check_all_reserves()
    assert (room.unread, room.failures()) == (2, {}), "the reason is that of the source"
    assert room.failures("fetch_failures_total") == {"internal": 1}


async def test_unread_accounts_are_logged_when_they_are_others_than_before(room: Room) -> None:
    with capture_logs() as logs:
        await room.look("hot", COLD, times=3)
        await room.look(HOT, COLD, times=2)
        await room.look("hot", COLD)
        await room.look("hot", "cold", times=2)
    told = [each for each in logs if each["event"].startswith("accounts.")]
    assert [(each["event"], each.get("accounts"), each.get("reasons")) for each in told] == [
        ("accounts.unread", ["cold"], ["rejected"]),
        ("accounts.recovered", None, None),
    ]


async def test_reason_out_of_no_set_and_broken_accounts_harm_no_reading() -> None:
    class Broken(ScriptedBalances):
        broken = False

        @property
        def accounts(self) -> dict[str, Account]:
            if self.broken:
                raise RuntimeError
            return super().accounts

    room = Room(bank := Broken("bank", hot=80, cold=30))
    bank.broken = True
    await room.look("hot", AccountFailure("cold", "teapot"))  # type: ignore[arg-type]  # third-party code may do this
    assert (room.unread, room.failures(), room.sample("source_up")) == (1, {"internal": 1}, 1)


class Purse(ScriptedBalances):
    """One account with two assets, and one with unknown assets."""

    @property
    def accounts(self) -> dict[str, Account]:
        return {
            "hot": Account("hot", "bank", "hot", frozenset({"USDT", "USDC"})),
            "cold": Account("cold", "bank", "cold"),
        }


@pytest.fixture
def purse() -> Room:
    return Room(Purse("bank", hot=80, cold=30))


async def test_account_is_unread_when_the_reading_lacks_one_of_its_assets(purse: Room) -> None:
    with capture_logs() as logs:
        await purse.look("hot", "cold")
    assert (purse.unread, purse.failures(), purse.sample("source_up")) == (1, {"invalid_data": 1}, 1)
    told = [(each["accounts"], each["reasons"], each["why"]) for each in logs if each["event"] == "accounts.unread"]
    assert told == [(["hot"], ["invalid_data"], "hot: USDC is not in the reading")]


async def test_log_says_why_an_account_is_unread_as_its_source_does(room: Room) -> None:
    with capture_logs() as logs:
        await room.look("hot", AccountFailure("cold", FailureReason.REJECTED, "the key may not see it"))
        await room.look("cold")
    told = [each["why"] for each in logs if each["event"] == "accounts.unread"]
    assert told == ["cold: the key may not see it", "hot: it is not in the reading"]


async def test_log_names_both_spellings_when_a_source_misspells_its_account(room: Room) -> None:
    with capture_logs() as logs:
        await room.look("hto", "cold")
    (told,) = [each["why"] for each in logs if each["event"] == "accounts.unread"]
    assert told == "hot: it is not in the reading, but hto, which the source has not declared, is"


async def test_reasons_are_words_when_accounts_are_unread(room: Room) -> None:
    """A log for people shows them as they are."""
    with capture_logs() as logs:
        await room.look("cold")
    (told,) = [each["reasons"] for each in logs if each["event"] == "accounts.unread"]
    assert repr(told) == "['invalid_data']"


async def test_account_is_read_when_the_reading_has_all_of_its_assets(purse: Room) -> None:
    usdc = Balance("hot", "USDC", Decimal(1), datetime.now(UTC))
    purse.bank.misbehave = returns(
        Reading([usdc, *(Balance(name, "USDT", Decimal(1), datetime.now(UTC)) for name in ("hot", "cold"))])
    )
    await purse.manager.check_all_reserves()
    assert (purse.unread, purse.failures()) == (0, {})


async def test_asset_is_counted_once_when_it_is_said_why_it_is_missing(purse: Room) -> None:
    await purse.look("hot", "cold", AccountFailure("hot", FailureReason.TIMEOUT, asset="USDC"))
    assert (purse.unread, purse.failures()) == (1, {"timeout": 1})
    await purse.look("cold", AccountFailure("hot", FailureReason.REJECTED))
    assert (purse.unread, purse.failures()) == (1, {"timeout": 1, "rejected": 1})


async def test_account_counts_once_when_nothing_is_said_of_it(purse: Room) -> None:
    await purse.look("cold")
    assert (purse.unread, purse.failures()) == (1, {"invalid_data": 1})
