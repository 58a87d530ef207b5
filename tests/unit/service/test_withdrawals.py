"""Withdrawals from a watched mode, with holds in memory."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus, WithdrawalManager
from reservd.errors import (
    ConfigError,
    UnknownWithdrawalError,
    WithdrawalConflictError,
    WithdrawalStateError,
)
from reservd.plugin import Account, Balance, Equity, Reading
from reservd.reserve.holds import HoldState
from reservd.reserve.withdrawal import Refusal, WithdrawalSpeed
from reservd.service.withdrawals import watch
from support.bank import BASE, Bank, terms
from support.polling import until
from support.sources import (
    ScriptedBalances,
    ScriptedEquity,
    ScriptedReplenisher,
    ScriptedWallets,
    hangs,
    raises,
)

FAST, MEDIUM, SLOW = WithdrawalSpeed


async def test_withdrawals_are_decided_on_what_the_ones_before_leave() -> None:
    async with Bank(110) as bank:
        assert terms(await bank.ask(40)) == (FAST, 40, 0)
        assert terms(await bank.ask(30)) == (MEDIUM, 20, 10)
        assert terms(await bank.ask(1)) == (SLOW, 0, 1)
        assert [bool(decision) for decision in bank.heard.decisions] == [True] * 3


async def test_snapshot_is_less_what_is_held_and_its_target_less_what_is_owed() -> None:
    async with Bank(110, reserve_withdrawal_floor=0) as bank:
        await bank.ask(100)
        await bank.ask(30)
        snapshot = await bank.see()
        assert (snapshot.held, snapshot.reserve_balance) == (110, 0)
        assert snapshot.target_reserve == 87  # a tenth of 1,000 less 130
        assert snapshot.status is ReserveStatus.CRITICAL


async def test_mode_that_promised_more_than_its_equity_needs_no_reserve_until_that_is_cancelled() -> None:
    """All of the remaining equity is owed, so the target is 0 and the incident ends; no more is held than exists."""
    async with Bank(90) as bank:
        assert bank.manager.status("m") is ReserveStatus.LOW
        decision = await bank.ask(1200)
        assert terms(decision) == (MEDIUM, 40, 1160)
        snapshot = await bank.see()
        assert (snapshot.target_reserve, snapshot.reserve_balance, snapshot.held) == (0, 50, 40)
        assert bank.manager.status("m") is ReserveStatus.ADEQUATE
        assert decision.hold is not None
        await bank.withdrawals.cancel(decision.hold.id)
        snapshot = await bank.see()
        assert (snapshot.target_reserve, snapshot.reserve_balance, snapshot.held) == (100, 90, 0)
        assert bank.manager.status("m") is ReserveStatus.LOW


async def test_withdrawal_of_more_than_the_equity_ends_no_incident_where_the_mode_limits_them() -> None:
    async with Bank(90, reserve_withdrawal_max=1000) as bank:
        assert (await bank.ask(1200)).refusal is Refusal.OVER_MAXIMUM
        assert (await bank.see()).target_reserve == 100
        assert bank.manager.status("m") is ReserveStatus.LOW


async def test_target_is_of_the_whole_equity_when_its_source_is_net_of_withdrawals() -> None:
    async def net() -> Equity:
        return Equity(Decimal(1000), "USDT", bank.clock.wall, net_of_withdrawals=True)

    async with Bank(110) as bank:
        bank.equity.misbehave = net
        await bank.ask(40)
        assert (await bank.see()).target_reserve == 100


@pytest.mark.parametrize("net", [True, False])
async def test_mode_that_is_left_alone_is_checked_again_when_its_equity_begins_or_ceases_to_be_net(net: bool) -> None:
    """The amount is the same, but the target is not."""
    is_net = not net

    async def tell() -> Equity:
        return Equity(Decimal(1000), "USDT", bank.clock.wall, net_of_withdrawals=is_net)

    async with Bank(150) as bank:
        bank.equity.misbehave = tell
        await bank.ask(20)
        for _ in range(3):
            before = await bank.see()
        is_net = net
        after = await bank.see()
        assert (before.target_reserve, after.target_reserve) == ((98, 100) if net else (100, 98))
        assert before.status is after.status is ReserveStatus.ADEQUATE


async def test_mode_is_not_left_alone_while_readings_still_show_what_is_paid() -> None:
    """As much arrives as is paid out: the later reading has the same amounts, of which nothing is held any more."""

    async def tell_balance() -> Reading:
        return Reading([Balance("m", "USDT", Decimal(150), observed_at)])

    async def tell_equity() -> Equity:
        return Equity(Decimal(1000), "USDT", observed_at)

    async with Bank(150) as bank:
        bank.clock.ahead += timedelta(seconds=30)
        observed_at = bank.clock.wall - timedelta(seconds=20)
        bank.balances.misbehave, bank.equity.misbehave = tell_balance, tell_equity
        await bank.see()
        decision = await bank.ask(45)
        await bank.withdrawals.settle(decision.hold.id, paid_at=observed_at + timedelta(seconds=10))
        for _ in range(3):
            before = await bank.see()
        observed_at += timedelta(seconds=20)
        after = await bank.see()
    assert (before.held, before.target_reserve, before.status) == (45, Decimal("95.5"), ReserveStatus.ADEQUATE)
    assert (after.held, after.target_reserve, after.status) == (0, 100, ReserveStatus.ADEQUATE)


async def test_mode_that_is_left_alone_is_checked_again_when_a_hold_changes() -> None:
    """An unchanged mode is not checked in every cycle; a change of its holds is a reason to check it."""
    bank = Bank(110, reserve_monitoring_interval="0.05")
    monitoring = asyncio.create_task(bank.manager.start_monitoring())

    def held() -> Decimal | None:
        latest = bank.manager.latest_snapshot("m")
        return latest.held if latest is not None else None

    await until(lambda: bank.balances.reads > 5, "some cycles without changes")
    decision = await bank.ask(20)
    assert bank.manager.status("m") is ReserveStatus.ADEQUATE
    await until(lambda: held() == 20, "the hold in the snapshot")
    reads = bank.balances.reads
    await until(lambda: bank.balances.reads > reads + 5, "some cycles without changes")
    assert held() == 20
    await bank.withdrawals.cancel(decision.hold.id)
    await until(lambda: held() == 0, "the end of the hold in the snapshot")
    bank.manager.stop_monitoring()
    await monitoring


async def test_hold_is_off_readings_older_than_its_payment_and_none_later() -> None:
    async with Bank(110) as bank:
        decision = await bank.ask(40)
        await bank.withdrawals.mark_paying(decision.hold.id)
        assert (await bank.see(110)).reserve_balance == 70
        # The payment leaves after that reading, and is reported before the next.
        await bank.withdrawals.settle(decision.hold.id, paid_at=bank.clock.wall)
        assert await bank.withdrawals.get_withdrawal_speed("m", Decimal(21)) is MEDIUM
        snapshot = await bank.see(70)
        assert (snapshot.held, snapshot.reserve_balance, snapshot.target_reserve) == (0, 70, 100)


def on_a_chain(balance: int, block: int) -> Bank:
    """Return a bank whose account is read at a block, set by `balances.block`."""

    class Chain(ScriptedBalances):
        async def fetch_balances(self) -> Reading:
            now = bank.clock.wall
            return Reading([Balance("m", "USDT", Decimal(self.amounts["m"]), now, block=self.block)])

    bank = Bank(balance)
    bank.balances = Chain("t", m=balance)
    bank.balances.block = block
    bank.manager = ReserveManager({"nav": bank.equity}, {"t": bank.balances}, clock=bank.clock)
    bank.manager.set_reserve_config("m", BASE)
    bank.withdrawals = WithdrawalManager(bank.manager, clock=bank.clock)
    return bank


async def test_block_tells_which_reading_shows_a_payment_when_a_node_lags() -> None:
    bank = on_a_chain(110, block=100)
    await bank.see()
    decision = await bank.ask(60)
    await bank.withdrawals.settle(decision.hold.id, block=101)
    assert (await bank.see(110)).reserve_balance == 50
    assert await bank.withdrawals.get_withdrawal_speed("m", Decimal(1)) is SLOW
    bank.balances.block = 101
    assert (await bank.see(50)).reserve_balance == 50


@pytest.mark.parametrize("wrong", [190_000_000, 1_900_000, 0])
async def test_block_is_refused_when_what_was_last_read_contradicts_it(wrong: int) -> None:
    """A block of another chain, or with a digit too many or too few, would free the hold too early or never."""
    bank = on_a_chain(110, block=19_000_000)
    await bank.see()
    decision = await bank.ask(60)
    expected = f"block must be between the decision (.*) and now: block 19000000 was read at .*, got {wrong}"
    with pytest.raises(ValueError, match=expected):
        await bank.withdrawals.settle(decision.hold.id, block=wrong)
    assert (await bank.see()).held == 60
    bank.clock.ahead += timedelta(hours=1)
    settled = await bank.withdrawals.settle(decision.hold.id, block=19_000_400)
    assert settled == await bank.withdrawals.settle(decision.hold.id, block=19_000_400)


async def test_block_alone_is_refused_when_accounts_are_on_several_venues() -> None:
    class Two(ScriptedBalances):
        @property
        def accounts(self) -> dict[str, Account]:
            return {name: Account(name, name, "0x1", frozenset({"USDT"})) for name in self.amounts}

    manager = ReserveManager({"nav": ScriptedEquity()}, {"t": Two("t", m=100, n=10)})
    manager.set_reserve_config("m", {**BASE, "reserve_balance_sources": ["t"]})
    withdrawals = WithdrawalManager(manager)
    await manager.check_all_reserves()
    decision = await withdrawals.process_withdrawal("m", Decimal(10))
    with pytest.raises(ValueError, match="several venues: a payment needs its paid_at"):
        await withdrawals.settle(decision.hold.id, block=7)
    paid_at = decision.hold.decided_at
    settled = await withdrawals.settle(decision.hold.id, block=7, paid_at=paid_at)
    assert (settled.state, settled.paid_at, settled.block) == (HoldState.SETTLED, paid_at, None)
    assert await withdrawals.settle(decision.hold.id, block=7, paid_at=paid_at) == settled


async def test_same_key_gives_the_same_answer_and_holds_once() -> None:
    async with Bank(110) as bank:
        first = await bank.ask("40.00", "k")
        again = await bank.ask(40, "k")
        assert (again.repeated, terms(again), again.hold) == (True, terms(first), first.hold)
        assert (await bank.see()).held == 40
        with pytest.raises(
            WithdrawalConflictError, match=r"key 'k' of mode 'm' belongs to a withdrawal of 40.00, got 41"
        ):
            await bank.ask(41, "k")
        assert (await bank.see()).held == 40
        await bank.withdrawals.cancel(first.hold.id)
        assert terms(await bank.ask(40, "k")) == terms(first), "the answer is kept after the end of the hold"


@pytest.mark.parametrize("amount", [0, -1, "NaN", "Infinity"])
async def test_amount_is_refused_when_it_is_no_amount_to_pay(amount: object) -> None:
    async with Bank() as bank:
        with pytest.raises(ValueError, match="amount must be"):
            await bank.ask(amount)
        with pytest.raises(ValueError, match="amount must be"):
            await bank.withdrawals.get_withdrawal_speed("m", Decimal(str(amount)))
        with pytest.raises(ValueError, match="amount must be"):
            await bank.withdrawals.quote_withdrawal("m", Decimal(str(amount)))


async def test_unknown_mode_pays_slowly_and_accepts_nothing() -> None:
    async with Bank() as bank:
        assert await bank.withdrawals.get_withdrawal_speed("nope") is SLOW
        with pytest.raises(ConfigError, match="mode 'nope' is not configured"):
            await bank.withdrawals.quote_withdrawal("nope", Decimal(1))
        with pytest.raises(ConfigError, match="mode 'nope' is not configured"):
            await bank.withdrawals.process_withdrawal("nope", Decimal(1))
        with pytest.raises(ValueError, match="must have 1 to 200 characters, got 0"):
            await bank.ask(1, "")
        with pytest.raises(TypeError, match="must be a Decimal"):
            await bank.withdrawals.process_withdrawal("m", 1.5)  # type: ignore[arg-type]  # the subject


@pytest.mark.parametrize("lose", ["never read", "failed", "old", "incomplete"])
async def test_withdrawal_is_slow_when_no_current_snapshot_tells(lose: str) -> None:
    bank = Bank(1000)
    if lose != "never read":
        await bank.see()
    if lose == "failed":
        bank.balances.misbehave = raises(ValueError("broken"))
        await bank.see()
    elif lose == "old":
        bank.clock.ahead = timedelta(seconds=121)
    elif lose == "incomplete":
        bank.equity.misbehave = hangs
        bank.equity.config = bank.equity.config.model_copy(update={"timeout": 0.05})
        await bank.see()
    assert await bank.withdrawals.get_withdrawal_speed("m") is SLOW
    quote = await bank.withdrawals.quote_withdrawal("m", Decimal(1))
    assert (quote.status, quote.speed) == (ReserveStatus.UNKNOWN, SLOW)
    decision = await bank.ask(1)
    assert (terms(decision), bool(decision)) == ((SLOW, 0, 1), True), "it is accepted, and waits for its money"


async def test_less_is_promised_when_the_newest_reading_is_a_jump_that_nobody_confirmed() -> None:
    bank = Bank(110, reserve_max_jump="0.5")
    await bank.see()
    bank.balances.script = [{"m": 10_000}, {"m": 110}, {"m": 10_000}]
    standing = None
    while standing is None or not standing.doubted:
        await bank.see()
        standing = bank.manager.standing("m")
    assert terms(await bank.ask(1000)) == (MEDIUM, 60, 940)


async def test_what_is_known_to_be_there_is_promised_when_an_account_cannot_be_read() -> None:
    class Half(ScriptedBalances):
        async def fetch_balances(self) -> Reading:
            reading = await super().fetch_balances()
            return Reading([balance for balance in reading.balances if balance.account == "m"])

    manager = ReserveManager({"nav": ScriptedEquity()}, {"t": Half("t", m=150, n=1000)})
    manager.set_reserve_config("m", {**BASE, "reserve_balance_sources": ["t"]})
    withdrawals = WithdrawalManager(manager)
    await manager.check_all_reserves()
    decision = await withdrawals.process_withdrawal("m", Decimal(500))
    assert terms(decision) == (MEDIUM, 100, 400)


async def test_nothing_is_promised_when_a_target_of_0_is_met_by_nobody_knows_what() -> None:
    class Debts(ScriptedBalances):
        NON_NEGATIVE = False

        async def fetch_balances(self) -> Reading:
            return Reading([])

    manager = ReserveManager({"nav": ScriptedEquity()}, {"t": Debts("t", m=150)})
    manager.set_reserve_config("m", {**BASE, "reserve_ratio": 0})
    withdrawals = WithdrawalManager(manager)
    await manager.check_all_reserves()
    assert manager.status("m") is ReserveStatus.ADEQUATE
    assert terms(await withdrawals.process_withdrawal("m", Decimal(1))) == (SLOW, 0, 1)


async def test_withdrawal_is_refused_when_it_is_over_a_limit() -> None:
    async with Bank(
        1000, reserve_withdrawal_max=50, reserve_withdrawal_max_per_period=80, reserve_withdrawal_period=3600
    ) as bank:
        refused = await bank.ask(51, "a")
        assert (bool(refused), refused.refusal, terms(refused)) == (False, Refusal.OVER_MAXIMUM, (SLOW, 0, 51))
        assert (await bank.withdrawals.quote_withdrawal("m", Decimal(51))).refusal is Refusal.OVER_MAXIMUM
        first = await bank.ask(50)
        assert (await bank.ask(31)).refusal is Refusal.OVER_PERIOD_MAXIMUM
        await bank.withdrawals.cancel(first.hold.id)
        assert await bank.ask(50)
        assert (await bank.ask(31)).refusal is Refusal.OVER_PERIOD_MAXIMUM
        bank.clock.ahead = timedelta(hours=1)
        await bank.see()
        assert await bank.ask(31)
        assert await bank.ask(49, "a"), "a refusal is not remembered under its key"


async def test_quote_tells_what_would_be_decided_and_holds_nothing() -> None:
    async with Bank(110, replenisher=ScriptedReplenisher()) as bank:
        quote = await bank.withdrawals.quote_withdrawal("m", Decimal(80))
        assert (quote.speed, quote.from_reserve, quote.unwound, quote.status) == (MEDIUM, 60, 20, "adequate")
        assert quote.currency == "USDT"
        assert bank.clock.wall < quote.expires_at <= bank.clock.wall + timedelta(seconds=30)
        assert quote.expected_at is not None
        assert quote.expected_at > bank.clock.wall + timedelta(minutes=29)
        assert await bank.withdrawals.get_withdrawal_speed("m") is FAST
        assert await bank.withdrawals.get_withdrawal_speed("m", Decimal(60)) is FAST
        assert terms(await bank.ask(80)) == (MEDIUM, 60, 20)


async def test_quote_expires_with_the_snapshot_that_it_rests_on() -> None:
    async with Bank(110, reserve_monitoring_interval=100, reserve_max_staleness=100) as bank:
        bank.clock.ahead = timedelta(seconds=90)
        quote = await bank.withdrawals.quote_withdrawal("m", Decimal(1))
        assert quote.expires_at <= bank.clock.wall + timedelta(seconds=10)


async def test_nothing_is_quoted_when_this_daemon_is_not_certain_to_own_its_store() -> None:
    async with Bank(110, promises=False) as bank:
        assert await bank.withdrawals.get_withdrawal_speed("m") is SLOW
        assert await bank.withdrawals.get_withdrawal_speed("m", Decimal(1)) is SLOW
        quote = await bank.withdrawals.quote_withdrawal("m", Decimal(1))
        assert (quote.speed, quote.refusal) == (SLOW, Refusal.STORE_GONE)


# Shared accounts


def sharers(amount: object) -> tuple[ReserveManager, ScriptedBalances]:
    balances = ScriptedBalances("t", m=amount)
    return ReserveManager({"nav": ScriptedEquity()}, {"t": balances}), balances


FREE = {**BASE, "reserve_withdrawal_floor": 0, "reserve_allocation": "pro_rata"}


async def test_shared_account_is_promised_once_by_all_its_modes_together() -> None:
    manager, _ = sharers(300)
    for mode in ("a", "b"):
        manager.set_reserve_config(mode, FREE)
    withdrawals = WithdrawalManager(manager)
    await manager.check_all_reserves()
    promised = Decimal(0)
    for _ in range(3):
        asked = [withdrawals.process_withdrawal(mode, Decimal(40)) for mode in "aabb"]
        promised += sum(decision.from_reserve for decision in await asyncio.gather(*asked))
        assert promised <= 300
        snapshots = await manager.check_all_reserves()
        left = sum(snapshot.reserve_balance for snapshot in snapshots.values())
        assert left == 300 - promised, "what is held for one mode reduces the shares of both"
    assert promised > 200


async def test_promises_of_a_mode_are_kept_when_another_comes_to_share_its_account() -> None:
    manager, balances = sharers(200)
    manager.set_reserve_config("m", FREE)
    withdrawals = WithdrawalManager(manager)
    await manager.check_all_reserves()
    decision = await withdrawals.process_withdrawal("m", Decimal(150))
    assert decision.from_reserve == 150
    manager.set_reserve_config("a", FREE)
    snapshots = await manager.check_all_reserves()
    assert sum(snapshot.reserve_balance for snapshot in snapshots.values()) == 50
    await withdrawals.settle(decision.hold.id, paid_at=decision.hold.decided_at)
    balances.amounts["m"] = 50
    snapshots = await manager.check_all_reserves()
    assert sum(snapshot.reserve_balance for snapshot in snapshots.values()) == 50


async def test_money_of_an_account_that_is_counted_from_now_on_has_not_arrived_for_those_who_wait() -> None:
    """The money was in a newly counted account before, and must not be credited as an arrival."""
    async with Bank(40) as bank:
        decision = await bank.ask(100)
        assert decision.hold.outstanding == 100
        book = bank.withdrawals._desk.book
        bank.balances.amounts["other"] = 500
        bank.manager.set_reserve_config("m", {**BASE, "reserve_balance_sources": ["t/m", "t/other"]})
        snapshot = await bank.see()
        assert (snapshot.reserve_balance, book.find(decision.hold.id).arrived) == (540, 0)
        await bank.see(70)
        assert book.find(decision.hold.id).arrived == 30


async def test_withdrawals_are_looked_after_when_one_look_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure must not prevent alarms about the other withdrawals."""
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.01)
    bank, heard = Bank(), []

    def breaks_once(by_mode: Any) -> None:
        heard.append(dict(by_mode))
        if len(heard) == 1:
            raise OverflowError

    monkeypatch.setattr(bank.heard, "overdue", breaks_once)
    async with bank:
        await bank.ask(10)
        bank.clock.ahead += timedelta(hours=2)
        await until(lambda: heard[-1:] == [{"m": 1}], "the overdue withdrawal to be reported")


