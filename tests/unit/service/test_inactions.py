"""Every reason for requesting nothing: a scenario for each, its decision, and its counter."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from reservd.plugin import Acceptance, AcceptanceStatus
from reservd.reserve.replenishment import Inaction
from reservd.service.replenishment.ledger import Remembered
from reservd.store.replenishments import UnreadableRequest
from reservd.web.replenishment_metrics import ReplenishmentMetrics
from support.treasury import Treasury

COOLDOWN_IS_OVER = 400
Told = str | None
Story = Callable[[Treasury], Awaitable[Told]]


def sees(*balances: object, after_seconds: float = 5) -> Story:
    """Return a scenario of checks; it returns why the last one requested nothing."""

    async def story(shop: Treasury) -> Told:
        for balance in balances:
            await shop.see(balance, after_seconds)
        return shop.refills.inactions.get("m")

    return story


def is_rejected(*balances: object, after_seconds: float = 5) -> Story:
    """Return a scenario of a strategy that rejects a request."""

    async def story(shop: Treasury) -> Told:
        shop.replenisher.answer = Acceptance(status=AcceptanceStatus.REJECTED)
        await sees(*balances, after_seconds=after_seconds)(shop)
        return await sees(68)(shop)

    return story


def wishes(amount: str) -> Story:
    """Return a scenario of a refill that is requested by hand."""

    async def story(shop: Treasury) -> Told:
        outcome = await shop.refills.request("m", Decimal(amount))
        assert outcome.request is None
        return outcome.reason

    return story


async def fails(shop: Treasury) -> Told:
    """A strategy has failed, and another request is possible."""
    await shop.see(70)
    await shop.refills.desk.fail(shop.own()[0].id)
    return await sees(69, after_seconds=COOLDOWN_IS_OVER)(shop)


async def sees_nothing(shop: Treasury) -> Told:
    await shop.see()
    await shop.see_nothing()
    return shop.refills.inactions.get("m")


async def loses_its_store(shop: Treasury) -> Told:
    shop.has_store = False
    return await sees(70)(shop)


async def cannot_read_a_request(shop: Treasury) -> Told:
    shop.refills._book.load(Remembered([UnreadableRequest("5f0c", "m")]))
    return await sees(70)(shop)


STORIES: dict[Inaction, tuple[Story, dict[str, Any]]] = {
    Inaction.ADEQUATE: (sees(110), {}),
    Inaction.NO_REPLENISHER: (wishes("5"), {"reserve_replenisher": None}),
    Inaction.NOT_CONCLUSIVE: (sees_nothing, {}),
    Inaction.IN_FLIGHT: (sees(70, 69), {}),
    Inaction.COVERED: (sees(70, 71), {"reserve_refill_in_flight": 2}),
    Inaction.AWAITING_APPROVAL: (sees(20), {"reserve_refill_approval_above": 50}),
    Inaction.COOLDOWN: (is_rejected(70), {}),
    Inaction.BACKOFF: (is_rejected(70, 69, after_seconds=COOLDOWN_IS_OVER), {}),
    Inaction.BELOW_MINIMUM: (sees(70), {"reserve_refill_min": 50}),
    Inaction.ABOVE_MAXIMUM: (wishes("11"), {"reserve_refill_max": 10}),
    Inaction.TOO_PRECISE: (wishes("1.234"), {"reserve_refill_decimals": 2}),
    Inaction.BUDGET_AMOUNT: (fails, {"reserve_refill_budget_amount": 40}),
    Inaction.BUDGET_COUNT: (fails, {"reserve_refill_budget_count": 1}),
    Inaction.DRY_RUN: (sees(70), {"reserve_refill_dry_run": True}),
    Inaction.STORE_GONE: (loses_its_store, {}),
    Inaction.UNREADABLE: (cannot_read_a_request, {}),
}


def counted(registry: CollectorRegistry) -> dict[str, float]:
    """Return the counters of all reasons, as Prometheus reads them."""
    families = {each.name: each for each in text_string_to_metric_families(generate_latest(registry).decode())}
    return {
        sample.labels["reason"]: sample.value
        for sample in families["reservd_replenishment_inactions"].samples
        if sample.name == "reservd_replenishment_inactions_total"
    }


@pytest.mark.parametrize("reason", Inaction)
async def test_every_reason_is_told_and_counted(reason: Inaction) -> None:
    """A reason without a scenario fails here, and so does a series that does not exist from the start."""
    story, config = STORIES[reason]
    registry = CollectorRegistry()
    metrics = ReplenishmentMetrics(registry)
    assert counted(registry) == dict.fromkeys(map(str, Inaction), 0)
    async with Treasury(None, refill_observers=[metrics], **config) as shop:
        assert await story(shop) == reason
    assert counted(registry)[reason] == 1
