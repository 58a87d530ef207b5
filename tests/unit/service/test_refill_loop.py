"""Refills between decision and verification: effects of operators, strategies and time."""

import asyncio
import time
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from reservd.errors import DeliveryError, FailureReason, ReplenishmentStateError, StoreError, UnknownReplenishmentError
from reservd.plugin import Acceptance, AcceptanceStatus, Progress, ProgressStatus
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.states import ReplenishmentState
from reservd.service.callables import CallableReplenisher
from reservd.store.database import Database
from reservd.web.replenishment_metrics import ReplenishmentMetrics
from support.polling import until
from support.refills import Refinery
from support.sources import ScriptedReplenisher, raises

LARGE = {"reserve_refill_approval_above": 50}


class Polled(ScriptedReplenisher):
    """A strategy that can be asked for its progress."""

    progress: Progress | None = None

    async def poll(self, request_id: str) -> Progress | None:
        del request_id
        return self.progress


async def test_strategy_is_polled_when_it_can_be(database: Database) -> None:
    strategy = Polled()
    strategy.answer = Acceptance(status=AcceptanceStatus.PENDING)
    async with Refinery(database, strategy) as shop:
        await shop.check(70)
        for status, state in (
            (None, ReplenishmentState.REQUESTED),
            (ProgressStatus.IN_PROGRESS, ReplenishmentState.IN_PROGRESS),
            (ProgressStatus.REJECTED, ReplenishmentState.FAILED),
        ):
            strategy.progress = Progress(status=status) if status is not None else None
            soon = time.monotonic() + 600 * (list(ReplenishmentState).index(state) + 1)
            await shop.service._asker.follow(soon)
            assert (await shop.service.desk.find(shop.asked[0])).state is state


async def test_emergency_that_is_accepted_ends_what_it_stands_in_for(database: Database) -> None:
    async with Refinery(database) as shop:
        await shop.check(70)
        await shop.check(40)
        fast, emergency = [await shop.service.desk.find(each) for each in shop.asked]
        assert (fast.state, fast.replaced_by) == (ReplenishmentState.CANCELLED, emergency.id)
        assert emergency.state is ReplenishmentState.ACCEPTED


async def test_request_that_waits_for_approval_is_cancelled_when_the_reserve_recovers(database: Database) -> None:
    async with Refinery(database, **LARGE) as shop:
        await shop.check(20)
        await shop.check(110)
        await until(lambda: shop.ops.states == ["requested", "cancelled"], "the end of the request")
        assert shop.asked == []


async def test_nothing_is_asked_in_a_dry_run_or_without_the_store(database: Database) -> None:
    async with Refinery(database, reserve_refill_dry_run=True) as shop:
        await shop.check(70)
        assert (shop.asked, shop.service.inactions["m"]) == ([], Inaction.DRY_RUN)
        await shop.ownership.release()
        shop._balances.amounts["main"] = 69
        await shop.manager.check_all_reserves()
        assert shop.service.inactions["m"] is Inaction.STORE_GONE
        assert (await shop.service.request("m", Decimal(5))).reason == Inaction.STORE_GONE
        with pytest.raises(StoreError):
            await shop.service.desk.accept("r")


async def test_request_is_made_when_only_time_stood_against_it(database: Database) -> None:
    strategy = ScriptedReplenisher()
    strategy.answer = Acceptance(status=AcceptanceStatus.REJECTED)
    async with Refinery(database, strategy, reserve_refill_cooldown="0.05") as shop:
        await shop.check(70)
        await asyncio.sleep(0.06)
        await shop.check(70)
        assert len(set(shop.asked)) == 2


async def test_withdrawals_own_request_is_made_beside_what_is_open_and_once(database: Database) -> None:
    async with Refinery(database) as shop:
        await shop.check(70)
        for _ in range(2):
            outcome = await shop.service.request("m", Decimal(25), withdrawal_id="w-1")
            assert outcome
        assert shop.asked[1:] == ["w-1"]
        assert (await shop.service.request("m", Decimal(25))).reason == Inaction.IN_FLIGHT


@pytest.mark.parametrize("in_flight", [1, 2])
async def test_same_id_at_the_same_time_is_one_request(database: Database, in_flight: int) -> None:
    """Each caller gets the request that was made; the one with another amount can see that it is not its own."""
    async with Refinery(database, reserve_refill_in_flight=in_flight) as shop:
        await shop.check(110)
        wanted = [shop.service.request("m", Decimal(amount), request_id="k") for amount in (5, 5, 7)]
        outcomes = await asyncio.gather(*wanted)
        assert all(outcomes)
        (asked,) = shop.replenisher.asked
        assert [each.request for each in outcomes] == 3 * [asked.model_copy(update={"epoch": None})]


async def test_desk_refuses_what_is_not_there_or_cannot_be(database: Database) -> None:
    async with Refinery(database) as shop:
        await shop.check(70)
        desk, (asked,) = shop.service.desk, shop.asked
        with pytest.raises(UnknownReplenishmentError):
            await desk.settle("nobody")
        with pytest.raises(ReplenishmentStateError, match="does not wait for approval"):
            await desk.approve(asked, by="ann")
        assert (await desk.fail(asked, reason="no liquidity")).state is ReplenishmentState.FAILED
        with pytest.raises(ReplenishmentStateError, match="is failed"):
            await desk.approve(asked, by="ann")
        assert [each.id for each in await desk.list("m", [ReplenishmentState.FAILED])] == [asked]


async def accepts(request: Any) -> bool:
    return bool(request.amount)


