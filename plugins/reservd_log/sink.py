"""Events as structured log lines."""

import structlog

from reservd.plugin import CloudEvent, EventSink, EventType, PluginConfig, ReplenishmentMessage

LOGGER_NAME = "reservd.events"

_LEVELS = {
    EventType.ADEQUATE: "info",
    EventType.LOW: "warning",
    EventType.CRITICAL: "error",
    EventType.UNKNOWN: "warning",
    EventType.RUNWAY_LOW: "warning",
}
# In the line under names that do not collide with those that log processors add (timestamp, event).
_RENAMED = {"event_type", "strategy_mode", "timestamp", "id"}


class LogConfig(PluginConfig):
    """The `log` sink has no options."""


class LogSink(EventSink[LogConfig]):
    """Logs one line per event, with the logger `reservd.events`."""

    PLUGIN_NAME = "log"
    Config = LogConfig

    def __init__(self, name: str, config: LogConfig) -> None:
        super().__init__(name, config)
        self._log = structlog.get_logger(LOGGER_NAME)

    async def deliver(self, event: CloudEvent) -> None:
        """Log the event at the level of its severity, amounts as text."""
        write = getattr(self._log, _LEVELS[event.data.event_type])
        write(
            f"event.{event.data.event_type}",
            sink=self.name,
            mode=event.subject,
            event_id=event.id,
            decided_at=event.time.isoformat(),
            **event.data.model_dump(mode="json", exclude=_RENAMED),
        )

    async def deliver_replenishment(self, event: ReplenishmentMessage) -> None:
        """Log a change of a request for a refill, amounts as text."""
        self._log.info(
            f"event.{event.data.event_type}",
            sink=self.name,
            mode=event.subject,
            event_id=event.id,
            decided_at=event.time.isoformat(),
            **event.data.model_dump(mode="json", exclude=_RENAMED),
        )
