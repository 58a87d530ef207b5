"""Strategies that do not do what they say, and daemons that die: nothing is asked for twice, and the events tell it."""

import asyncio
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from sqlalchemy import delete, update

from reservd.errors import DeliveryError, FailureReason, ReplenishmentStateError, StoreError
from reservd.plugin import Acceptance, AcceptanceStatus, Urgency
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.event import ReplenishmentEvent
from reservd.reserve.replenishment.states import Replenishment
from reservd.store.database import Database
from reservd.store.operators import Redelivery, ask_redeliveries
from reservd.store.queries import DeadLetter, find_position, load_dead_letters
from reservd.store.tables import replenishments
from support.nursery import Nursery
from support.office import until
from support.polling import wait_until
from support.refills import Refinery
from support.sources import ScriptedReplenisher, raises
from support.treasury import Treasury
from support.world import World

UNREACHABLE = raises(DeliveryError(FailureReason.UNREACHABLE))


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def promising(seconds: float) -> ScriptedReplenisher:
    """Return a strategy that accepts and says when the money will be there."""
    replenisher = ScriptedReplenisher()
    replenisher.answer = Acceptance(status=AcceptanceStatus.ACCEPTED, expected_by=soon(seconds))
    return replenisher


async def tells(shop: Refinery, *states: str) -> None:
    await until(lambda: len(shop.ops.states) >= len(states), f"{states}, got {shop.ops.states}")
    assert shop.ops.states == list(states)
    assert [int(each.sequence) for each in shop.ops.changes] == list(range(1, len(states) + 1))


async def test_request_expires_and_the_next_is_an_emergency_when_a_strategy_accepts_and_does_nothing(
    database: Database,
) -> None:
    limits = {"reserve_refill_cooldown": "0.01", "reserve_refill_settling": "0.01"}
    async with Refinery(database, promising(0), **limits) as shop:
        await shop.check(70)
        await tells(shop, "requested", "accepted", "expired")
        await asyncio.sleep(0.02)
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.ACCEPTED)
        await shop.check(69)
        first, second = shop.replenisher.asked
        assert (first.urgency, second.urgency) == (Urgency.FAST, Urgency.EMERGENCY)
        assert len({first.id, second.id}) == 2


async def test_refill_that_is_there_when_it_was_promised_is_verified_though_it_is_looked_at_later(
    database: Database,
) -> None:
    """A strategy that keeps its word to the second is no failure: the reserve is not looked at all the time."""
    async with Refinery(database, promising(0)) as shop:
        await shop.check(70)
        await asyncio.sleep(0.02)
        await shop.check(110)
        await tells(shop, "requested", "accepted", "verified")
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.ACCEPTED)
        await shop.check(70)
        assert len(shop.asked) == 2


async def test_half_of_a_refill_is_told_as_half_and_not_as_done(database: Database) -> None:
    async with Refinery(database, reserve_refill_settling="1.5") as shop:
        await shop.check(70)
        (asked,) = shop.asked
        await shop.check(90)
        await shop.service.desk.settle(asked)
        await shop.check(90.5)
        assert (await shop.service.desk.find(asked)).state == "settled"
        await asyncio.sleep(1.5)
        await shop.check(90)
        await tells(shop, "requested", "accepted", "settled", "ineffective")
        assert shop.ops.changes[-1].data.arrived == 20
        assert shop.asked == [asked]


async def test_money_that_never_arrives_is_told_when_a_strategy_says_that_it_settled(database: Database) -> None:
    async with Refinery(database, reserve_refill_settling="0.05") as shop:
        await shop.check(70)
        await shop.service.desk.settle(shop.asked[0])
        await asyncio.sleep(0.06)
        await shop.check(69)
        await tells(shop, "requested", "accepted", "settled", "ineffective")
        assert shop.reasons.all[-1] is Inaction.COOLDOWN
        assert len(shop.asked) == 1


