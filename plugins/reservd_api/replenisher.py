"""Requests that wait at the daemon until a strategy accepts them."""

from typing import ClassVar

from reservd.plugin import Acceptance, AcceptanceStatus, PluginConfig, Replenisher, ReplenishmentRequest


class ApiConfig(PluginConfig):
    """The `api` replenisher has no options."""


class ApiReplenisher(Replenisher[ApiConfig]):
    """Sends nothing: strategies see each request in the stream of events, and answer by the API."""

    PLUGIN_NAME = "api"
    Config = ApiConfig
    OVER_API: ClassVar[bool] = True

    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """Return `pending`: the strategy has not decided yet."""
        del request
        return Acceptance(status=AcceptanceStatus.PENDING)
