"""A `ReserveManager` over HTTP: what `BaseStrategyManager` needs of one, answered by a daemon."""

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
    """Stands in for a `ReserveManager` that runs in a daemon, which watches the modes by its own configuration.

    Args:
        client: Open, and with a token that may act for the modes.
        memory: What is remembered of events; for as long as the process lives unless given.

    Attributes:
        desk: Where it is told how far requests are.
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
        """Whether the daemon tells events now; while it does not, nothing is acted on."""
        return self._listener.connected

    def set_reserve_config(self, strategy_mode: str, config: Mapping[str, Any]) -> None:
        """Listen to a mode. Of its configuration the share class is compared with the daemon's own."""
        self._listener.listen_to(strategy_mode, config.get("share_class"))

    def add_reserve_callback(
        self,
        callback: ReserveCallback,
        modes: Iterable[str] | None = None,
        timeout_seconds: float | None = CALLBACK_SECONDS,
    ) -> None:
        """Call `callback` with every event of modes that are listened to.

        Args:
            callback: A plain function, which may block, or a coroutine function. The next event waits for it.
            modes: Only events of these modes; of all that are listened to when None.
            timeout_seconds: How long one event may take; None for any time.
        """
        self._listener.add_reserve_callback(callback, modes, timeout_seconds)

    def add_request_callback(self, callback: RequestCallback, modes: Iterable[str]) -> None:
        """Offer requests for refills of these modes to `callback`, where strategies take them from the API.

        It takes one by `desk.accept(…, exclusive=True)`. The same may be offered again.
        """
        self._listener.add_request_callback(callback, modes)

    def has_replenisher(self, strategy_mode: str) -> bool:
        """Whether requests for a mode's refills are made: then its strategy acts on those, and not on events."""
        return self._listener.standing(strategy_mode).policy.replenisher is not None

    async def start_monitoring(self) -> None:
        """Hand on events and requests as they come, until `stop_monitoring`; a daemon that is gone is waited for.

        Raises:
            ConfigError: If the daemon does not watch a mode, or in another share class.
            ApiError: If it refuses to tell.
        """
        if self.running:
            raise RuntimeError("monitoring runs already")
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
        """End `start_monitoring`."""
        self._stop.set()

    async def calculate_reserve_snapshot(
        self, strategy_mode: str, config: Mapping[str, Any] | None = None
    ) -> ReserveSnapshot:
        """Return what the daemon knows of a mode now: its confirmed status, and its last conclusive check.

        Raises:
            ReserveUnknownError: If the mode was not checked yet.
            ApiError: If the daemon does not answer.
        """
        del config  # the daemon's counts
        return snapshot_of(await self._client.get_mode(strategy_mode))

    async def get_reserve_balance(self, strategy_mode: str) -> Decimal:
        """Return what a mode can pay out, in whole units of its share class, by the daemon's last conclusive check.

        Raises:
            ReserveUnknownError: If the daemon does not know.
            ApiError: If the daemon does not answer.
        """
        snapshot = await self.calculate_reserve_snapshot(strategy_mode)
        if snapshot.reserve_balance is None:
            raise ReserveUnknownError(f"the reserve of '{strategy_mode}' is unknown: {'; '.join(snapshot.missing)}")
        return snapshot.reserve_balance

    async def request_reserve_replenishment(
        self, strategy_mode: str, amount: Decimal, idempotency_key: str | None = None
    ) -> ReplenishmentOutcome:
        """Have a mode's strategy asked for a refill.

        Args:
            strategy_mode: The mode.
            amount: The exact amount.
            idempotency_key: Names this request, so that it may be asked for again; a new one unless given.

        Returns:
            The request and its answer, true when it was made; or the reason why it was not, false.

        Raises:
            ApiUnavailableError: If it is not certain whether it was made.
        """
        key = idempotency_key or str(uuid.uuid4())
        try:
            made = await self._client.request_replenishment(strategy_mode, amount, key)
        except ApiRefusedError as error:
            if error.kind != ProblemKind.NOT_REQUESTED.code:
                raise
            return ReplenishmentOutcome(None, None, error.reason or Inaction.NO_REPLENISHER)
        return ReplenishmentOutcome(made.request, made.acceptance, "" if made.open else made.detail)
