"""Refills, withdrawals and shared accounts together, on a real store: requested once, counted once."""

import asyncio
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from types import FrameType
from typing import Any

import pytest

from reservd.plugin import Acceptance, AcceptanceStatus
from reservd.reserve.holds import HoldState, Unwinding
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.states import ReplenishmentState as State
from reservd.store.database import Database
from support.treasury import Treasury

ACCEPTED = Acceptance(status=AcceptanceStatus.ACCEPTED)
REJECTED = Acceptance(status=AcceptanceStatus.REJECTED)


# Arrivals, and to whom they are credited


async def test_money_of_a_withdrawal_is_not_asked_for_again_when_it_arrives(database: Database) -> None:
    """The check that reads it ends its request, and the withdrawal is no longer waiting."""
    async with Treasury(database, reserve_refill_in_flight=2) as shop:
        await shop.see()
        hold = await shop.withdraw(100)
        await shop.see()
        (own,) = shop.own()
        await shop.see(110 + hold.unwound)
        assert shop.request_for(hold).state is State.VERIFIED
        assert shop.own() == [own]


async def test_refill_is_verified_when_its_money_comes_and_a_client_is_paid_between_two_readings(
    database: Database,
) -> None:
    """The payment counts in full, including the part that no reading has shown."""
    async with Treasury(database) as shop:
        await shop.see()
        hold = await shop.withdraw(100)
        await shop.see()
        await shop.pay(hold, 110 + hold.unwound - 100)
        assert shop.request_for(hold).state is State.VERIFIED
        (own,) = shop.own()
        await shop.see(50 + own.request.amount)
        assert shop.own()[0].state is State.VERIFIED


async def test_payment_of_an_earlier_block_is_no_arrival_when_money_is_requested_while_nothing_can_be_read(
    database: Database,
) -> None:
    """Arrivals are counted from the last good reading, whose block shows that the payment is in it."""
    async with Treasury(database, 300) as shop:
        shop.block = 100
        await shop.see()
        paid = await shop.withdraw(100)
        shop.block = 102
        shop.equity = 900
        await shop.see(200)
        shop.clock.ahead += timedelta(seconds=1)
        await shop.withdrawals.settle(paid.id, block=101)
        await shop.see_nothing()
        hold = await shop.withdraw(190)
        assert hold.unwound
        shop.block = 103
        await shop.see(200)
        assert shop.request_for(hold).arrived == 0
        assert shop.request_for(hold).state is State.ACCEPTED


async def test_payment_is_subtracted_once_when_a_node_that_lags_shows_the_amount_of_the_later_reading(
    database: Database,
) -> None:
    """A client was paid and as much came in since its observation: the amount is the same, and the later has both."""
    async with Treasury(database, 160) as shop:
        await shop.see()
        paid = await shop.withdraw(60)
        await shop.see()
        await shop.pay(paid, 100)
        await shop.see(160)
        await shop.withdraw(60)
        shop.lag = timedelta(seconds=25)
        snapshot = await shop.see()
        assert snapshot.reserve_balance == 100
        assert shop.own() == []


async def test_others_are_credited_with_what_came_in_since_a_refill_was_asked_for(database: Database) -> None:
    """What was credited to a withdrawal's request before is part of the refill's baseline."""
    async with Treasury(database) as shop:
        await shop.see()
        hold = await shop.withdraw(160)
        shop.replenisher.answer = REJECTED
        await shop.see()
        shop.replenisher.answer = ACCEPTED
        await shop.see(190)
        await shop.see("190.1", 400)
        (_, own) = shop.own()
        assert own.credited_before == {hold.id: Decimal("80.1")}
        await shop.see(210)
        assert shop.request_for(hold).state is State.VERIFIED
        assert shop.own()[1].arrived == 0
        await shop.see(210 + own.request.amount)
        assert shop.own()[1].state is State.VERIFIED


async def test_emergency_is_verified_by_all_that_came_since_it_was_made(database: Database) -> None:
    """It is for the whole amount, including what arrives for the calm request that it replaces."""
    async with Treasury(database) as shop:
        await shop.see()
        await shop.see(70)
        await shop.see(80)
        (calm,) = shop.own()
        await shop.see(40)
        (calm, emergency) = shop.own()
        assert calm.replaced_by == emergency.id
        await shop.see(40 + emergency.request.amount)
        assert shop.own()[1].state is State.VERIFIED


