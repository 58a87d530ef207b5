from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import reservd_paper
from reservd.config.document import read_document
from reservd.plugin import (
    AcceptanceStatus,
    Account,
    Balance,
    DeliveryError,
    Equity,
    EventType,
    FailureReason,
    SourceError,
)
from reservd.plugin.examples import example_request
from reservd.plugin.testing import BalanceSourceContract, EquitySourceContract, ReplenisherContract
from reservd.reserve.holds import GroupReading
from reservd.reserve.policy import ReservePolicy
from reservd.reserve.replenishment import RefillPolicy
from reservd.reserve.replenishment.arrival import baseline_of, count_from, see_arrival
from reservd.reserve.replenishment.decision import decide_refill
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState, expire
from reservd.reserve.replenishment.states import advance as advance_refill
from reservd.reserve.tracker import Instant, TrackerState, advance
from reservd_paper.flow import payments
from reservd_paper.options import PaperBalanceConfig, PaperBook, PaperFlow
from reservd_paper.replenisher import PaperReplenisher
from reservd_paper.source import PaperBalanceSource, PaperEquitySource
from reservd_paper.treasury import Treasury, TreasuryPlan
from support.reserve import find

SAMPLE = Path(reservd_paper.__file__).with_name("sample.yaml")
DEMO = {"books": {"demo": {"currency": "USDT", "equity": 1000, "reserve": 100, "refill_delay": 8}}}


class TestPaperBalanceSource(BalanceSourceContract):
    plugin_class = PaperBalanceSource

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return DEMO


class TestPaperEquitySource(EquitySourceContract):
    plugin_class = PaperEquitySource

    @pytest.fixture
    def vault(self, build: Any) -> Any:
        return build(PaperBalanceSource, DEMO)

    @pytest.fixture
    def options(self, vault: Any) -> dict[str, Any]:
        return {"treasury": vault.config.treasury}


class TestPaperReplenisher(ReplenisherContract):
    plugin_class = PaperReplenisher

    @pytest.fixture
    def vault(self, build: Any) -> Any:
        return build(PaperBalanceSource, DEMO)

    @pytest.fixture
    def options(self, vault: Any) -> dict[str, Any]:
        return {"treasury": vault.config.treasury}


def treasury(jitter: str = "0", seed: int = 0, **book: Any) -> Treasury:
    values = {"currency": "USDT", "equity": 1000, "reserve": 100, "refill_delay": 8, **book}
    return Treasury(TreasuryPlan({"demo": PaperBook.model_validate(values)}, seed, Decimal(jitter)))


def test_redemption_takes_from_reserve_and_equity() -> None:
    game = treasury(redemptions={"amount": 30, "every": 5})
    assert game.look(50.0)["demo"].liquid == 100
    book = game.look(60.0)["demo"]
    assert (book.liquid, book.equity, book.unpaid) == (40, 940, 0)


def test_redemption_waits_when_the_reserve_is_empty() -> None:
    game = treasury(redemptions={"amount": 60, "every": 5})
    game.look(0)
    book = game.look(10)["demo"]
    assert (book.liquid, book.equity, book.unpaid) == (0, 900, 20)


def test_waiting_redemption_is_paid_first_when_a_refill_arrives() -> None:
    game = treasury(redemptions={"amount": 120, "every": 3600, "first": 1})
    book = game.look(0)["demo"]
    book.refill("r", Decimal(50), 0)
    assert game.look(7.9)["demo"].unpaid == 20
    assert (game.look(8)["demo"].liquid, book.unpaid, book.equity) == (30, 0, 880)


def test_redemptions_stop_when_nothing_is_left() -> None:
    game = treasury(redemptions={"amount": 400, "every": 1})
    game.look(0)
    book = game.look(100)["demo"]
    assert (book.equity, book.unpaid) == (900, 900)


def test_deposit_fills_the_reserve_and_the_rest_is_put_to_work() -> None:
    game = treasury(
        redemptions={"amount": 30, "every": 10, "first": 1}, deposits={"amount": 50, "every": 10, "first": 2}
    )
    game.look(0)
    book = game.look(3)["demo"]
    assert (book.liquid, book.deployed) == (100, 920)


def test_refill_arrives_once_when_asked_twice_under_one_id() -> None:
    game = treasury()
    book = game.look(0)["demo"]
    assert book.refill("r", Decimal(50), 0) == book.refill("r", Decimal(50), 5)
    assert (game.look(100)["demo"].liquid, book.deployed) == (150, 850)
    book.refill("r", Decimal(50), 100)
    assert game.look(200)["demo"].liquid == 150


def test_refill_is_cut_when_less_is_deployed() -> None:
    game = treasury()
    book = game.look(0)["demo"]
    refill = book.refill("r", Decimal(5000), 0)
    assert refill is not None
    assert refill.amount == 900
    assert (game.look(8)["demo"].liquid, book.deployed) == (1000, 0)
    assert book.refill("other", Decimal(1), 9) is None


