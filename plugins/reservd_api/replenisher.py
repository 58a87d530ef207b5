"""Requests that wait at the daemon until a strategy takes them."""

from typing import ClassVar

from reservd.plugin import Acceptance, AcceptanceStatus, PluginConfig, Replenisher, ReplenishmentRequest


class ApiConfig(PluginConfig):
    """It has no options."""


class ApiReplenisher(Replenisher[ApiConfig]):
    """Hands nothing on: strategies see each request in the stream of events, and answer by the API."""

    PLUGIN_NAME = "api"
    Config = ApiConfig
    OVER_API: ClassVar[bool] = True

    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """Return that the strategy has not decided yet."""
        del request
        return Acceptance(status=AcceptanceStatus.PENDING)
