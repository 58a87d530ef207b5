"""Which ended requests are kept in memory, and the order of the open ones."""

from datetime import datetime, timedelta
from decimal import Decimal

from reservd.reserve.replenishment import RefillPolicy, ReplenishmentRequest, Urgency
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from reservd.service.replenishment.book import RefillBook
from reservd.service.replenishment.ledger import RefillLedger
from support.bank import Clock


def ended(name: str, now: datetime, withdrawal_id: str | None = None) -> Replenishment:
    request = ReplenishmentRequest(
        id=name,
        strategy_mode="m",
        amount=Decimal(1),
        currency="USDT",
        urgency=Urgency.FAST,
        requested_at=now,
        withdrawal_id=withdrawal_id,
    )
    return Replenishment(request=request, state=ReplenishmentState.REJECTED, changed_at=now, deadline=now)


def test_nothing_that_budgets_and_cooldowns_go_by_is_lost_among_withdrawals() -> None:
    clock = Clock()
    book = RefillBook(RefillLedger(), clock=clock)
    for number in range(1100):
        book.put(ended(f"own-{number}", clock.wall))
        book.put(ended(f"w-{number}", clock.wall, f"w-{number}"))
    policy = RefillPolicy()
    book.forget("m", policy)
    kept = [record.request.withdrawal_id for record in book.of_mode("m")]
    assert (kept.count(None), len(kept)) == (1100, 2100)
    assert book.find("w-99") is None
    assert book.find("w-100") is not None
    clock.wrong = timedelta(days=400)
    book.forget("m", policy)
    assert len(book.of_mode("m")) == 2100, "independent of a clock that is set"
    clock.wrong = timedelta()
    clock.ahead = policy.budget_period + timedelta(minutes=1)
    book.forget("m", policy)
    assert book.of_mode("m") == []


def test_what_was_credited_is_remembered_while_it_was_so_after_an_open_request_was_counted() -> None:
    clock = Clock()
    book = RefillBook(RefillLedger(), clock=clock)
    first, waits, last = (ended(name, clock.wall + timedelta(seconds=at)) for at, name in enumerate("abc"))
    waits = waits.model_copy(update={"state": ReplenishmentState.ACCEPTED})
    book.put(waits)
    assert not book.has_credits("m")
    for each in (first, last):
        book.put(each.model_copy(update={"arrived": Decimal(1)}))
    assert book.ended_since(["m"], waits) == 1
    for counted, remembers in (([waits], True), ([], False)):
        book.forget_credits("m", counted)
        assert book.has_credits("m") is remembers
    assert book.ended_since(["m"], waits) == 0


def test_requests_have_their_turn_as_they_were_counted_though_the_clock_was_set_between_them() -> None:
    clock = Clock()
    book = RefillBook(RefillLedger(), clock=clock)
    for name, wrong in (("a", 0), ("b", 2), ("c", 1), ("d", -3)):
        clock.wrong = timedelta(days=wrong)
        book.put(ended(name, clock.wall))
        clock.ahead += timedelta(minutes=1)
    book.put(book.get("a").model_copy(update={"counted_at": book.times.now("a")}))
    assert [each.id for each in book.in_turn(map(book.get, "dcba"))] == ["b", "c", "d", "a"]