def test_refill_is_called_off_when_another_replaces_it() -> None:
    game = treasury()
    book = game.look(0)["demo"]
    book.refill("first", Decimal(50), 0)
    book.refill("second", Decimal(70), 4, replaces="first")
    assert game.look(100)["demo"].liquid == 170


def see(refill: Replenishment, reading: GroupReading, now: datetime) -> Replenishment:
    """Return a refill after a reading; the game pays nothing else from it meanwhile."""
    baseline = baseline_of(refill)
    assert baseline is not None
    return see_arrival(
        refill, baseline, reading, payouts=Decimal(0), credited=Decimal(0), tolerance=Decimal("0.01"), now=now
    )


def play(seconds: int) -> dict[str, list[EventType]]:
    """Watch the treasury of sample.yaml every 2 s, including refills, and return each mode's events."""
    sample = read_document(SAMPLE).values
    config = PaperBalanceConfig.model_validate(sample["balance_sources"]["vault"]["options"])
    game = Treasury(TreasuryPlan(config.books, config.seed, config.jitter))
    ids = (str(number) for number in count())
    start = datetime(2026, 3, 1, tzinfo=UTC)
    events: dict[str, list[EventType]] = {mode: [] for mode in config.books}
    states = dict.fromkeys(config.books, TrackerState(good_at=0))
    refills: dict[str, list[Replenishment]] = {mode: [] for mode in config.books}
    for second in range(0, seconds, 2):
        now = start + timedelta(seconds=second)
        for mode, book in game.look(second).items():
            policy = ReservePolicy(mode, book.currency, Decimal("0.05"))
            balance = Balance(mode, book.currency, book.liquid, now)
            snapshot = find(policy, Equity(book.equity, book.currency, now), [balance], now=now)
            step = advance(states[mode], snapshot, policy, Instant(now, second), lambda: next(ids))
            if step.recheck:
                step = advance(step.state, snapshot, policy, Instant(now, second), lambda: next(ids))
            states[mode] = step.state
            events[mode] += [step.event.event_type] if step.event else []
            status = step.state.confirmed
            assert status is not None
            reading = GroupReading(book.liquid, now)
            asked = refills[mode] = [see(expire(each, now), reading, now) for each in refills[mode] if each.open]
            decision = decide_refill(snapshot, status, RefillPolicy(), asked, request_id=next(ids))
            request = decision.request
            if request is not None and decision.inaction is None:
                refill = book.refill(request.id, request.amount, second, request.replaces)
                assert refill is not None
                deadline = start + timedelta(seconds=refill.due) + RefillPolicy().settling
                made = Replenishment(request=request, changed_at=now, deadline=deadline, heard=True)
                others = [each for each in asked if each.id != request.replaces]
                refills[mode] = [
                    *others,
                    count_from(advance_refill(made, ReplenishmentState.ACCEPTED, now), reading, "m", now),
                ]
    return events


def test_sample_shows_every_status_within_a_minute() -> None:
    low, critical, adequate = EventType.LOW, EventType.CRITICAL, EventType.ADEQUATE
    assert play(60) == {
        "pure_lending": [low, adequate, low, adequate],
        "eth_staking": [],
        "btc_basis": [low, critical, adequate],
    }


def test_demo_plays_the_game_of_the_sample() -> None:
    demo, sample = (
        read_document(file).values["balance_sources"]["vault"]["options"]
        for file in (Path(__file__).parents[2] / "configs" / "demo.yaml", SAMPLE)
    )
    assert list(demo["books"].values()) == list(sample["books"].values())
    assert demo["seed"] == sample["seed"]


def test_sample_keeps_its_character_for_hours() -> None:
    events = play(2 * 3600)
    assert events["eth_staking"] == []
    assert EventType.CRITICAL not in events["pure_lending"]
    assert events["btc_basis"].count(EventType.CRITICAL) > 50


def test_wave_has_its_times_apart() -> None:
    flow = PaperFlow.model_validate({"amount": 5, "every": 60, "times": 2, "apart": 10, "first": 8})
    assert [payment.at for payment in islice(payments(flow, -1, Decimal(0), "s"), 5)] == [8, 18, 68, 78, 128]


def test_payments_vary_by_seed_and_within_the_jitter() -> None:
    flow = PaperFlow.model_validate({"amount": 100, "every": 10})
    one, again, other = (list(islice(payments(flow, 1, Decimal("0.2"), seed), 50)) for seed in ("1", "1", "2"))
    assert one == again != other
    assert all(80 <= payment.amount <= 120 for payment in one)
    assert [payment.at for payment in one] == sorted(payment.at for payment in one)


@given(st.lists(st.floats(0, 40), max_size=20), st.integers(0, 3), st.sampled_from(["0", "0.3", "1"]))
def test_game_is_the_same_however_often_one_looks(pauses: list[float], seed: int, jitter: str) -> None:
    """Money is neither created nor lost, is never below 0, and does not depend on readings."""
    book = {
        "redemptions": {"amount": 40, "every": 7, "times": 2},
        "deposits": {"amount": 55, "every": 11},
    }
    often, once = treasury(jitter, seed, **book), treasury(jitter, seed, **book)
    for game in (often, once):
        game.look(0)["demo"].refill("r", Decimal("33.3333333"), 0)
    now = 0.0
    for pause in pauses:
        now += pause
        seen = often.look(now)["demo"]
        assert min(seen.liquid, seen.deployed, seen.unpaid) >= 0
        assert seen.unpaid == 0 or seen.liquid == 0
    left, right = often.look(now)["demo"], once.look(now)["demo"]
    assert (left.liquid, left.deployed, left.unpaid) == (right.liquid, right.deployed, right.unpaid)


