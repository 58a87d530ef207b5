"""Passes events and requests from a daemon on to strategies, each as it stands at that moment."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import structlog

from reservd.client.asynchronous import AsyncClient
from reservd.client.backoff import Backoff
from reservd.client.feed import EventFeed, EventGap
from reservd.client.memory import StrategyMemory
from reservd.client.standing import latest_change
from reservd.errors import ApiNotFoundError, ApiUnavailableError, ConfigError
from reservd.log import plain_traceback
from reservd.reserve.models import ReserveEvent
from reservd.reserve.replenishment import ReplenishmentRequest
from reservd.reserve.replenishment.event import Approval, ReplenishmentEvent
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from reservd.reserve.scope import scope_of
from reservd.threads import run_on_thread
from reservd.wire.modes import ModeDetail
from reservd.wire.problems import ProblemKind

log = structlog.get_logger(__name__)

ReserveCallback = Callable[[ReserveEvent], Awaitable[None] | None]
RequestCallback = Callable[[ReplenishmentRequest], Awaitable[None]]
AnswerT = TypeVar("AnswerT")

CALLBACK_SECONDS = 60.0


class _Registered(NamedTuple):
    """A callback, and the modes that it is called for."""

    callback: ReserveCallback
    modes: frozenset[str] | None
    timeout_seconds: float | None


class Listener:
    """Follows a daemon's events, and reads a mode's state before passing on its event, which may be old by then.

    Args:
        client: Calls the daemon.
        memory: Remembers which events were passed on.
    """

    def __init__(self, client: AsyncClient, memory: StrategyMemory) -> None:
        self._client = client
        self._memory = memory
        self._share_classes: dict[str, str | None] = {}
        self._standings: dict[str, ModeDetail] = {}
        self._callbacks: list[_Registered] = []
        self._takers: dict[str, RequestCallback] = {}
        self._feed: EventFeed | None = None

    def listen_to(self, mode: str, share_class: str | None) -> None:
        """Pass on what concerns a mode. If a share class is given, the daemon's configuration must match it."""
        self._share_classes[mode] = share_class

    def add_reserve_callback(
        self, callback: ReserveCallback, modes: Iterable[str] | None, timeout_seconds: float | None
    ) -> None:
        """Pass events on to a callback."""
        if not callable(callback):
            raise TypeError(f"a callback must be callable, got {type(callback).__name__}")
        self._callbacks.append(_Registered(callback, scope_of(modes), timeout_seconds))

    def add_request_callback(self, callback: RequestCallback, modes: Iterable[str]) -> None:
        """Offer requests to a callback."""
        self._takers.update(dict.fromkeys(scope_of(modes) or (), callback))

    @property
    def connected(self) -> bool:
        """Whether a daemon is connected and sends events."""
        return self._feed is not None and self._feed.connected

    def standing(self, mode: str) -> ModeDetail:
        """Return the state of a mode when the last event was passed on.

        Raises:
            KeyError: If it has not been read yet.
        """
        return self._standings[mode]

    async def run(self) -> None:
        """Pass on events and requests until cancelled.

        Raises:
            ConfigError: If the daemon does not watch a mode, or has it in another share class.
            ApiError: If the daemon refuses.
        """
        for mode in self._share_classes:
            policy = (await self._look(mode)).policy
            if mode in self._takers and policy.replenisher is not None and not policy.requests_over_api:
                log.warning("strategy.not_asked", mode=mode, replenisher=policy.replenisher)
        if self._memory.last_event_id is not None:
            # The process may have ended before it acted on what was known.
            await self._catch_up(events=True)
        modes, after = sorted(self._share_classes), self._memory.last_event_id
        feed = self._feed = self._client.follow_events(modes=modes, last_event_id=after)
        async for item in feed:
            match item:
                case EventGap():
                    await self._catch_up(events=self._memory.lasting or not item.beginning)
                case ReplenishmentEvent():
                    await self._changed(item)
                case ReserveEvent():
                    await self._hand_on(item)
            self._memory.come_to(feed.last_event_id)

    async def _catch_up(self, *, events: bool) -> None:
        """Pass on what needs action now: all open requests, and the events of open incidents."""
        for mode in self._share_classes:
            standing = await self._look(mode)
            if mode in self._takers:
                for record in await self._ask(partial(self._requested, mode)):
                    await self._offer(record)
            event = await self._ask(partial(latest_change, self._client, standing)) if events else None
            if event is not None:
                await self._hand_on(event)

    async def _requested(self, mode: str) -> list[Replenishment]:
        requested = self._client.walk(self._client.list_replenishments, mode, state=ReplenishmentState.REQUESTED)
        return [record async for record in requested]

    async def _changed(self, event: ReplenishmentEvent) -> None:
        """Offer a request that was made or approved."""
        awaited = event.approval is Approval.AWAITED
        if event.strategy_mode in self._takers and event.state is ReplenishmentState.REQUESTED and not awaited:
            await self._look(event.strategy_mode)
            await self._offer(await self._ask(partial(self._client.get_replenishment, event.replenishment_id)))

    async def _offer(self, record: Replenishment) -> None:
        mode = record.request.strategy_mode
        if record.state is not ReplenishmentState.REQUESTED or record.held_back:
            return
        if self.standing(mode).policy.requests_over_api:
            await self._call(self._takers[mode], record.request, None)

    async def _hand_on(self, event: ReserveEvent) -> None:
        standing = await self._look(event.strategy_mode)
        if event.is_change and standing.status is not event.event_type.status:
            event = event.model_copy(update={"superseded": True})
        for callback, modes, timeout_seconds in self._callbacks:
            if modes is None or event.strategy_mode in modes:
                await self._call(callback, event, timeout_seconds)

    async def _look(self, mode: str) -> ModeDetail:
        """Return the current state of a mode."""
        try:
            standing = await self._ask(partial(self._client.get_mode, mode))
        except ApiNotFoundError as error:
            if error.kind != ProblemKind.NOT_FOUND.code:
                raise ConfigError(
                    f"url: must be the URL of a daemon, but something else answers there: {error}"
                ) from None
            raise ConfigError(f"mode '{mode}': must be one that the daemon watches") from None
        wanted = self._share_classes[mode]
        if wanted is not None and wanted != standing.share_class:
            had = standing.share_class
            raise ConfigError(
                f"mode '{mode}': share_class: must be {had}, as in the daemon's configuration, got {wanted}"
            )
        self._standings[mode] = standing
        return standing

    async def _ask(self, ask: Callable[[], Coroutine[Any, Any, AnswerT]]) -> AnswerT:
        """Return the daemon's response. Retry until it answers: nothing may be done on uncertain grounds."""
        backoff, waits = Backoff(), False
        while True:
            try:
                return await ask()
            except ApiUnavailableError as error:
                if not waits:
                    log.warning("daemon.waited_for", reason=str(error))
                    waits = True
                await asyncio.sleep(backoff.next_seconds(error.retry_after_seconds))

    async def _call(self, callback: Callable[[Any], Any], told: object, timeout_seconds: float | None) -> None:
        """Call a callback, and log its errors."""
        name = getattr(callback, "__qualname__", type(callback).__qualname__)
        try:
            async with asyncio.timeout(timeout_seconds):
                is_async = inspect.iscoroutinefunction(callback)
                answer = callback(told) if is_async else await run_on_thread(callback, told)
                if inspect.isawaitable(answer):
                    await answer
        except TimeoutError:
            log.error("callback.timed_out", callback=name)  # noqa: TRY400  # a traceback would not show why
        except Exception as error:  # noqa: BLE001  # whatever a callback does, the others go on
            log.error("callback.failed", callback=name, exception=plain_traceback(error))  # noqa: TRY400  # included
