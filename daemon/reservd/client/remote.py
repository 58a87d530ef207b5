"""A `ReserveManager` over HTTP: offers what `BaseStrategyManager` needs, with a daemon's answers."""

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from reservd.client.asynchronous import AsyncClient
from reservd.client.desk import RemoteDesk
from reservd.client.listener import CALLBACK_SECONDS, Listener, RequestCallback, ReserveCallback
from reservd.client.memory import StrategyMemory
from reservd.client.standing import snapshot_of
from reservd.errors import ApiRefusedError, ReserveUnknownError
from reservd.reserve.models import ReserveSnapshot
from reservd.reserve.replenishment import Inaction, ReplenishmentOutcome
from reservd.wire.problems import ProblemKind


class RemoteReserveManager:
    """Stands in for the `ReserveManager` of a daemon, which watches the modes by its own configuration.

    Args:
        client: An open client, with a token that may act for the modes.
        memory: Remembers events; only until the process ends unless given.

    Attributes:
        desk: Reports the progress of requests.
        running: Whether `start_monitoring` runs.
    """

    def __init__(self, client: AsyncClient, memory: StrategyMemory | None = None) -> None:
        self._client = client
        self._listener = Listener(client, memory or StrategyMemory())
        self._stop = asyncio.Event()
        self.desk = RemoteDesk(client)
        self.running = False

    @property
    def listening(self) -> bool:
        """Whether the daemon is connected and sends events. Otherwise no action is taken."""
        return self._listener.connected

    def set_reserve_config(self, strategy_mode: str, config: Mapping[str, Any]) -> None:
        """Listen to a mode. Only the share class of `config` is used: it must match the daemon's configuration."""
        self._listener.listen_to(strategy_mode, config.get("share_class"))

    def add_reserve_callback(
        self,
        callback: ReserveCallback,
        modes: Iterable[str] | None = None,
        timeout_seconds: float | None = CALLBACK_SECONDS,
    ) -> None:
        """Call `callback` with every event of the modes that are listened to.

        Args:
            callback: A plain function, which may block, or a coroutine function. The next event waits for it.
            modes: Only events of these modes; of all that are listened to when None.
            timeout_seconds: The longest time for one event; None for no limit.
        """
        self._listener.add_reserve_callback(callback, modes, timeout_seconds)

    def add_request_callback(self, callback: RequestCallback, modes: Iterable[str]) -> None:
        """Offer requests for refills of these modes to `callback`, for strategies that take them from the API.

        The callback accepts one with `desk.accept(…, exclusive=True)`. The same request may be offered again.
        """
        self._listener.add_request_callback(callback, modes)

    def has_replenisher(self, strategy_mode: str) -> bool:
        """Return whether the daemon requests a mode's refills: if so, its strategy acts on these, not on events."""
        return self._listener.standing(strategy_mode).policy.replenisher is not None

    async def start_monitoring(self) -> None:
        """Pass on events and requests until `stop_monitoring`. If the daemon is unavailable, keep trying.

        Raises:
            ConfigError: If the daemon does not watch a mode, or has it in another share class.
            ApiError: If the daemon refuses.
        """
        if self.running:
            raise RuntimeError("monitoring is already running")
        self._stop.clear()
        self.running = True
        listening = asyncio.create_task(self._listener.run())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                listening.result()
        finally:
            self.running = False
            for task in (listening, stopping):
                task.cancel()
            await asyncio.wait({listening, stopping})

    def stop_monitoring(self) -> None:
        """Stop `start_monitoring`."""
        self._stop.set()

    async def calculate_reserve_snapshot(
        self, strategy_mode: str, config: Mapping[str, Any] | None = None
    ) -> ReserveSnapshot:
        """Return what the daemon knows of a mode now: its confirmed status, and its last conclusive check.

        Raises:
            ReserveUnknownError: If the mode has not been checked yet.
            ApiError: If the daemon does not answer.
        """
        del config  # the daemon's configuration counts
        return snapshot_of(await self._client.get_mode(strategy_mode))

    async def get_reserve_balance(self, strategy_mode: str) -> Decimal:
        """Return what a mode can pay out, in whole units of its share class, from the daemon's last conclusive check.

        Raises:
            ReserveUnknownError: If the daemon does not know it.
            ApiError: If the daemon does not answer.
        """
        snapshot = await self.calculate_reserve_snapshot(strategy_mode)
        if snapshot.reserve_balance is None:
            raise ReserveUnknownError(f"the reserve of '{strategy_mode}' is unknown: {'; '.join(snapshot.missing)}")
        return snapshot.reserve_balance

    async def request_reserve_replenishment(
        self, strategy_mode: str, amount: Decimal, idempotency_key: str | None = None
    ) -> ReplenishmentOutcome:
        """Request a refill from a mode's strategy.

        Args:
            strategy_mode: The mode.
            amount: The exact amount.
            idempotency_key: Identifies this request, so that it may be sent again; a new key unless given.

        Returns:
            The request and its answer, which is true, if it was made; otherwise the reason, which is false.

        Raises:
            ApiUnavailableError: If it is not certain whether the request was made.
        """
        key = idempotency_key or str(uuid.uuid4())
        try:
            made = await self._client.request_replenishment(strategy_mode, amount, key)
        except ApiRefusedError as error:
            if error.kind != ProblemKind.NOT_REQUESTED.code:
                raise
            return ReplenishmentOutcome(None, None, error.reason or Inaction.NO_REPLENISHER)
        return ReplenishmentOutcome(made.request, made.acceptance, "" if made.open else made.detail)
