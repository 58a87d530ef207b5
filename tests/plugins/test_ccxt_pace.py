"""Requests to an exchange are spaced, and pauses count."""

from collections.abc import Callable
from typing import Any

import pytest

from reservd_ccxt.pace import Pace
from reservd_ccxt.source import CcxtSource
from support.exchanges import FAMILIES, ExchangeServer

DAY = 86_400.0


def test_requests_are_kept_apart_by_what_those_before_cost() -> None:
    pace = Pace(50)
    assert [round(pace.take(cost, now=DAY), 6) for cost in (4, 1, 10, 1)] == [0, 0.2, 0.25, 0.75]


def test_request_waits_only_for_the_rest_when_some_time_has_passed() -> None:
    pace = Pace(50)
    assert pace.take(4, now=DAY) == 0
    assert pace.take(4, now=DAY + 0.15) == pytest.approx(0.05)


def test_request_does_not_wait_after_silence_and_silence_is_not_saved_up() -> None:
    pace = Pace(50)
    pace.take(4, now=DAY)
    assert pace.take(4, now=2 * DAY) == 0
    assert pace.take(4, now=2 * DAY) == pytest.approx(0.2)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda server: server.exchange)
async def test_every_request_keeps_the_pace(
    build: Callable[..., Any], family: type[ExchangeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library consults it before each request of any kind, with the cost of the request."""
    costs: list[float] = []
    take = Pace.take

    def noted(self: Pace, cost: float, now: float) -> float:
        costs.append(cost)
        return take(self, cost, now)

    monkeypatch.setattr(Pace, "take", noted)
    async with family() as server:
        source = build(CcxtSource, {**server.options, "accounts": {"main": {"assets": ["USDT"]}}})
        server.wallets["spot"] = server.wallets["trading"] = {"USDT": ("1", "0")}
        async with source:
            await source.fetch_balances()
        assert len(costs) == len(server.calls)
    assert all(cost > 0 for cost in costs)