async def test_payouts_count_for_as_long_as_a_refill_is_waited_for(database: Database) -> None:
    """Also after the hour in which readings may still show a hold, and over a restart."""
    async with Treasury(database, 160, reserve_refill_patience=86400) as shop:
        await shop.see()
        await shop.see(90)
        (own,) = shop.own()
        hold = await shop.withdraw(15)
        await shop.see()
        await shop.pay(hold, 75)
        shop.withdrawals._watch.look()
        shop.clock.ahead += timedelta(hours=3)
        shop.withdrawals._watch.look()
        assert shop.holds.book.find(hold.id) is None
        await shop.see("75.1")
        again = shop.own()[0].arrived
        assert again == Decimal("0.1")
        ahead, equity = shop.clock.ahead, shop.equity
        await shop.crash()
        await shop.ownership.release()
    async with Treasury(database, "75.1", reserve_refill_patience=86400) as shop:
        shop.clock.ahead, shop.equity = ahead, equity
        await shop.holds.open()
        await shop.see()
        assert shop.own()[0].arrived == Decimal("0.1")
        await shop.see(75 + own.request.amount)
        assert shop.own()[0].state is State.VERIFIED
        shop.withdrawals._watch.look()
        assert len(shop.holds.book.totals._modes["m"].payouts) == 0


# Requests for withdrawals that have no effect


@pytest.mark.parametrize("end", ["rejected", "failed", "expired", "cancelled"])
async def test_nothing_is_expected_for_a_withdrawal_when_its_request_came_to_nothing_and_a_refill_asks_for_it(
    end: str, database: Database
) -> None:
    async with Treasury(database) as shop:
        await shop.see()
        if end == "rejected":
            shop.replenisher.answer = REJECTED
        hold = await shop.withdraw(100)
        shop.replenisher.answer = ACCEPTED
        if end == "failed":
            await shop.refills.desk.fail(hold.id)
        elif end == "cancelled":
            await shop.refills.desk.cancel(hold.id, by="ann")
        elif end == "expired":
            shop.clock.ahead += timedelta(hours=1)
            await shop.refills.look()
        await shop.withdrawals._unwinder.follow()
        after = shop.hold(hold)
        assert (str(after.unwinding), after.expected_at) == ("refused" if end == "rejected" else "failed", None)
        await shop.see()
        (refill,) = shop.own()
        snapshot = shop.manager.latest_snapshot("m")
        assert snapshot is not None
        assert snapshot.target_reserve is not None
        assert snapshot.reserve_balance is not None
        lacks = snapshot.target_reserve * Decimal("1.1") - snapshot.reserve_balance
        assert refill.request.amount == lacks + hold.unwound
        await shop.see(110 + refill.request.amount)
        assert shop.hold(hold).outstanding == 0


async def test_what_withdrawals_wait_for_in_vain_is_asked_for_by_a_reserve_that_is_well(database: Database) -> None:
    """The withdrawal was accepted while nothing was known, and refused by the strategy: a refill asks for what the
    amount above the target does not cover.
    """
    async with Treasury(database) as shop:
        await shop.see()
        await shop.see_nothing()
        shop.replenisher.answer = REJECTED
        hold = await shop.withdraw(30)
        shop.replenisher.answer = ACCEPTED
        snapshot = await shop.see(110)
        assert snapshot.reserve_balance == 110
        assert snapshot.target_reserve == 97
        (refill,) = shop.own()
        assert refill.request.amount == 30 - (110 - 97)
        await shop.see(110)
        assert shop.own() == [refill]
        await shop.see(110 + refill.request.amount)
        assert shop.hold(hold).arrived == refill.request.amount


async def test_time_of_a_withdrawal_follows_what_its_strategy_says_later(database: Database) -> None:
    async with Treasury(database) as shop:
        await shop.see()
        hold = await shop.withdraw(100)
        later = shop.clock.wall + timedelta(days=2)
        await shop.refills.desk.progress(hold.id, expected_by=later)
        await shop.withdrawals._unwinder.follow()
        assert shop.hold(hold).expected_at == later