async def test_money_that_has_left_is_waited_for_until_it_was_promised(database: Database) -> None:
    """A bridge takes its hour: given up after five minutes, all of it would be asked for once more, urgently."""
    async with Treasury(database) as shop:
        shop.replenisher.answer = Acceptance(
            status=AcceptanceStatus.ACCEPTED, expected_by=shop.clock.wall + timedelta(hours=1)
        )
        await shop.see(70)
        (own,) = shop.own()
        await shop.refills.desk.settle(own.id)
        for _ in range(5):
            await shop.see(70, after_seconds=600)
        assert (str(shop.own()[0].state), len(shop.replenisher.asked)) == ("settled", 1)
        await shop.see(70, after_seconds=1_200)
        assert str(shop.own()[0].state) == "ineffective"


async def test_second_answer_changes_nothing_when_it_says_the_same_and_is_refused_when_not(database: Database) -> None:
    async with Refinery(database) as shop:
        await shop.check(70)
        (asked,) = shop.asked
        await shop.service.desk.accept(asked)
        await shop.service.desk.progress(asked, reference="u-2")
        await shop.service.desk.accept(asked)
        with pytest.raises(ReplenishmentStateError, match="is in_progress: it cannot become rejected"):
            await shop.service.desk.reject(asked)
        await shop.check(110)
        await shop.service.desk.settle(asked)
        await tells(shop, "requested", "accepted", "in_progress", "verified")
        assert shop.ops.changes[-1].data.reference == "u-2"


async def test_answer_is_refused_when_it_comes_after_the_deadline(database: Database) -> None:
    replenisher = ScriptedReplenisher()
    replenisher.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Refinery(database, replenisher, reserve_refill_patience="0.05") as shop:
        await shop.check(70)
        await asyncio.sleep(0.06)
        await shop.check(69)
        with pytest.raises(ReplenishmentStateError, match="is expired"):
            await shop.service.desk.accept(shop.asked[0])
        await tells(shop, "requested", "expired")


async def test_late_answer_to_the_call_itself_is_not_believed(database: Database) -> None:
    replenisher = ScriptedReplenisher()
    gate = asyncio.Event()

    async def waits() -> None:
        await gate.wait()

    replenisher.misbehave = waits
    async with Refinery(database, replenisher, reserve_refill_patience="0.05") as shop:
        shop._balances.amounts["main"] = 70
        await shop.manager.check_all_reserves()
        await until(lambda: shop.asked, "the call")
        await asyncio.sleep(0.06)
        await shop.service.look()
        gate.set()
        await shop.service.idle()
        await tells(shop, "requested", "expired")


async def test_overshoot_is_told_and_nothing_more_is_asked_for(database: Database) -> None:
    async with Refinery(database) as shop:
        await shop.check(70)
        await shop.check(190)
        await shop.check(189)
        await tells(shop, "requested", "accepted", "verified")
        assert shop.ops.changes[-1].data.arrived == 120
        assert shop.reasons.all[-1] is Inaction.ADEQUATE
        assert len(shop.asked) == 1


async def test_request_is_asked_for_again_under_its_id_when_the_daemon_stopped_before_it_was_heard(
    database: Database,
) -> None:
    deaf = ScriptedReplenisher()
    deaf.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Refinery(database, deaf) as first:
        await first.check(70)
        await tells(first, "requested")
    async with Refinery(database) as second:
        await second.check(69)
        for _ in range(100):
            await second.check(68)
            if second.asked and len(await second.history(first.asked[0])) > 1:
                break
            await asyncio.sleep(0.05)
        assert second.asked == [first.asked[0]]
        assert (first.replenisher.asked[0].epoch, second.replenisher.asked[0].epoch) == (1, 2)
        assert (await second.service.desk.find(first.asked[0])).request.epoch is None
        states = [str(each.state) for each in await second.history(first.asked[0])]
        assert states == ["requested", "accepted"]


async def test_cooldown_and_budget_hold_after_a_restart(database: Database) -> None:
    refusing = ScriptedReplenisher()
    refusing.answer = Acceptance(status=AcceptanceStatus.REJECTED, reason="nothing to unwind")
    async with Refinery(database, refusing) as shop:
        await shop.check(70)
        await tells(shop, "requested", "rejected")
    async with Refinery(database) as shop:
        await shop.check(69)
        assert (shop.asked, shop.reasons.all[-1]) == ([], Inaction.COOLDOWN)
    async with Refinery(database, reserve_refill_cooldown="0.01", reserve_refill_budget_count=1) as shop:
        await shop.check(68)
        await shop.check(110)
        assert len(shop.asked) == 1
    async with Refinery(database, reserve_refill_budget_count=1) as shop:
        await shop.check(67)
        assert (shop.asked, shop.reasons.all[-1]) == ([], Inaction.BUDGET_COUNT)


