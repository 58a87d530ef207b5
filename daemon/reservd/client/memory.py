"""What a strategy remembers across restarts, so that it acts only once."""

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from reservd.errors import ConfigError
from reservd.reserve.models import EventType, PlainDecimal, ReserveEvent


class _Acted(BaseModel):
    """The events of one mode on which the strategy acted."""

    incident_id: str | None = None
    severities: frozenset[EventType] = frozenset()
    amount: PlainDecimal | None = None
    """The shortfall of the last event that was acted on."""


class _Kept(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(extra="forbid")

    last_event_id: str | None = None
    acted: Mapping[str, _Acted] = {}


class StrategyMemory:
    """Remembers which events were acted on, and the last event that was handled.

    Args:
        file: Keeps the memory across restarts, for one process at a time. If None, it is lost at exit.

    Raises:
        ConfigError: If the file exists but is not such a file.
    """

    def __init__(self, file: Path | str | None = None) -> None:
        self._file = None if file is None else Path(file)
        self._kept = _Kept() if self._file is None else _load(self._file)

    @property
    def lasting(self) -> bool:
        """Whether the memory outlives the process."""
        return self._file is not None

    @property
    def last_event_id(self) -> str | None:
        """The id of the last event that was handled."""
        return self._kept.last_event_id

    def come_to(self, last_event_id: str | None) -> None:
        """Record the last event that was handled."""
        if last_event_id != self._kept.last_event_id:
            self._keep(self._kept.model_copy(update={"last_event_id": last_event_id}))

    def asked_before(self, event: ReserveEvent) -> Decimal | None:
        """Return the shortfall when an event's incident was last acted on; None if it was not, or if it was unknown."""
        return self._acted(event).amount

    def take(self, event: ReserveEvent) -> bool:
        """Record an event before it is acted on. Return False if its incident was acted on at this severity before.

        The same holds if it was acted on at CRITICAL: that request covered the whole shortfall, and LOW is an
        improvement.

        Raises:
            OSError: If it cannot be stored: then the event must not be acted on.
        """
        before = self._acted(event).severities
        if event.event_type in before or EventType.CRITICAL in before:
            return False
        severities = before | {event.event_type}
        now = _Acted(incident_id=event.incident_id, severities=severities, amount=event.shortfall)
        self._keep(self._kept.model_copy(update={"acted": {**self._kept.acted, event.strategy_mode: now}}))
        return True

    def _acted(self, event: ReserveEvent) -> _Acted:
        acted = self._kept.acted.get(event.strategy_mode)
        return acted if acted is not None and acted.incident_id == event.incident_id else _Acted()

    def _keep(self, kept: _Kept) -> None:
        if self._file is not None:
            beside = self._file.with_name(f"{self._file.name}.new")
            with beside.open("w", encoding="utf-8") as file:
                file.write(kept.model_dump_json(indent=1))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._file)
        self._kept = kept


def _load(file: Path) -> _Kept:
    try:
        return _Kept.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return _Kept()
    except (OSError, ValidationError) as error:
        told = error.strerror if isinstance(error, OSError) else "not a strategy's memory file"
        raise ConfigError(f"{file}: {told}") from None
