"""What the pages and the API need from the daemon behind them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from reservd.monitor.manager import ReserveManager
from reservd.service.replenishment import ReplenishmentService
from reservd.service.withdrawals import WithdrawalManager
from reservd.store.database import Database
from reservd.web.access.control import AccessControl
from reservd.web.page import MetricsPage
from reservd.web.stream import EventStream


class Readiness(NamedTuple):
    """Whether the daemon does all of its work."""

    ready: bool
    """A standby is ready."""
    text: str
    """One line for people."""


class Duty(Protocol):
    """What a daemon provides while it owns the store."""

    @property
    def manager(self) -> ReserveManager:
        """Watches the modes."""

    @property
    def withdrawals(self) -> WithdrawalManager:
        """Decides withdrawals."""

    @property
    def replenishments(self) -> ReplenishmentService:
        """Requests refills."""

    @property
    def store_up(self) -> bool:
        """Whether the store accepts writes."""


@dataclass(frozen=True)
class Backend:
    """What the site shows, and what callers can do.

    Attributes:
        page: The metrics.
        healthy: False only when the daemon no longer does its work and should be restarted.
        readiness: Whether its first cycle is done and its store accepts writes.
        reload: Applies the current configuration files.
        duty: What it provides as the owner; None while it is not the owner.
        database: The store, to read events from.
        stream: Sends events to listeners.
        access: Checks callers.
        headers: Added to every response that does not set them itself.
    """

    page: MetricsPage
    healthy: Callable[[], bool]
    readiness: Callable[[], Readiness]
    reload: Callable[[], Awaitable[None]]
    duty: Callable[[], Duty | None]
    database: Database
    stream: EventStream
    access: AccessControl
    headers: Mapping[str, str] = field(default_factory=dict)