async def test_no_refill_is_asked_for_and_alarms_go_on_when_a_request_in_the_store_cannot_be_read(
    database: Database,
) -> None:
    """Whoever was asked may bring the money: another one might be unwound for the same."""
    async with Refinery(database) as shop:
        await shop.check(70)
        (asked,) = shop.asked
    async with database.write() as connection:
        await connection.execute(update(replenishments).values(record='{"of": "another version"}'))
    async with Refinery(database) as shop:
        await shop.check(40)
        assert shop.manager.status("m") is ReserveStatus.CRITICAL
        await until(lambda: "reservd.reserve_critical.v1" in {each.type for each in shop.ops.taken}, "the alarm")
        assert shop.reasons.all[-1] is Inaction.UNREADABLE
        assert (await shop.service.request("m", Decimal(5))).reason == Inaction.UNREADABLE
        with pytest.raises(StoreError, match=f"{asked} cannot be read"):
            await shop.service.request("m", Decimal(5), request_id=asked)
        assert await shop.service.desk.list("m", None, limit=10, before=None) == []
        assert shop.asked == []
    async with database.write() as connection:
        await connection.execute(delete(replenishments))
    async with Refinery(database) as shop:
        await shop.check(40)
        assert len(shop.asked) == 1, "once it is out of the store"


async def test_replenisher_is_left_alone_by_all_modes_for_as_long_as_it_asks(database: Database) -> None:
    limited = raises(DeliveryError(FailureReason.RATE_LIMITED, "HTTP 429", retry_after_seconds=600))
    async with Treasury(database, 70, modes=("a", "b"), reserve_allocation="pro_rata") as shop:
        shop.replenisher.misbehave = limited
        await shop.see(70)
        asked = len(shop.replenisher.asked)
        await shop.see(69)
        await shop.refills.request("b", Decimal(5), withdrawal_id="w")
        assert len(shop.replenisher.asked) == asked
        shop.replenisher.misbehave = None
        shop.refills._caller._left_alone_until.clear()  # the time is over
        await shop.see(70)
        assert len(shop.replenisher.asked) > asked


async def test_large_emergency_waits_for_somebody_and_is_asked_for_once(database: Database) -> None:
    async with Refinery(database, reserve_refill_approval_above=50) as shop:
        await shop.check(20)
        await shop.check("20.5")
        assert (shop.asked, shop.reasons.all[-1]) == ([], Inaction.AWAITING_APPROVAL)
        await tells(shop, "requested")
        (record,) = await shop.service.desk.list("m")
        await shop.service.desk.approve(record.id, by="ann")
        await shop.service.desk.approve(record.id, by="bob")
        await shop.service.idle()
        assert shop.asked == [record.id]
        await until(lambda: len(shop.ops.changes) == 3, "its events")
        assert [str(each.data.approval) for each in shop.ops.changes] == ["awaited", "given", "given"]


async def test_one_request_is_heard_when_a_strategy_is_back_after_its_reserve_has_become_critical(
    database: Database,
) -> None:
    """It has not heard of the calm request, and has not decided yet about the emergency, which asks for the whole."""
    async with Treasury(database) as shop:
        await shop.see()
        shop.replenisher.misbehave = UNREACHABLE
        await shop.see(70)
        shop.replenisher.misbehave = None
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.PENDING)
        shop.replenisher.asked.clear()
        for balance in (40, 40, 39):
            await shop.see(balance)
        (emergency,) = shop.replenisher.asked
        calm, _ = shop.own()
        assert (emergency.urgency, emergency.replaces) == (Urgency.EMERGENCY, calm.id)
        assert (await shop.refills.request("m", calm.request.amount, request_id=calm.id)).reason == Inaction.IN_FLIGHT
        await shop.refills.desk.reject(emergency.id, reason="not at once")
        await shop.see(38)
        assert [each.id for each in shop.replenisher.asked] == [emergency.id, calm.id]


