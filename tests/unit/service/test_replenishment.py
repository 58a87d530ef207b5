"""Refills as the daemon requests them."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from reservd import ReserveManager
from reservd.errors import DeliveryError, FailureReason
from reservd.plugin import Acceptance, AcceptanceStatus, Urgency
from reservd.reserve.replenishment import Inaction
from reservd.service.replenishment import ReplenishmentObserver, ReplenishmentService
from support.hand_clock import HandClock
from support.sources import ScriptedBalances, ScriptedEquity, ScriptedReplenisher, ScriptedWallets, hangs, raises

BASE = {
    "share_class": "USDT",
    "reserve_ratio": "0.1",
    "reserve_monitoring_interval": "0.1",
    "reserve_replenisher": "unwinder",
}


class Answers(ReplenishmentObserver):
    """Records the results of requests."""

    def __init__(self) -> None:
        self.statuses: list[AcceptanceStatus | None] = []
        self.failures: list[FailureReason | None] = []

    def requested(self, replenisher: str, status: AcceptanceStatus | None, failure: FailureReason | None) -> None:
        self.statuses.append(status)
        self.failures.append(failure)


class Refilled:
    """A mode with a replenisher, checked on demand."""

    def __init__(self, amount: Any = 110, source: type[ScriptedBalances] = ScriptedBalances, **config: Any) -> None:
        self.source = source("t", main=amount)
        self.replenisher = ScriptedReplenisher(timeout=0.1)
        self.answers = Answers()
        self.clock = HandClock()
        self.manager = ReserveManager(ScriptedEquity(), {"t": self.source}, clock=self.clock)
        self.manager.set_reserve_config("m", {**BASE, **config})
        configs = self.manager.reserve_configs
        self.service = ReplenishmentService(configs, {"unwinder": self.replenisher}, [self.answers], clock=self.clock)
        self.manager.add_observer(self.service)
        self.manager.replenishment = self.service

    async def check(self, amount: Any) -> None:
        """Check once with this balance, and wait for the answers to requests."""
        self.source.amounts["main"] = amount
        await self.manager.check_all_reserves()
        await self.service.idle()


async def test_what_was_asked_for_in_a_currency_that_a_mode_had_before_is_given_up() -> None:
    """It would count as money in the new currency that is in flight, for budgets, and as an amount to unwind."""
    budget = {"reserve_refill_budget_amount": 50}
    mode = Refilled(source=ScriptedWallets, **budget)
    await mode.check(70)
    mode.manager.set_reserve_config("m", {**BASE, **budget, "share_class": "ETH"})
    await mode.check(71)
    first, second = mode.replenisher.asked
    assert (first.currency, first.amount, second.currency, second.amount) == ("USDT", 40, "ETH", 39)
    given_up = await mode.service.desk.find(first.id)
    assert (str(given_up.state), given_up.detail) == ("cancelled", "the mode's share class is ETH now")


async def test_refill_is_asked_for_once_when_a_reserve_stays_low() -> None:
    mode = Refilled()
    for amount in (110, 70, 69, 68):
        await mode.check(amount)
    (request,) = mode.replenisher.asked
    assert (request.amount, request.urgency, request.currency) == (Decimal(40), Urgency.FAST, "USDT")
    assert request.incident_id is not None
    await mode.service.close()


async def test_refill_is_asked_for_urgently_when_a_low_reserve_becomes_critical() -> None:
    mode = Refilled()
    for amount in (110, 70, 45, 44):
        await mode.check(amount)
    fast, emergency = mode.replenisher.asked
    assert (emergency.amount, emergency.urgency, emergency.replaces) == (Decimal(65), Urgency.EMERGENCY, fast.id)


async def test_same_request_is_sent_again_when_no_answer_came() -> None:
    mode = Refilled()
    mode.replenisher.misbehave = raises(DeliveryError(FailureReason.UNREACHABLE))
    await mode.check(70)
    mode.replenisher.misbehave = hangs
    await mode.check(69)
    mode.replenisher.misbehave = None
    await mode.check(68)
    await mode.check(67)
    assert len(mode.replenisher.asked) == 3
    assert len({request.id for request in mode.replenisher.asked}) == 1
    assert mode.answers.failures == [FailureReason.UNREACHABLE, FailureReason.TIMEOUT, None]
    assert mode.answers.statuses == [None, None, AcceptanceStatus.ACCEPTED]


@pytest.mark.parametrize("rubbish", [None, True, {"status": "accepted"}])
async def test_answer_is_no_answer_when_it_is_rubbish(rubbish: object) -> None:
    mode = Refilled()
    mode.replenisher.answer = rubbish
    await mode.check(70)
    assert mode.answers.failures == [FailureReason.INVALID_DATA]


async def test_nothing_is_asked_again_before_the_cooldown_ends_when_a_request_was_rejected() -> None:
    mode = Refilled(reserve_refill_cooldown=60)
    mode.replenisher.answer = Acceptance(status=AcceptanceStatus.REJECTED, reason="nothing to unwind")
    await mode.check(70)
    await mode.check(69)
    assert len(mode.replenisher.asked) == 1
    mode.clock.advance(61)
    await mode.check(68)
    assert len({request.id for request in mode.replenisher.asked}) == 2


async def test_request_is_given_up_when_the_replenisher_will_never_take_it() -> None:
    mode = Refilled()
    mode.replenisher.misbehave = raises(DeliveryError(FailureReason.REJECTED, "HTTP 410", retryable=False))
    await mode.check(70)
    await mode.check(69)
    assert len(mode.replenisher.asked) == 1


async def test_new_incident_is_refilled_anew_when_the_reserve_had_recovered() -> None:
    mode = Refilled()
    for amount in (70, 110, 70):
        await mode.check(amount)
    assert len({request.id for request in mode.replenisher.asked}) == 2


async def test_nothing_is_asked_for_while_the_reserve_cannot_be_read() -> None:
    mode = Refilled(reserve_max_staleness="0.1")
    await mode.check(110)
    mode.source.misbehave = hangs
    mode.source.amounts["main"] = 0
    await asyncio.sleep(0.15)
    await mode.manager.check_all_reserves()
    assert mode.replenisher.asked == []


async def test_no_jump_is_refilled_when_the_second_look_says_otherwise() -> None:
    mode = Refilled()
    await mode.check(110)
    mode.source.script = [{"main": 0}, {"main": 110}]
    await mode.manager.check_all_reserves()
    assert mode.replenisher.asked == []


async def test_request_by_hand_tells_what_came_of_it() -> None:
    mode = Refilled()
    outcome = await mode.manager.request_reserve_replenishment("m", Decimal(7))
    assert outcome
    assert outcome.request is not None
    assert mode.replenisher.asked == [outcome.request]
    again = await mode.manager.request_reserve_replenishment("m", Decimal(7))
    assert not again
    assert again.reason == Inaction.IN_FLIGHT
    elsewhere = await mode.manager.request_reserve_replenishment("other", Decimal(7))
    assert elsewhere.reason == Inaction.NO_REPLENISHER
    assert (await mode.service.request("other", Decimal(7))).reason == Inaction.NO_REPLENISHER
    with pytest.raises(ValueError, match="above 0"):
        await mode.manager.request_reserve_replenishment("m", Decimal(0))


async def test_what_is_being_asked_is_cut_off_when_the_service_closes() -> None:
    mode = Refilled()
    mode.replenisher.misbehave = hangs
    mode.source.amounts["main"] = 70
    await mode.manager.check_all_reserves()
    await mode.service.close()
    await mode.service.idle()