async def test_promises_stay_in_their_currency_when_a_mode_gets_another() -> None:
    """40 USDT are not 40 ETH: they remain held in USDT, from which others are paid, and are no debt in ETH."""
    bank = Bank(400)
    bank.balances = ScriptedWallets("t", m=400)
    bank.manager = ReserveManager({"nav": bank.equity}, {"t": bank.balances}, clock=bank.clock)
    withdrawals = bank.withdrawals = WithdrawalManager(bank.manager, clock=bank.clock)
    config = {**BASE, "reserve_withdrawal_max_per_period": 300}
    for mode in ("m", "u"):
        bank.manager.set_reserve_config(mode, config)
    await bank.see()
    paid, waiting = (await bank.ask(40)).hold, (await bank.ask(200)).hold
    assert (paid.held, waiting.held, waiting.outstanding) == (40, 110, 90)
    bank.manager.set_reserve_config("m", {**config, "share_class": "ETH"})
    snapshots = await bank.manager.check_all_reserves()
    assert (snapshots["m"].reserve_balance, snapshots["m"].held, snapshots["m"].target_reserve) == (400, 0, 100)
    assert (snapshots["u"].reserve_balance, snapshots["u"].held) == (250, 150)
    assert [each.hold.id for each in withdrawals.queue("u")] == [waiting.id]
    assert withdrawals.queue("m") == ()
    assert (await bank.ask(100)).refusal is None, "what was accepted in USDT is not counted against a limit in ETH"
    await withdrawals.cancel(waiting.id)
    await withdrawals.settle(paid.id, paid_at=bank.clock.wall)
    bank.balances.amounts["m"] = 360
    snapshot = (await bank.manager.check_all_reserves())["u"]
    assert (snapshot.reserve_balance, snapshot.held) == (360, 0)