async def test_strategy_that_comes_back_to_two_requests_takes_the_one_that_asks_for_the_whole(
    database: Database,
) -> None:
    """It hears of both in their order; both would unwind the calm one's amount twice."""
    async with Treasury(database) as shop:
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.PENDING)
        for balance in (110, 70, 40):
            await shop.see(balance)
        calm, emergency = shop.own()
        desk = shop.refills.desk
        with pytest.raises(ReplenishmentStateError, match="another asks for the whole"):
            await desk.accept(calm.id, reference="mine", exclusive=True)
        await desk.reject(emergency.id, reason="not at once")
        assert (await desk.accept(calm.id, reference="mine", exclusive=True)).heard


async def test_calm_request_is_heard_while_the_emergency_that_would_stand_in_for_it_waits_for_approval(
    database: Database,
) -> None:
    """The strategy was away when it was asked: it is not to wait for people as well."""
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see()
        shop.replenisher.misbehave = UNREACHABLE
        await shop.see(70)
        shop.replenisher.misbehave = None
        await shop.see(30)
        await shop.see(30)
        await shop.see(30)
        calm, emergency = shop.own()
        assert (str(calm.state), emergency.held_back) == ("accepted", True)
        assert shop.refills.inactions["m"] is Inaction.AWAITING_APPROVAL
        await shop.refills.desk.approve(emergency.id, by="ann")
        await shop.refills.idle()
        calm, emergency = shop.own()
        assert (calm.replaced_by, str(emergency.state)) == (emergency.id, "accepted")


async def test_emergency_that_waits_for_approval_asks_for_what_still_lacks_when_the_calm_request_has_arrived(
    database: Database,
) -> None:
    """It asked for the whole, the calm one's part included; approved as it was it would unwind that twice."""
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see()
        await shop.see(70)
        shop.equity = 3000
        await shop.see(70)
        calm, emergency = shop.own()
        assert (calm.request.amount, emergency.request.amount) == (40, 260)
        await shop.see(90)
        assert shop.own()[1].request.amount == 240, "some has arrived"
        await shop.see(89)
        assert shop.own()[1].request.amount == 240, "no more than whoever approves it may have read"
        await shop.see(110)
        calm, emergency = shop.own()
        assert (str(calm.state), emergency.held_back) == ("verified", True)
        assert (emergency.request.amount, emergency.request.replaces) == (220, None)
        await shop.refills.desk.approve(emergency.id, by="ann")
        await shop.refills.idle()
        assert [each.amount for each in shop.replenisher.asked] == [40, 220]
        told = await shop.refills.desk.changes(emergency.id)
        assert [int(each.amount) for each in told][:4] == [260, 240, 220, 220]
        await shop.see(330)
        assert str(shop.own()[1].state) == "verified"


async def test_emergency_asks_for_what_lacks_besides_the_money_that_has_left_already(database: Database) -> None:
    """Of a calm request that its strategy has settled: the whole would bring that money twice."""
    async with Treasury(database) as shop:
        await shop.see()
        await shop.see(70)
        (calm,) = shop.own()
        await shop.refills.desk.settle(calm.id)
        await shop.see(40)
        calm, emergency = shop.own()
        assert (str(calm.state), emergency.request.replaces, emergency.request.amount) == ("settled", None, 30)
        assert emergency.request.urgency is Urgency.EMERGENCY
        await shop.see(41)
        assert len(shop.replenisher.asked) == 2
        await shop.refills.desk.fail(emergency.id, reason="no liquidity")
        await shop.see(42)
        assert (len(shop.replenisher.asked), shop.refills.inactions["m"]) == (2, Inaction.COOLDOWN)
        for _ in range(2):
            await shop.see(43, after_seconds=600)
        calm, _, again = shop.own()
        assert (str(calm.state), again.request.amount) == ("ineffective", 67), "it never came: the whole is asked for"


