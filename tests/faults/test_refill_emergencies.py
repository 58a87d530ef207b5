"""Emergencies that replace calm requests, or wait for approval: all is requested once, and money counts once."""

from datetime import UTC, datetime, timedelta

import pytest

from reservd.errors import DeliveryError, FailureReason, ReplenishmentStateError
from reservd.plugin import Acceptance, AcceptanceStatus, Urgency
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.states import Replenishment
from reservd.store.database import Database
from support.polling import until
from support.refills import Refinery, tells
from support.sources import raises
from support.treasury import Treasury

UNREACHABLE = raises(DeliveryError(FailureReason.UNREACHABLE))


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


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
    """The strategy has not received the calm request, and the emergency for the whole amount is pending: the calm
    request is repeated only once the emergency has been rejected.
    """
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
    """It receives both in order. Accepting both would unwind the amount of the calm one twice."""
    async with Treasury(database) as shop:
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.PENDING)
        for balance in (110, 70, 40):
            await shop.see(balance)
        calm, emergency = shop.own()
        desk = shop.refills.desk
        with pytest.raises(ReplenishmentStateError, match="another one covers the whole"):
            await desk.accept(calm.id, reference="mine", exclusive=True)
        await desk.reject(emergency.id, reason="not at once")
        assert (await desk.accept(calm.id, reference="mine", exclusive=True)).heard


async def test_calm_request_is_heard_while_the_emergency_that_would_stand_in_for_it_waits_for_approval(
    database: Database,
) -> None:
    """The strategy was unreachable at first: the calm request must not wait for the approval as well."""
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
    """The emergency includes the amount of the calm request. Approved unchanged, it would unwind that amount twice."""
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see()
        await shop.see(70)
        shop.equity = 3000
        await shop.see(70)
        calm, emergency = shop.own()
        assert (calm.request.amount, emergency.request.amount) == (40, 260)
        await shop.see(90)
        assert shop.own()[1].request.amount == 240, "less what has arrived"
        await shop.see(89)
        assert shop.own()[1].request.amount == 240, "never more than whoever approves it may have read"
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
    """The strategy has settled the calm request: an emergency for the whole would bring that money twice."""
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
        assert (str(calm.state), again.request.amount) == ("ineffective", 67), (
            "the settled money never arrived: the whole is requested"
        )


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
        assert asked.urgency is Urgency.FAST, "the reserve is low, no longer critical"


async def test_emergency_is_not_waited_for_any_more_once_what_is_on_its_way_is_enough(database: Database) -> None:
    async with Treasury(database, reserve_refill_approval_above=50) as shop:
        await shop.see()
        await shop.see(70)
        await shop.see(30)
        await shop.see(69)
        calm, emergency = shop.own()
        assert (str(calm.state), str(emergency.state)) == ("accepted", "cancelled")
        await shop.see(20)
        assert shop.refills.inactions["m"] is Inaction.AWAITING_APPROVAL, "no cooldown, as no request was rejected"
        assert len(shop.replenisher.asked) == 1


async def test_emergency_is_not_waited_for_any_more_once_the_calm_request_is_to_be_asked_again(
    database: Database,
) -> None:
    """The repeated calm request needs no approval.

    Together with the emergency it would unwind the same amount twice.
    """
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
    """Otherwise the request would be verified before any of its money arrived, and the same amount requested again."""
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
    """Its deadline starts when it is released.

    With the old one it would end as ineffective, and another would follow.
    """
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
    """Its deadline starts at the approval.

    With the old one it would expire while the strategy unwinds, and another follow.
    """
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
    """The deadline has passed, but nothing has noticed it yet."""
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