@pytest.mark.parametrize(
    ("told", "days"),
    [("9999-12-31T23:59:59-14:00", 31), ("9999-12-31T23:59:59Z", 31), ("0001-01-01T00:00:00+14:00", 0)],
)
@pytest.mark.parametrize("later", [False, True])
async def test_withdrawal_waits_for_a_month_at_most_whatever_its_strategy_says(
    told: str, days: int, later: bool, database: Database
) -> None:
    """Some use the last possible year for "unknown"; other withdrawals must not be affected."""
    never = datetime.fromisoformat(told)
    async with Treasury(database) as shop:
        await shop.see()
        if not later:
            shop.replenisher.answer = ACCEPTED.model_copy(update={"expected_by": never})
        hold = await shop.withdraw(100)
        if later:
            await shop.refills.desk.progress(hold.id, expected_by=never)
            await shop.withdrawals._unwinder.follow()
        record, waiting = shop.request_for(hold), shop.hold(hold)
        assert waiting.expected_at == record.expected_by == record.request.requested_at + timedelta(days=days)
        assert record.deadline == record.expected_by + timedelta(minutes=5)
        await shop.withdrawals.cancel(hold.id)
        assert not await shop.withdrawals.list(states=[HoldState.HELD])


async def test_nothing_is_expected_for_a_withdrawal_in_a_dry_run(database: Database) -> None:
    async with Treasury(database, reserve_refill_dry_run=True) as shop:
        await shop.see()
        quote = await shop.withdrawals.quote_withdrawal("m", Decimal(100))
        hold = await shop.withdraw(100)
        assert quote.expected_at is None
        assert (shop.hold(hold).unwinding, shop.hold(hold).expected_at) == (Unwinding.REFUSED, None)


async def test_refill_does_not_ask_for_what_a_withdrawal_is_about_to_ask_for_itself(database: Database) -> None:
    """A check takes place between its hold and its request."""
    async with Treasury(database) as shop:
        await shop.see()
        shop.withdrawals._unwinder._turns = asyncio.Semaphore(0)
        decision = await shop.ask(160)
        await shop.see()
        (refill,) = shop.own()
        snapshot = shop.manager.latest_snapshot("m")
        assert snapshot is not None
        assert snapshot.target_reserve is not None
        assert snapshot.reserve_balance is not None
        assert decision.unwound > 0
        assert refill.request.amount == snapshot.target_reserve * Decimal("1.1") - snapshot.reserve_balance


async def test_withdrawal_asks_for_no_more_than_still_lacks_when_some_has_come_before(database: Database) -> None:
    """The daemon died between its hold and its request, and part of the amount has arrived by other means."""
    async with Treasury(database) as shop:
        await shop.see()
        shop.withdrawals._unwinder._turns = asyncio.Semaphore(0)
        decision = await shop.ask(160)
        assert decision.hold is not None
        await shop.see()
        await shop.see(150)
        assert shop.hold(decision.hold).arrived == 40
        await shop.withdrawals._unwinder.close()
        shop.withdrawals._unwinder._turns = asyncio.Semaphore(1)
        shop.withdrawals._unwinder.ask(shop.hold(decision.hold))
        await shop.withdrawals._unwinder.idle()
        assert shop.request_for(decision.hold).request.amount == decision.unwound - 40


async def test_withdrawals_own_request_stays_while_its_strategy_is_asked_or_has_it(database: Database) -> None:
    """The money may be in flight, although the withdrawal is no longer waiting."""
    async with Treasury(database) as shop:
        await shop.see()
        answered = asyncio.Event()

        async def thinks() -> None:
            await answered.wait()

        shop.replenisher.misbehave = thinks
        decision = await shop.ask(160)
        hold = decision.hold
        assert hold is not None
        while not shop.replenisher.asked:
            await asyncio.sleep(0.01)
        await shop.withdrawals.cancel(hold.id)
        await shop.refills.look()
        assert shop.request_for(hold).state is State.REQUESTED
        answered.set()
        await shop.withdrawals._unwinder.idle()
        assert shop.request_for(hold).state is State.ACCEPTED
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.PENDING)
        paid = await shop.withdraw(200)
        await shop.withdrawals.settle(paid.id, paid_at=shop.clock.wall)
        await shop.refills.look()
        assert shop.request_for(paid).state is State.REQUESTED


# Accounts that cannot be read