async def test_emergency_waits_for_nobody_once_it_asks_for_no_more_than_may_be_without_approval(
    database: Database,
) -> None:
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see()
        await shop.see(30)
        (emergency,) = shop.own()
        assert emergency.held_back
        await shop.see(61)
        (asked,) = shop.replenisher.asked
        assert (asked.id, asked.amount) == (emergency.id, 49)
        assert asked.urgency is Urgency.FAST, "the reserve is low, and no more"


async def test_emergency_is_not_waited_for_any_more_once_what_is_on_its_way_is_enough(database: Database) -> None:
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see()
        await shop.see(70)
        await shop.see(30)
        await shop.see(69)
        calm, emergency = shop.own()
        assert (str(calm.state), str(emergency.state)) == ("accepted", "cancelled")
        await shop.see(20)
        assert shop.refills.inactions["m"] is Inaction.AWAITING_APPROVAL, "again at once: nobody refused it"
        assert len(shop.replenisher.asked) == 1


async def test_emergency_is_not_waited_for_any_more_once_the_calm_request_is_to_be_asked_again(
    database: Database,
) -> None:
    """Calm as well, and small enough to need nobody's approval, it would have the same unwound twice."""
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see()
        shop.replenisher.misbehave = UNREACHABLE
        await shop.see(70)
        await shop.see(30)
        shop.replenisher.misbehave = None
        shop.replenisher.asked.clear()
        for _ in range(3):
            await shop.see(70)
        calm, emergency = shop.own()
        assert [each.id for each in shop.replenisher.asked] == [calm.id]
        assert (str(calm.state), str(emergency.state)) == ("accepted", "cancelled")


async def test_money_that_came_before_anybody_was_asked_is_not_taken_for_what_was_asked_for(database: Database) -> None:
    """It would be called verified before a coin of it was there, and the same asked for once more."""
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see()
        await shop.see(10)
        await shop.see(60)
        for _ in range(2):
            await shop.see(60)
        (asked,) = shop.own()
        assert (asked.request.amount, str(asked.state), asked.arrived) == (50, "accepted", 0)
        await shop.see(85)
        assert shop.own()[0].arrived == 25
        await shop.see(110)
        assert [str(each.state) for each in shop.own()] == ["verified"]


async def test_money_that_came_before_an_emergency_was_approved_is_not_taken_for_its_own(database: Database) -> None:
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        shop.equity = 10_000
        await shop.see(1_100)
        for balance in (10, 400):
            await shop.see(balance)
        (emergency,) = shop.own()
        assert (emergency.request.amount, emergency.held_back) == (700, True)
        await shop.refills.desk.approve(emergency.id, by="ann")
        await shop.refills.idle()
        await shop.see(750)
        (emergency,) = shop.own()
        assert (str(emergency.state), emergency.arrived) == ("accepted", 350)
        await shop.see(1_100)
        assert str(shop.own()[0].state) == "verified"


async def test_nobody_is_asked_any_more_for_what_was_made_before_a_dry_run(database: Database) -> None:
    async with Treasury(database) as shop:
        await shop.see()
        shop.replenisher.misbehave = UNREACHABLE
        await shop.see(70)
        config = shop.manager.reserve_configs["m"].model_dump(exclude_none=True)
        shop.manager.set_reserve_config("m", {**config, "reserve_refill_dry_run": True})
        shop.replenisher.misbehave = None
        shop.replenisher.asked.clear()
        for _ in range(2):
            await shop.see(69)
        (own,) = shop.own()
        assert (shop.replenisher.asked, str(own.state)) == ([], "requested")
        with pytest.raises(ReplenishmentStateError, match="dry run"):
            await shop.refills.desk.accept(own.id, reference="mine", exclusive=True)
        await shop.see(69, after_seconds=1_800)
        assert str(shop.own()[0].state) == "expired"


async def test_request_of_a_mode_that_is_gone_may_be_approved_and_asks_nobody(database: Database) -> None:
    async with Treasury(database) as shop:
        await shop.see(40)
        (own,) = shop.own()
        request = own.request.model_copy(update={"id": "left", "strategy_mode": "gone"})
        left = Replenishment(request=request, changed_at=own.changed_at, deadline=own.deadline, needs_approval=True)
        shop.refills._book.put(left)
        assert (await shop.refills.desk.approve("left", by="ann")).approved_by == "ann"
        await shop.refills.idle()
        assert len(shop.replenisher.asked) == 1


