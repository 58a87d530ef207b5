"""The part of a withdrawal that the reserve does not pay is unwound, and credited in order when it arrives."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from reservd.errors import (
    DeliveryError,
    FailureReason,
)
from reservd.plugin import Acceptance, AcceptanceStatus, Balance, Equity, Reading, Urgency
from reservd.reserve.holds import Unwinding
from reservd.reserve.withdrawal import WithdrawalSpeed
from support.bank import Bank, terms
from support.polling import until
from support.sources import (
    ScriptedReplenisher,
    raises,
)

SLOW = WithdrawalSpeed.SLOW


async def test_part_to_unwind_is_asked_for_exactly_and_whatever_is_in_flight() -> None:
    unwinder = ScriptedReplenisher()
    async with Bank(70, replenisher=unwinder) as bank:
        shortfall = await bank.manager.request_reserve_replenishment("m", Decimal(40))
        assert shortfall
        decision = await bank.ask("33.3")
        await until(lambda: len(unwinder.asked) == 2, "the request")
        request = unwinder.asked[1]
        assert (request.id, request.amount, request.urgency) == (decision.hold.id, Decimal("13.3"), Urgency.FAST)
        assert not await bank.manager.request_reserve_replenishment("m", Decimal(40)), "the refill is still in flight"
        await until(lambda: hold_of(bank, decision).unwinding is Unwinding.ASKED, "the answer")


def hold_of(bank: Bank, decision: Any) -> Any:
    return bank.withdrawals._desk.book.find(decision.hold.id)


async def test_unwinding_is_asked_for_when_the_status_is_unknown() -> None:
    unwinder = ScriptedReplenisher()
    bank = Bank(70, replenisher=unwinder)
    decision = await bank.ask(5)
    await until(lambda: unwinder.asked, "the request")
    assert terms(decision) == (SLOW, 0, 5)
    await bank.crash()


async def test_money_is_expected_when_the_strategy_says_and_overdue_later_for_it() -> None:
    unwinder = ScriptedReplenisher()
    async with Bank(40, replenisher=unwinder) as bank:
        in_days = bank.clock.wall + timedelta(days=3)
        unwinder.answer = Acceptance(status=AcceptanceStatus.ACCEPTED, expected_by=in_days)
        decision = await bank.ask(10)
        await until(lambda: hold_of(bank, decision).unwinding is Unwinding.ASKED, "the answer")
        hold = hold_of(bank, decision)
        assert hold.expected_at == in_days
        assert hold.overdue_at == decision.hold.overdue_at + (in_days - decision.hold.expected_at)


async def test_unwinding_is_asked_for_again_under_its_id_when_no_answer_came() -> None:
    unwinder = ScriptedReplenisher()
    unwinder.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Bank(40, replenisher=unwinder) as bank:
        bank.withdrawals._unwinder._retry_seconds = 0.01
        decision = await bank.ask(10)
        await until(lambda: len(unwinder.asked) > 2, "some attempts")
        unwinder.misbehave = None
        await until(lambda: hold_of(bank, decision).unwinding is Unwinding.ASKED, "the answer")
        assert {request.id for request in unwinder.asked} == {decision.hold.id}


async def test_unwinding_is_given_up_when_the_strategy_rejects_it() -> None:
    unwinder = ScriptedReplenisher()
    unwinder.answer = Acceptance(status=AcceptanceStatus.REJECTED, reason="nothing to unwind")
    async with Bank(40, replenisher=unwinder) as bank:
        decision = await bank.ask(10)
        await until(lambda: hold_of(bank, decision).unwinding is Unwinding.REFUSED, "the answer")
        bank.withdrawals._watch.look()
        assert len(unwinder.asked) == 1


async def test_nobody_is_asked_when_a_withdrawal_is_cancelled_first() -> None:
    unwinder = ScriptedReplenisher()
    bank = Bank(40, replenisher=unwinder)
    await bank.see()
    unwinder.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    bank.withdrawals._unwinder._retry_seconds = 0.01
    decision = await bank.ask(10)
    await until(lambda: unwinder.asked, "an attempt")
    await bank.withdrawals.cancel(decision.hold.id)
    await until(lambda: not bank.withdrawals._unwinder._tasks, "the end of the request")
    await bank.crash()


async def test_queue_tells_places_and_what_is_ahead_and_money_goes_to_the_first() -> None:
    async with Bank(50) as bank:
        first, second = await bank.ask(10), await bank.ask(20)
        queue = bank.withdrawals.queue("m")
        assert [(each.hold.id, each.place, each.ahead) for each in queue] == [
            (first.hold.id, 1, 0),
            (second.hold.id, 2, 10),
        ]
        snapshot = await bank.see(64)
        assert (snapshot.reserve_balance, snapshot.held) == (50, 14), "arrived money is held from its first reading"
        assert [(each.hold.arrived, each.place, each.ahead) for each in bank.withdrawals.queue("m")] == [(4, 1, 0)]
        assert (await bank.see(90)).reserve_balance == 60
        assert bank.withdrawals.queue("m") == ()
        assert hold_of(bank, second).held == 20


async def test_money_that_came_while_another_payment_left_is_held_once_that_is_reported() -> None:
    """The balance is the same before and after, and the payment is reported only then."""

    async def tell_balance() -> Reading:
        return Reading([Balance("m", "USDT", Decimal(70), bank.clock.wall)])

    async def tell_equity() -> Equity:
        return Equity(Decimal(1000), "USDT", bank.clock.wall)

    async with Bank(70) as bank:
        bank.balances.misbehave, bank.equity.misbehave = tell_balance, tell_equity
        paying, waiting = await bank.ask(20), await bank.ask(30)
        assert (terms(paying)[1], terms(waiting)[1]) == (20, 0)
        for _ in range(5):
            bank.clock.ahead += timedelta(seconds=30)
            await bank.see(70)
        paid_at = bank.clock.wall - timedelta(seconds=15)
        await bank.withdrawals.settle(paying.hold.id, paid_at=paid_at)
        for _ in range(3):
            bank.clock.ahead += timedelta(seconds=30)
            snapshot = await bank.see(70)
        assert (hold_of(bank, waiting).arrived, snapshot.held, snapshot.reserve_balance) == (20, 20, 50)


async def test_rubbish_that_reads_as_a_fortune_is_not_held_for_the_queue() -> None:
    bank = Bank(50, reserve_max_jump="0.5")
    await bank.see()
    decision = await bank.ask(20)
    bank.balances.script = [{"m": 5000}, {"m": 50}]
    await bank.see()
    assert hold_of(bank, decision).arrived == 0