# Ends


async def test_holds_go_through_their_states_and_say_so() -> None:
    async with Bank(110) as bank:
        decision = await bank.ask(10)
        hold_id = decision.hold.id
        assert (await bank.withdrawals.mark_paying(hold_id)).state is HoldState.PAYING
        settled = await bank.withdrawals.settle(hold_id, paid_at=bank.clock.wall)
        assert (settled.state, (await bank.withdrawals.find(hold_id)).state) == ("settled", "settled")
        with pytest.raises(WithdrawalStateError, match="must be open to be cancelled, is settled"):
            await bank.withdrawals.cancel(hold_id)
        with pytest.raises(UnknownWithdrawalError, match="there is no withdrawal 'nope'"):
            await bank.withdrawals.cancel("nope")
        with pytest.raises(UnknownWithdrawalError, match="there is no withdrawal 'nope'"):
            await bank.withdrawals.find("nope")
        with pytest.raises(ValueError, match="must have a time zone"):
            await bank.withdrawals.settle(hold_id, paid_at=datetime(2026, 1, 1))  # noqa: DTZ001  # the subject


async def test_withdrawals_are_listed_newest_first_by_mode_and_state_in_pages() -> None:
    async with Bank(110) as bank:
        decisions = [await bank.ask(amount) for amount in (1, 2, 3)]
        await bank.withdrawals.cancel(decisions[1].hold.id)

        async def amounts(*arguments: Any, **options: Any) -> list[int]:
            return [int(hold.amount) for hold in await bank.withdrawals.list(*arguments, **options)]

        assert await amounts() == [3, 2, 1]
        assert await amounts("m", [HoldState.HELD]) == [3, 1]
        assert await amounts("nope") == []
        assert await amounts(limit=1) == [3]
        assert await amounts(limit=2, before=decisions[2].hold.position) == [2, 1]


