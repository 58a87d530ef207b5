"""What the pages and the API need of the daemon behind them."""

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
    """Whether the daemon does all that it is there for."""

    ready: bool
    """A daemon that stands by is ready."""
    text: str
    """One line for people."""


class Duty(Protocol):
    """What a daemon has while it owns the store."""

    @property
    def manager(self) -> ReserveManager:
        """Watches the modes."""

    @property
    def withdrawals(self) -> WithdrawalManager:
        """Decides withdrawals."""

    @property
    def replenishments(self) -> ReplenishmentService:
        """Asks for refills."""

    @property
    def store_up(self) -> bool:
        """Whether the store takes what is written."""


@dataclass(frozen=True)
class Backend:
    """What the site shows, and lets callers do.

    Attributes:
        page: The metrics.
        healthy: False only when the daemon no longer does its work and should be restarted.
        readiness: Whether its first cycle is done and its store takes what is written.
        reload: Takes up the configuration as its files are now.
        duty: What it does as the owner; None while another daemon is, or nobody yet.
        database: The store, to read events from.
        stream: Hands on events.
        access: Who may call.
        headers: Of every answer that has none of its own.
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