@pytest.mark.parametrize(
    ("book", "message"),
    [
        ({"reserve": 2000}, "reserve must be at most equity"),
        ({"equity": -1}, "equity"),
        ({"equity": "0.0000001"}, "decimal"),
        ({"redemptions": {"amount": 0, "every": 5}}, "amount"),
        ({"redemptions": {"amount": 1, "every": 0}}, "every"),
        ({"redemptions": {"amount": 1, "every": 5, "times": 6}}, "times"),
        ({"currency": ""}, "currency"),
    ],
)
def test_book_is_refused_when_it_makes_no_sense(build: Any, book: Any, message: str) -> None:
    values = {"currency": "USDT", "equity": 1000, "reserve": 100, **book}
    with pytest.raises(ValidationError, match=message):
        build(PaperBalanceSource, {"books": {"demo": values}})


async def test_instances_share_a_treasury_by_its_name(build: Any) -> None:
    vault = build(PaperBalanceSource, {**DEMO, "treasury": "shared"})
    nav = build(PaperEquitySource, {"treasury": "shared"})
    unwinder = build(PaperReplenisher, {"treasury": "shared"})
    assert vault.accounts == {"demo": Account("demo", "paper/shared", "demo", frozenset({"USDT"}))}
    (balance,) = (await vault.fetch_balances()).balances
    equity = await nav.fetch_equity("demo", "USDT")
    assert (balance.amount, equity.amount) == (100, 1000)
    assert equity.components == {"liquid": 100, "deployed": 900, "unpaid_redemptions": 0}
    answer = await unwinder.request(example_request())
    assert (answer.status, answer.reference) == (AcceptanceStatus.ACCEPTED, "refill-1")
    assert answer.expected_by is not None
    assert answer.expected_by > equity.observed_at


async def test_refill_reaches_the_balances(build: Any) -> None:
    book = {**DEMO["books"]["demo"], "equity": 100_000, "refill_delay": 0}
    vault = build(PaperBalanceSource, {"books": {"demo": book}})
    await build(PaperReplenisher, {}).request(example_request())
    (balance,) = (await vault.fetch_balances()).balances
    assert balance.amount == Decimal("15099.75")


async def test_treasury_goes_on_when_an_equal_one_is_described_again(build: Any) -> None:
    """As after a reload of the same configuration."""
    book = {**DEMO["books"]["demo"], "equity": 100_000, "refill_delay": 0}
    before = build(PaperBalanceSource, {"books": {"demo": book}})
    await build(PaperReplenisher, {}).request(example_request())
    after = build(PaperBalanceSource, {"books": {"demo": book}})
    assert (await after.fetch_balances()).balances[0].amount == Decimal("15099.75")
    changed = build(PaperBalanceSource, {"books": {"demo": {**book, "reserve": 7}}})
    assert (await changed.fetch_balances()).balances[0].amount == 7
    assert (await before.fetch_balances()).balances[0].amount == Decimal("15099.75")


async def test_calls_fail_when_no_source_describes_the_treasury(build: Any) -> None:
    with pytest.raises(SourceError, match="describes the treasury 'nowhere'") as unread:
        await build(PaperEquitySource, {"treasury": "nowhere"}).fetch_equity("demo", "USDT")
    assert unread.value.reason is FailureReason.INVALID_DATA
    with pytest.raises(DeliveryError, match="describes the treasury 'nowhere'") as unasked:
        await build(PaperReplenisher, {"treasury": "nowhere"}).request(example_request())
    assert (unasked.value.reason, unasked.value.retryable) == (FailureReason.INVALID_DATA, False)


@pytest.mark.parametrize(("mode", "currency"), [("other", "USDT"), ("demo", "ETH")])
async def test_calls_fail_when_the_book_is_another(build: Any, mode: str, currency: str) -> None:
    vault = build(PaperBalanceSource, DEMO)
    with pytest.raises(SourceError):
        await build(PaperEquitySource, {}).fetch_equity(mode, currency)
    answer = await build(PaperReplenisher, {}).request(example_request(mode, currency))
    assert answer.status is AcceptanceStatus.REJECTED
    assert (await vault.fetch_balances()).balances[0].amount == 100


async def test_request_is_rejected_when_nothing_is_deployed(build: Any) -> None:
    vault = build(PaperBalanceSource, {"books": {"demo": {"currency": "USDT", "equity": 5, "reserve": 5}}})
    answer = await build(PaperReplenisher, {}).request(example_request())
    assert (answer.status, vault.name) == (AcceptanceStatus.REJECTED, "example")