async def test_strategy_has_its_time_when_an_emergency_needs_no_approval_any_more_at_the_last_moment(
    database: Database,
) -> None:
    """Given up a moment later it would have had no effect, and another emergency would be asked for."""
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see(30)
        (waiting,) = shop.own()
        shop.clock.ahead += waiting.deadline - shop.clock.wall - timedelta(minutes=1)
        await shop.see(61)
        (asked,) = shop.replenisher.asked
        (own,) = shop.own()
        assert own.released_at is not None
        assert (asked.id, asked.deadline) == (waiting.id, own.released_at + timedelta(minutes=30))
        for _ in range(4):
            await shop.see(61, after_seconds=400)
        assert [str(each.state) for each in shop.own()] == ["accepted"]


async def test_strategy_has_its_time_when_somebody_approves_at_the_last_moment(database: Database) -> None:
    """Otherwise it would be given up while it unwinds, and a second emergency asked for."""
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see(20)
        await shop.see(20)
        (waiting,) = shop.own()
        shop.clock.ahead += waiting.deadline - shop.clock.wall - timedelta(minutes=1)
        approved = await shop.refills.desk.approve(waiting.id, by="ann")
        assert approved.deadline == approved.request.deadline == approved.changed_at + timedelta(minutes=30)
        for _ in range(4):
            await shop.see(20, after_seconds=400)
        (asked,) = shop.replenisher.asked
        assert (asked.id, asked.deadline) == (waiting.id, approved.deadline)
        assert str(shop.own()[0].state) == "accepted"
        await shop.see(20, after_seconds=400)
        assert str(shop.own()[0].state) == "expired"


async def test_nobody_is_asked_when_an_approval_comes_after_the_deadline(database: Database) -> None:
    """Before anything else has noticed that it has passed."""
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see(20)
        await shop.see(20)
        (waiting,) = shop.own()
        shop.clock.ahead += timedelta(minutes=31)
        with pytest.raises(ReplenishmentStateError, match="is expired: it cannot be approved"):
            await shop.refills.desk.approve(waiting.id, by="ann")
        await shop.refills.idle()
        assert shop.replenisher.asked == []
        assert str(shop.own()[0].state) == "expired"


async def test_shortfall_is_asked_for_when_a_withdrawal_is_cancelled_of_which_no_strategy_has_heard(
    database: Database,
) -> None:
    """Nobody will bring what it lacked: that is not in flight any more."""
    async with Treasury(database) as shop:
        await shop.see()
        shop.replenisher.misbehave = UNREACHABLE
        decision = await shop.ask(160)
        assert decision.hold is not None
        target = decision.hold.id
        await until(lambda: [each.id for each in shop.replenisher.asked] == [target], "the call")
        await shop.refills.idle()
        await shop.withdrawals.cancel(target)
        shop.replenisher.misbehave = None
        await shop.see(60)
        assert str(shop.request_for(decision.hold).state) == "cancelled"
        (refill,) = shop.own()
        assert refill.request.amount == 110 - 60


async def test_strategy_is_told_when_it_takes_what_a_withdrawal_lacked_that_is_cancelled(database: Database) -> None:
    """It had the request, and had not decided: it is not to unwind for nobody."""
    async with Treasury(database) as shop:
        await shop.see()
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.PENDING)
        undecided, under_way = await shop.withdraw(160), await shop.withdraw(40)
        await shop.refills.desk.accept(under_way.id)
        for hold in (undecided, under_way):
            await shop.withdrawals.cancel(hold.id)
        await shop.refills.look()
        with pytest.raises(ReplenishmentStateError, match="is cancelled"):
            await shop.refills.desk.accept(undecided.id)
        assert str(shop.request_for(under_way).state) == "accepted"


