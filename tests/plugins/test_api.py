"""The `api` replenisher: it sends nothing, and never answers for a strategy."""

from typing import Any

import pytest

from reservd.plugin import AcceptanceStatus
from reservd.plugin.testing import ReplenisherContract, example_request
from reservd_api.replenisher import ApiConfig, ApiReplenisher


class TestApiReplenisher(ReplenisherContract):
    plugin_class = ApiReplenisher

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}


async def test_request_waits_until_a_strategy_takes_it() -> None:
    async with ApiReplenisher("strategies", ApiConfig()) as replenisher:
        answer = await replenisher.request(example_request())
    assert (answer.status, answer.reference, answer.expected_by) == (AcceptanceStatus.PENDING, None, None)
    assert ApiReplenisher.OVER_API
