"""Writes reserve events to an embedder's event log."""

from typing import Any

from reservd.reserve.models import ReserveEvent


class ReserveEventLogger:
    """Writes reserve events to an object with `log_event(dict)`.

    Args:
        event_logger: The platform's event logger.
    """

    def __init__(self, event_logger: Any) -> None:
        self.event_logger = event_logger

    def log_reserve_event(self, event: ReserveEvent) -> None:
        """Log one event: all its fields, amounts as decimal strings, `type` as `reserve_event`."""
        self.event_logger.log_event({"type": "reserve_event", **event.model_dump(mode="json")})
