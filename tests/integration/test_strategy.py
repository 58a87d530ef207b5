"""One strategy in two settings: in the process of its `ReserveManager`, and connected to a daemon."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reservd.reserve.replenishment import Inaction, ReplenishmentRequest, Urgency
from reservd.reserve.replenishment.states import ReplenishmentState
from support.polling import until
from support.strategies import AwaitingStrategy, PlainStrategy, Setting, beside, far

World = Callable[..., AbstractAsyncContextManager[Setting]]


@pytest.fixture(params=["beside", "far"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Where the strategy runs."""
    if request.param == "beside":
        return beside
    return lambda strategies, **how: far(tmp_path, strategies, **how)


@pytest.fixture(params=[AwaitingStrategy, PlainStrategy])
def kind(request: pytest.FixtureRequest) -> type[AwaitingStrategy]:
    """How it is written: with coroutines or plain functions."""
    chosen: type[AwaitingStrategy] = request.param
    return chosen


def keep(kept: list[Any], kind: type[AwaitingStrategy]) -> Callable[..., None]:
    return lambda reserves, config: kept.append(kind(config, None, None, None, reserves))


async def test_strategy_acts_once_for_each_incident_and_severity(world: World, kind: type[AwaitingStrategy]) -> None:
    """Without refills being requested: it does not act on reminders, or when the same severity returns."""
    made: list[AwaitingStrategy] = []
    async with world(keep(made, kind), refilled=False) as setting:
        (strategy,) = made
        assert await strategy.check_reserve_adequacy()
        for status, urgencies in (
            ("low", ["fast"]),
            ("critical", ["fast", "emergency"]),
            ("low", ["fast", "emergency"]),
            ("adequate", ["fast", "emergency"]),
            ("critical", ["fast", "emergency", "emergency"]),
            ("low", ["fast", "emergency", "emergency"]),
        ):
            await setting.bring(status)
            await until(lambda: len(strategy.urgencies) >= len(urgencies), f"it to act on {status}")  # noqa: B023
            assert strategy.urgencies == urgencies
        assert await strategy.get_reserve_balance() == 74
        assert not await strategy.check_reserve_adequacy()
        await strategy.idle()
    assert [occasion.amount for occasion in strategy.occasions] == [26, 51, 51]
    assert [occasion.asked_before for occasion in strategy.occasions] == [None, 26, None]
    assert all(occasion.request is None and occasion.event is not None for occasion in strategy.occasions)


async def test_strategy_acts_on_requests_alone_where_they_are_made(world: World, kind: type[AwaitingStrategy]) -> None:
    """It takes the request and reports its progress, and the reserve verifies the result."""
    made: list[AwaitingStrategy] = []
    async with world(keep(made, kind), refilled=True) as setting:
        (strategy,) = made
        await setting.bring("low")
        await until(lambda: strategy.occasions, "a request")
        await strategy.idle()
        (occasion,) = strategy.occasions
        assert (occasion.urgency, occasion.amount, occasion.event) == (Urgency.FAST, 36, None)
        assert occasion.request is not None
        record = await setting.find(occasion.request.id)
        assert (record.state, record.reference, record.detail) == (ReplenishmentState.SETTLED, "tx-1", "all of it")
        assert not await strategy.request_reserve_replenishment(occasion.amount)
        await setting.bring("adequate")

        async def verified() -> bool:
            return (await setting.find(record.id)).state is ReplenishmentState.VERIFIED

        while not await verified():
            await setting.bring("adequate")
        outcome = await strategy.request_reserve_replenishment(occasion.amount)
        assert outcome, outcome
        await until(lambda: len(strategy.occasions) == 2, "its own request")
        await strategy.idle()


class Broken(AwaitingStrategy):
    """Raises on every request."""

    async def request_fast_execution(self) -> None:
        raise KeyError("the vault of https://secret.example")


class Unwilling(AwaitingStrategy):
    """Accepts no request."""

    def declines(self, request: ReplenishmentRequest) -> str | None:
        return f"{request.urgency} is too fast"


@pytest.mark.parametrize(
    ("kind", "state", "detail"),
    [
        (Broken, ReplenishmentState.FAILED, "KeyError in the strategy"),
        (Unwilling, ReplenishmentState.REJECTED, "fast is too fast"),
    ],
)
async def test_request_ends_when_its_strategy_breaks_or_declines(
    world: World, kind: type[AwaitingStrategy], state: ReplenishmentState, detail: str
) -> None:
    offered: list[str] = []

    class Noted(kind):  # type: ignore[misc,valid-type]  # any of the classes
        async def handle_replenishment_request(self, request: ReplenishmentRequest) -> None:
            offered.append(request.id)
            await super().handle_replenishment_request(request)

    made: list[AwaitingStrategy] = []
    async with world(keep(made, Noted), refilled=True) as setting:
        await setting.bring("low")
        await until(lambda: offered, "a request")
        await made[0].idle()
        record = await setting.find(offered[0])
        assert (record.state, record.detail) == (state, detail)
        assert made[0].occasions == []


async def test_strategy_asks_for_nothing_where_nobody_would_be_asked(world: World) -> None:
    made: list[AwaitingStrategy] = []
    async with world(keep(made, AwaitingStrategy), refilled=False):
        outcome = await made[0].request_reserve_replenishment(Decimal(5))
        assert (bool(outcome), outcome.reason) == (False, Inaction.NO_REPLENISHER)
        with pytest.raises(LookupError):
            _ = made[0].occasion