@pytest.mark.parametrize(
    ("function", "status"),
    [
        (accepts, AcceptanceStatus.ACCEPTED),
        (lambda _: False, AcceptanceStatus.REJECTED),
        (lambda _: None, AcceptanceStatus.PENDING),
        (lambda _: Acceptance(status=AcceptanceStatus.ACCEPTED), AcceptanceStatus.ACCEPTED),
        (partial(accepts), AcceptanceStatus.ACCEPTED),
    ],
)
async def test_function_of_the_embedder_is_asked(database: Database, function: Any, status: AcceptanceStatus) -> None:
    async with Refinery(database, CallableReplenisher(function)) as shop:  # type: ignore[arg-type]  # keeps nothing
        outcome = await shop.service.request("m", Decimal(5))
        assert outcome.acceptance is not None
        assert outcome.acceptance.status is status


async def test_request_waits_for_its_deadline_when_its_mode_has_no_replenisher_any_more(database: Database) -> None:
    """The configuration may have changed: nothing is sent, and nothing fails."""
    deaf = ScriptedReplenisher()
    deaf.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    async with Refinery(database, deaf) as shop:
        await shop.check(110)
        await shop.service.request("m", Decimal(5), request_id="k", asked_by="ann")
    async with Refinery(database, reserve_replenisher=None) as shop:
        (record,) = shop.service.desk.open("m")
        assert (await shop.service._asker.ask(record)).reason == Inaction.NO_REPLENISHER
        await shop.service._asker.follow(time.monotonic() + 60)
        await shop.service.idle()
        await shop.service.desk.progress("k")
        await shop.service._asker.follow(time.monotonic() + 120)
        assert (shop.asked, (await shop.service.desk.find("k")).state) == ([], ReplenishmentState.IN_PROGRESS)


async def test_metrics_tell_what_is_in_flight_and_why_nothing_is_asked(database: Database) -> None:
    registry = CollectorRegistry()
    metrics = ReplenishmentMetrics(registry)
    labels = {"mode": "m", "share_class": "USDT"}
    async with Refinery(database, **LARGE) as shop:
        await shop.check(20)
        (record,) = shop.service._book.open("m")
        metrics.replenishment_loaded(record)
        assert registry.get_sample_value("reservd_replenishments_awaiting_approval", {"mode": "m"}) == 1
        metrics.replenishment_changed(record, None)
        assert registry.get_sample_value("reservd_replenishment_in_flight", labels) == 90
        calm = record.request.model_copy(update={"id": "calm", "amount": Decimal(30)})
        hurry = record.request.model_copy(update={"replaces": "calm"})
        metrics.replenishment_changed(record.model_copy(update={"request": calm}), None)
        metrics.replenishment_changed(record.model_copy(update={"request": hurry}), record)
        of_withdrawal = record.request.model_copy(update={"id": "w", "amount": Decimal(5), "withdrawal_id": "w"})
        metrics.replenishment_changed(record.model_copy(update={"request": of_withdrawal}), None)
        assert registry.get_sample_value("reservd_replenishment_in_flight", labels) == 95
        for request in (calm, of_withdrawal):
            gone = record.model_copy(update={"request": request, "state": ReplenishmentState.CANCELLED})
            metrics.replenishment_changed(gone, None)
        ended = record.model_copy(update={"state": ReplenishmentState.REJECTED})
        metrics.replenishment_changed(ended, record)
        metrics.not_requested("m", ReserveStatus.LOW, Inaction.COOLDOWN)
    assert registry.get_sample_value("reservd_replenishment_in_flight", labels) == 0
    assert registry.get_sample_value("reservd_replenishments_total", {"state": "rejected"}) == 1
    assert registry.get_sample_value("reservd_replenishment_inactions_total", {"reason": "cooldown"}) == 1
    metrics.watch()
    assert registry.get_sample_value("reservd_replenishment_in_flight", labels) is None


async def test_request_is_taken_once_when_it_is_taken_exclusively(database: Database) -> None:
    """The strategy that took it may repeat that under its reference, also after a report; no other one gets it."""
    strategy = ScriptedReplenisher()
    strategy.answer = Acceptance(status=AcceptanceStatus.PENDING)
    async with Refinery(database, strategy) as shop:
        await shop.check(70)
        await until(lambda: shop.asked, "the request")
        desk, (target,) = shop.service.desk, shop.asked
        for _ in range(2):
            taken = await desk.accept(target, reference="mine", exclusive=True)
            assert (taken.state, taken.reference) == (ReplenishmentState.ACCEPTED, "mine")
        for reference in ("other", None):
            with pytest.raises(ReplenishmentStateError, match="is accepted: it cannot be carried out"):
                await desk.accept(target, reference=reference, exclusive=True)
        assert (await desk.find(target)).reference == "mine"
        await desk.progress(target)
        assert (await desk.accept(target, reference="mine", exclusive=True)).state is ReplenishmentState.IN_PROGRESS
        await desk.fail(target)
        with pytest.raises(ReplenishmentStateError):
            await desk.accept(target, reference="other", exclusive=True)


async def test_request_that_waits_for_approval_is_not_to_be_taken(database: Database) -> None:
    async with Refinery(database, **LARGE) as shop:
        await shop.check(20)
        await until(lambda: shop.ops.states, "the request")
        target = shop.ops.changes[0].data.replenishment_id
        with pytest.raises(ReplenishmentStateError, match="waits for approval"):
            await shop.service.desk.accept(target, reference="mine", exclusive=True)
        await shop.service.desk.approve(target, by="ann")
        assert (await shop.service.desk.accept(target, reference="mine", exclusive=True)).heard
