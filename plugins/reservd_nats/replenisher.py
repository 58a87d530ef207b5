"""Sends requests for refills over NATS, to whoever serves the subject."""

from typing import Self

from reservd.plugin import (
    Acceptance,
    Replenisher,
    ReplenishmentRequest,
    read_acceptance,
)
from reservd_nats.config import NatsReplenisherConfig
from reservd_nats.keeper import ConnectionKeeper
from reservd_nats.subject import subject_of


class NatsReplenisher(Replenisher[NatsReplenisherConfig]):
    """Sends each request and waits for the answer: request and reply, without a stream."""

    PLUGIN_NAME = "nats"
    Config = NatsReplenisherConfig

    def __init__(self, name: str, config: NatsReplenisherConfig) -> None:
        super().__init__(name, config)
        self._keeper = ConnectionKeeper(config)

    async def __aenter__(self) -> Self:
        """Connect with the first request, not now."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection; do not wait for one that does not close in time."""
        await self._keeper.close()

    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """Send the request and return the answer; an empty one means `pending`.

        Raises:
            DeliveryError: If no valid answer came. Retryable: the strategy may have acted,
                and recognises the request by its id.
        """
        subject = subject_of(self.config.subject, request.strategy_mode, str(request.urgency))
        headers = {"Nats-Msg-Id": request.id, "Content-Type": "application/json"}
        return read_acceptance(await self._keeper.request(subject, request.model_dump_json().encode(), headers))
