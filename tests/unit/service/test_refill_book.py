"""What stays in memory of requests that have ended."""

from datetime import timedelta
from decimal import Decimal

from reservd.reserve.replenishment import RefillPolicy, ReplenishmentRequest, Urgency
from reservd.reserve.replenishment_states import Replenishment, ReplenishmentState
from reservd.service.refill_book import RefillBook
from reservd.service.refill_ledger import RefillLedger
from support.reserve import NOON


def ended(name: str, withdrawal_id: str | None = None) -> Replenishment:
    request = ReplenishmentRequest(
        id=name,
        strategy_mode="m",
        amount=Decimal(1),
        currency="USDT",
        urgency=Urgency.FAST,
        requested_at=NOON,
        withdrawal_id=withdrawal_id,
    )
    return Replenishment(request=request, state=ReplenishmentState.REJECTED, changed_at=NOON, deadline=NOON)


def test_nothing_that_budgets_and_cooldowns_go_by_is_lost_among_withdrawals() -> None:
    book = RefillBook(RefillLedger())
    for number in range(1100):
        book.put(ended(f"own-{number}"))
        book.put(ended(f"w-{number}", f"w-{number}"))
    policy = RefillPolicy()
    book.forget("m", policy, NOON)
    kept = [record.request.withdrawal_id for record in book.of_mode("m")]
    assert (kept.count(None), len(kept)) == (1100, 2100)
    assert book.find("w-99") is None
    assert book.find("w-100") is not None
    book.forget("m", policy, NOON + policy.budget_period + timedelta(seconds=1))
    assert book.of_mode("m") == []