@pytest.mark.parametrize("modes", [("m",), ("m", "other")])
async def test_money_that_comes_unseen_is_counted_from_the_last_reading_before_it_was_asked_for(
    modes: tuple[str, ...], database: Database
) -> None:
    """The strategy pays before the accounts can be read again, with and without another mode on the account."""
    async with Treasury(database, 220, modes=modes) as shop:
        await shop.see()
        await shop.see_nothing()
        hold = await shop.withdraw(30)
        assert hold.unwound == 30
        await shop.see_nothing()
        await shop.see(250)
        assert shop.request_for(hold).state is State.VERIFIED
        assert shop.hold(hold).arrived == 30


async def test_money_that_comes_unseen_is_counted_when_the_daemon_began_without_sight(database: Database) -> None:
    """It is counted from the stored reading."""
    async with Treasury(database) as shop:
        shop.replenisher.answer = REJECTED
        await shop.see(70)
        ahead = shop.clock.ahead
        await shop.crash()
        await shop.ownership.release()
    async with Treasury(database) as shop:
        shop.clock.ahead = ahead
        await shop.see_nothing()
        hold = await shop.withdraw(30)
        await shop.see(100)
        assert shop.request_for(hold).state is State.VERIFIED
        assert shop.hold(hold).arrived == 30


async def test_money_that_never_comes_is_without_effect_though_nothing_was_known_when_it_was_asked_for(
    database: Database,
) -> None:
    async with Treasury(database) as shop:
        await shop.see()
        await shop.see_nothing()
        hold = await shop.withdraw(30)
        await shop.see(110)
        await shop.settle(hold)
        assert shop.request_for(hold).state is State.INEFFECTIVE
        assert shop.hold(hold).arrived == 0


async def test_nobody_says_that_a_refill_had_no_effect_when_nothing_was_ever_known_of_the_accounts(
    database: Database,
) -> None:
    """It is unknown whether the 140 were there before."""
    async with Treasury(database) as shop:
        await shop.see_nothing()
        hold = await shop.withdraw(30)
        await shop.see(140)
        await shop.settle(hold)
        ended = shop.request_for(hold)
        assert (ended.state, ended.arrived) == (State.EXPIRED, 0)
        assert ended.detail.startswith("reported as settled; the accounts were not known")


async def test_what_came_in_while_nobody_waited_is_not_held_for_who_comes_later(database: Database) -> None:
    async with Treasury(database) as shop:
        await shop.see()
        await shop.withdraw(100)
        await shop.see(190)
        await shop.see(300)
        later = await shop.withdraw(270)
        await shop.see("300.1")
        assert shop.hold(later).arrived == Decimal("0.1")


@pytest.mark.parametrize("change", ["added", "removed"])
async def test_account_that_is_counted_from_now_on_or_no_longer_brings_and_takes_nothing(
    change: str, database: Database
) -> None:
    """Half of a refill has arrived before the change; the other half completes it, and it is not called ineffective."""
    async with Treasury(database) as shop:
        if change == "removed":
            shop.count(other=20)
        await shop.see(50)
        await shop.see(50)
        (refill,) = shop.own()
        half = refill.request.amount / 2
        await shop.see(50 + half)
        assert shop.own()[0].arrived == half
        shop.count(**({"other": 500} if change == "added" else {}))
        await shop.see()
        await shop.see()
        (counted,) = shop.own()
        assert (counted.state, counted.arrived) == (State.ACCEPTED, half)
        await shop.see(50 + 2 * half)
        assert shop.own()[0].state is State.VERIFIED


# Accounts of several modes


async def test_one_arrival_is_counted_once_when_several_modes_share_an_account(database: Database) -> None:
    """First come, first served: the rest is credited to the next, even if it is only part of its amount."""
    async with Treasury(database, 220, modes=("a", "b")) as shop:
        await shop.see()
        await shop.see(150)
        (a,), (b,) = shop.own("a"), shop.own("b")
        assert (a.request.amount, b.request.amount) == (35, 35)
        await shop.see(150 + 35 + 5)
        assert [shop.own(mode)[0].arrived for mode in "ab"] == [35, 5]
        assert [shop.own(mode)[0].state for mode in "ab"] == [State.VERIFIED, State.ACCEPTED]
        await shop.see(150 + 35 + 35)
        assert shop.own("b")[0].state is State.VERIFIED