async def test_overdue_hold_is_told_until_it_ends() -> None:
    async with Bank(110, reserve_withdrawal_patience=60) as bank:
        decision = await bank.ask(10)
        look: Callable[[], None] = bank.withdrawals._watch.look
        look()
        assert (bank.heard.overdue_by_mode, list(bank.withdrawals.overdue())) == ({}, [])
        bank.clock.ahead = timedelta(seconds=61)
        look()
        look()
        assert bank.heard.overdue_by_mode == {"m": 1}
        assert [hold.id for hold in bank.withdrawals.overdue()] == [decision.hold.id]
        await bank.withdrawals.settle(decision.hold.id, paid_at=bank.clock.wall)
        look()
        assert bank.heard.overdue_by_mode == {}


@pytest.mark.no_cover
@pytest.mark.parametrize("reserve", [5_000, "5000.5"])
async def test_concurrent_withdrawals_promise_exactly_what_is_there(reserve: object) -> None:
    bank = Bank(reserve, reserve_ratio=0, reserve_withdrawal_floor=0)
    await bank.see()
    decisions = await asyncio.gather(*(bank.ask(1) for _ in range(10_000)))
    assert sum(decision.from_reserve for decision in decisions) == Decimal(str(reserve))
    assert sum(decision.amount for decision in decisions) == 10_000