async def test_change_that_its_sink_refused_is_a_dead_letter_and_arrives_when_it_is_redelivered(
    database: Database,
) -> None:
    async with Refinery(database) as shop:
        shop.ops.misbehave = raises(DeliveryError(FailureReason.REJECTED, retryable=False))
        await shop.check(70)

        async def dead_letters() -> list[DeadLetter]:
            async with database.read() as connection:
                found = await load_dead_letters(connection, 10, "ops")
            return [each for each in found if isinstance(each.event, ReplenishmentEvent)]

        while len(found := await dead_letters()) < 2:
            await asyncio.sleep(0.01)
        assert [str(each.event.state) for each in found] == ["accepted", "requested"]
        shop.ops.misbehave = None
        async with database.write() as connection:
            position = await find_position(connection, found[1].event.id)
            assert position is not None
            await ask_redeliveries(connection, [Redelivery("wish", position, "ops", datetime.now(UTC), "ann")])
        await until(lambda: shop.ops.states == ["requested"], "the dead letter")
        assert shop.ops.changes[0].id == found[1].event.id


# Real daemons


def write_config(world: World, folder: Path) -> Path:
    """Return a configuration whose strategy is a program that writes down what it is asked and accepts."""
    program = folder / "unwind"
    program.write_text(
        f'#!/bin/sh\ncat >> {folder}/request\necho "$RESERVD_REQUEST_ID" >> {folder}/asked\n'
        'echo \'{"status": "accepted"}\'\n'
    )
    program.chmod(0o755)
    config = world.write_config(folder, defaults={"reserve_replenisher": "unwinder"})
    document = yaml.safe_load(config.read_text())
    document["replenishers"] = {"unwinder": {"plugin": "command", "options": {"command": [str(program)]}}}
    config.write_text(yaml.safe_dump(document))
    return config


def asked_in(folder: Path) -> list[str]:
    path = folder / "asked"
    return path.read_text().split() if path.exists() else []


def stored_in(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "reservd.db")) as connection:
        return dict(connection.execute("SELECT id, state FROM replenishments").fetchall())


def told_in(world: World) -> list[str]:
    """Return the states that the sink heard of; what is sent again after a takeover has the same id."""
    by_id = {each["id"]: each["data"] for each in world.events if "replenishment" in each["type"]}
    return [each["state"] for each in by_id.values()]


@pytest.mark.parametrize("step", ["store", "stored"])
def test_one_request_is_made_when_the_daemon_is_killed_between_decision_and_request(
    step: str, tmp_path: Path, nursery: Nursery
) -> None:
    """It is decided and stored, or not even that, and its strategy has not heard of it."""
    with World("m") as world:
        world.set("m", "low")
        config = write_config(world, tmp_path)
        nursery.wait(nursery.start(config, step))
        before = stored_in(tmp_path)
        assert (len(before), asked_in(tmp_path)) == (1 if step == "stored" else 0, [])
        nursery.start(config)
        wait_until(lambda: "accepted" in stored_in(tmp_path).values(), "the answer")
        assert len(stored_in(tmp_path)) == 1
        assert asked_in(tmp_path) == list(stored_in(tmp_path))
        assert set(before) <= set(stored_in(tmp_path))


def test_one_request_is_made_when_another_daemon_takes_over(tmp_path: Path, nursery: Nursery) -> None:
    with World("m") as world:
        config = write_config(world, tmp_path)
        first = nursery.start(config)
        wait_until(lambda: "ownership.taken" in nursery.log(), "the first to own the store")
        nursery.start(config)
        wait_until(lambda: "ownership.waiting" in nursery.log(), "the second to wait")
        world.set("m", "low")
        wait_until(lambda: "accepted" in (stored_in(tmp_path).values()), "the answer")
        nursery.signal(first, signal.SIGKILL)
        wait_until(lambda: nursery.log().count("ownership.taken") == 2, "the second to own the store")
        world.set("m", "adequate")
        wait_until(lambda: "verified" in stored_in(tmp_path).values(), "the second to see the money")
        assert asked_in(tmp_path) == list(stored_in(tmp_path))
        wait_until(lambda: told_in(world) == ["requested", "accepted", "verified"], "the events")
        # Each says which owner sent it, and so does the request.
        assert world.events[-1]["data"]["state"] == "verified"
        assert [each["epoch"] for each in world.events] == sorted(each["epoch"] for each in world.events)
        assert (world.events[0]["epoch"], world.events[-1]["epoch"]) == (1, 2)
        assert (tmp_path / "request").read_text().count('"epoch":1') == 1