async def test_sharer_asks_for_nothing_that_is_in_flight_for_another_beyond_what_that_lacks(
    database: Database,
) -> None:
    """What arrived for the first is split, so the second, whose money is in flight, lacks less."""
    async with Treasury(database, 220, modes=("a", "b")) as shop:
        await shop.see()
        await shop.see(150)
        await shop.see(150 + 35)
        assert [len(shop.own(mode)) for mode in "ab"] == [1, 1]
        assert shop.refills.inactions["a"] is Inaction.COVERED
        await shop.see(150 + 35 + 35)
        assert sum(each.request.amount for mode in "ab" for each in shop.own(mode)) == 220 - 150
        assert [str(shop.manager.status(mode)) for mode in "ab"] == ["adequate", "adequate"]


async def test_sharers_ask_for_all_that_lacks_when_the_reserve_falls_while_one_of_them_waits(
    database: Database,
) -> None:
    async with Treasury(database, 220, modes=("a", "b"), reserve_refill_in_flight=2) as shop:
        await shop.see()
        await shop.see(150)
        await shop.see(130)
        assert sum(each.request.amount for mode in "ab" for each in shop.own(mode)) == 220 - 130


async def test_queue_of_another_mode_is_not_asked_for(database: Database) -> None:
    """It has a request of its own."""
    async with Treasury(database, 220, modes=("a", "b")) as shop:
        await shop.see()
        hold = await shop.withdraw(200, "a")
        snapshots = await shop.manager.check_all_reserves()
        await shop.see()
        assert hold.unwound > 0
        for mode in "ab":
            target, balance = snapshots[mode].target_reserve, snapshots[mode].reserve_balance
            assert target is not None
            assert balance is not None
            asked = sum((each.request.amount for each in shop.own(mode)), Decimal())
            assert asked == Decimal("1.1") * target - balance


# Limits


async def test_no_strategy_hears_of_anything_in_a_dry_run(database: Database) -> None:
    """Neither requests by hand, nor those for withdrawals."""
    async with Treasury(database, reserve_refill_dry_run=True) as shop:
        await shop.see()
        decision = await shop.ask(100)
        assert (await shop.refills.request("m", Decimal(5), asked_by="ann")).reason == Inaction.DRY_RUN
        await shop.see(70)
        assert decision.hold is not None
        outcome = await shop.refills.request("m", decision.unwound, withdrawal_id=decision.hold.id)
        assert (outcome.request, outcome.reason) == (None, Inaction.DRY_RUN)
        assert shop.replenisher.asked == []


# Cost of a check


def calls_of_a_check(counted: list[int]) -> Any:
    """Return a function that starts counting calls of functions."""

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        if event == "call":
            counted[0] += 1

    return count


async def calls_with(waiting: int) -> int:
    """Return how many functions a check calls with this many waiting and this many settled withdrawals."""
    async with Treasury(None, waiting, reserve_withdrawal_floor=0, reserve_ratio=0) as shop:
        await shop.see()
        decisions = await asyncio.gather(*(shop.ask(1) for _ in range(2 * waiting)))
        await shop.withdrawals._unwinder.idle()
        paid = [each.hold for each in decisions if each.hold is not None and not each.hold.unwound]
        await asyncio.gather(*(shop.withdrawals.settle(each.id, paid_at=shop.clock.wall) for each in paid))
        for amount in (0, 0, "0.2"):
            await shop.see(amount)
        assert len(shop.refills._book.open()) == waiting
        shop._balances.amounts["m"] = "0.5"
        for task in shop._tasks:
            task.cancel()  # work in the background, whenever it is due, is not counted
        counted = [0]
        sys.setprofile(calls_of_a_check(counted))
        try:
            await shop.manager.check_all_reserves()
        finally:
            sys.setprofile(None)
        assert sum(each.arrived for each in shop.refills._book.open()) == Decimal("0.5")
        return counted[0]


@pytest.mark.no_cover
async def test_check_does_work_in_proportion_to_the_withdrawals_that_wait() -> None:
    """Independently of settled ones: a check that takes seconds would lose the store."""
    few, many = await calls_with(200), await calls_with(2000)
    assert many < 14 * few
