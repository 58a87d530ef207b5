"""Refills of a simulated treasury."""

import time
from datetime import UTC, datetime, timedelta

from reservd.plugin import (
    Acceptance,
    AcceptanceStatus,
    DeliveryError,
    FailureReason,
    Replenisher,
    ReplenishmentRequest,
)
from reservd_paper import registry
from reservd_paper.options import PaperConfig


class PaperReplenisher(Replenisher[PaperConfig]):
    """Makes deployed money liquid, some seconds after the request."""

    PLUGIN_NAME = "paper"
    Config = PaperConfig

    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """Start the refill and return when it arrives.

        Raises:
            DeliveryError: If the treasury is not defined. Not retryable: only a changed
                configuration helps.
        """
        try:
            treasury = registry.find(self.config.treasury)
        except registry.UnknownTreasuryError as error:
            raise DeliveryError(FailureReason.INVALID_DATA, str(error), retryable=False) from None
        monotonic = time.monotonic()
        book = treasury.look(monotonic).get(request.strategy_mode)
        if book is None or book.currency != request.currency:
            return _rejected(f"there is no book '{request.strategy_mode}' in {request.currency}")
        now = treasury.elapsed(monotonic)
        refill = book.refill(request.id, request.amount, now, request.replaces)
        if refill is None:
            return _rejected("nothing is deployed that could be made liquid")
        return Acceptance(
            status=AcceptanceStatus.ACCEPTED,
            reference=refill.reference,
            reason=f"{refill.amount.normalize():f} {book.currency} will be made liquid",
            expected_by=datetime.now(UTC) + timedelta(seconds=refill.due - now),
        )


def _rejected(reason: str) -> Acceptance:
    return Acceptance(status=AcceptanceStatus.REJECTED, reason=reason)
