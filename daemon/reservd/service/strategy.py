"""The base class of strategies that refill their own reserve, in the manager's process or in another."""

import asyncio
import inspect
import uuid
from abc import ABC
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import structlog

from reservd.client.memory import StrategyMemory
from reservd.errors import ApiRefusedError, ReplenishmentStateError
from reservd.log import plain_traceback
from reservd.reserve.models import EventType, ReserveEvent, ReserveStatus
from reservd.reserve.replenishment import ReplenishmentOutcome, ReplenishmentRequest, Urgency
from reservd.reserve.replenishment.states import Replenishment
from reservd.service.occasion import Occasion, Reserves, StrategyDesk
from reservd.threads import run_on_thread

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")

MAX_EXECUTIONS = 16
"""No more executions run at a time."""

_URGENCIES = {EventType.LOW: Urgency.FAST, EventType.CRITICAL: Urgency.EMERGENCY}
_occasion: ContextVar[Occasion] = ContextVar("occasion")


class BaseStrategyManager(ABC):  # noqa: B024  # every method that it leaves open has a default: to do nothing
    """A strategy with a reserve, watched by a `ReserveManager` in its process or by a daemon.

    A subclass implements `request_fast_execution` and `request_emergency_execution`. Each is a coroutine function, or a
    plain function, which runs on its own thread and may block. Both find the reason for the call in `occasion`. If the
    mode has a replenisher, they are called only for its requests, once for each, however many copies of the strategy
    run. Otherwise they are called for events, at most once for each incident and severity, and not for an incident that
    is low after it was critical: an emergency covers the whole shortfall.

    Args:
        config: The strategy's configuration: `mode`, `share_class`, `asset` and `reserve_*`.
        risk_monitor: Kept for the subclass.
        position_monitor: Kept for the subclass.
        equity_calculator: Kept for the subclass.
        reserve_manager: Watches this strategy's mode: a `ReserveManager`, or a `RemoteReserveManager`.
        memory: Remembers what was acted on; only until the process ends unless given.
    """

    def __init__(
        self,
        config: dict[str, Any],
        risk_monitor: Any,
        position_monitor: Any,
        equity_calculator: Any,
        reserve_manager: Reserves,
        *,
        memory: StrategyMemory | None = None,
    ) -> None:
        self.config = config
        self.risk_monitor = risk_monitor
        self.position_monitor = position_monitor
        self.equity_calculator = equity_calculator
        self.reserve_manager = reserve_manager
        self.mode: str = config["mode"]
        self.share_class: str = config["share_class"]
        self.asset = config.get("asset")
        self._memory = memory or StrategyMemory()
        self._executions: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        reserve_manager.set_reserve_config(self.mode, config)
        reserve_manager.add_reserve_callback(self.handle_reserve_event, modes=[self.mode])
        reserve_manager.add_request_callback(self.handle_replenishment_request, modes=[self.mode])

    def request_fast_execution(self) -> Awaitable[None] | None:  # noqa: B027  # a subclass may leave it out
        """Unwind fast to refill a reserve that is low."""

    def request_emergency_execution(self) -> Awaitable[None] | None:  # noqa: B027  # the same
        """Unwind at once to refill a reserve that is critical."""

    def declines(self, request: ReplenishmentRequest) -> str | None:
        """Return why a request is declined, in one line for people; None to accept it."""
        del request
        return None

    @property
    def occasion(self) -> Occasion:
        """Why the current execution was called.

        Raises:
            LookupError: Outside of an execution.
        """
        return _occasion.get()

    async def report_accepted(
        self, *, reference: str | None = None, expected_by: datetime | None = None, reason: str = ""
    ) -> Replenishment | None:
        """Report when the money of the current request should have arrived. The request is accepted already.

        Returns:
            The resulting request; None when the execution acts on an event, as there is nothing to report on.

        Raises:
            ApiRefusedError: If the request has ended, when a daemon watches. Nothing more should be done for it.
            ReplenishmentStateError: The same, when a manager in this process watches.
            ApiUnavailableError: If the daemon did not answer in time.
        """
        told: dict[str, Any] = {"reference": reference, "expected_by": expected_by, "reason": reason}
        return await self._report(lambda desk, request_id: desk.accept(request_id, **told))

    async def report_progress(
        self, *, reference: str | None = None, expected_by: datetime | None = None, reason: str = ""
    ) -> Replenishment | None:
        """Report that the strategy is working on the request; see `report_accepted`."""
        told: dict[str, Any] = {"reference": reference, "expected_by": expected_by, "reason": reason}
        return await self._report(lambda desk, request_id: desk.progress(request_id, **told))

    async def report_settled(self, *, reason: str = "") -> Replenishment | None:
        """Report that the money was sent. It counts once the reserve shows it. See `report_accepted`."""
        return await self._report(lambda desk, request_id: desk.settle(request_id, reason=reason))

    async def report_failed(self, reason: str) -> Replenishment | None:
        """Report that the strategy failed to carry out the request; see `report_accepted`."""
        return await self._report(lambda desk, request_id: desk.fail(request_id, reason=reason))

    def wait_for(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Wait for a coroutine of this strategy and return its result. For executions that are plain functions."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def check_reserve_adequacy(self) -> bool:
        """Return whether the reserve is adequate for fast withdrawals: read now, or the daemon's last check."""
        snapshot = await self.reserve_manager.calculate_reserve_snapshot(self.mode)
        return snapshot.status is ReserveStatus.ADEQUATE

    async def get_reserve_balance(self) -> Decimal:
        """Return what can be paid out, in whole units of the share class: read now, or from the daemon's last check.

        Raises:
            ReserveUnknownError: If it is unknown.
        """
        return await self.reserve_manager.get_reserve_balance(self.mode)

    async def request_reserve_replenishment(self, amount: Decimal) -> ReplenishmentOutcome:
        """Request a refill of an amount from this mode's replenisher."""
        return await self.reserve_manager.request_reserve_replenishment(self.mode, amount)

    async def idle(self) -> None:
        """Wait until no execution is running."""
        while self._executions:
            await asyncio.wait(self._executions)

    async def handle_reserve_event(self, event: ReserveEvent) -> None:
        """Start to act on an event of this mode, once per incident and severity, if nothing requests its refills."""
        urgency = _URGENCIES.get(event.event_type)
        if urgency is None or event.reminder or event.superseded or self.reserve_manager.has_replenisher(self.mode):
            return
        before = self._memory.asked_before(event)
        if self._may_begin(event.id) and self._memory.take(event):
            occasion = Occasion(urgency, event.shortfall, event.currency, event=event, asked_before=before)
            self._begin(self._execute(occasion))

    async def handle_replenishment_request(self, request: ReplenishmentRequest) -> None:
        """Start to act on a request, unless somebody has accepted it already."""
        if self._may_begin(request.id):
            self._begin(self._take(request))

    def _may_begin(self, about: str) -> bool:
        if len(self._executions) < MAX_EXECUTIONS:
            return True
        log.error("execution.not_begun", mode=self.mode, about=about, running=MAX_EXECUTIONS)
        return False

    def _begin(self, execution: Coroutine[Any, Any, None]) -> None:
        """Run an execution in the background: an emergency does not wait for a slow one."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.create_task(execution)
        self._executions.add(task)
        task.add_done_callback(self._executions.discard)

    async def _take(self, request: ReplenishmentRequest) -> None:
        try:
            declined = self.declines(request)
            if declined is not None:
                await self._desk().reject(request.id, reason=declined)
                return
            # Under a new reference: of several copies, and after a restart, only one gets it.
            await self._desk().accept(request.id, reference=uuid.uuid4().hex, exclusive=True)
        except (ApiRefusedError, ReplenishmentStateError) as error:
            log.info("replenishment.not_taken", mode=self.mode, id=request.id, reason=str(error))
        except Exception as error:  # noqa: BLE001  # logged with all details
            told = plain_traceback(error)
            log.error("replenishment.not_taken", mode=self.mode, id=request.id, exception=told)  # noqa: TRY400  # included
        else:
            await self._execute(Occasion(request.urgency, request.amount, request.currency, request=request))

    async def _execute(self, occasion: Occasion) -> None:
        """Call the subclass's method. If it raises, report the request as failed."""
        _occasion.set(occasion)
        fast = occasion.urgency is Urgency.FAST
        execution = self.request_fast_execution if fast else self.request_emergency_execution
        bound = log.bind(mode=self.mode, urgency=str(occasion.urgency), about=occasion.id)
        bound.info("execution.began", amount=None if occasion.amount is None else str(occasion.amount))
        try:
            answer = execution() if inspect.iscoroutinefunction(execution) else await run_on_thread(execution)
            if inspect.isawaitable(answer):
                await answer
            bound.info("execution.ended")
        except (ApiRefusedError, ReplenishmentStateError) as error:
            # The request has ended, for example because another replaced it: there is nothing to report on.
            bound.warning("execution.stopped", reason=str(error))
        except Exception as error:  # noqa: BLE001  # reported, and logged with all details
            bound.error("execution.failed", exception=plain_traceback(error))
            await self._tell_failed(f"{type(error).__name__} in the strategy")

    async def _tell_failed(self, reason: str) -> None:
        try:
            await self.report_failed(reason)
        except Exception as error:  # noqa: BLE001  # logged with all details
            told = plain_traceback(error)
            log.error("report.failed", mode=self.mode, about=self.occasion.id, exception=told)  # noqa: TRY400  # included

    async def _report(self, tell: Callable[[StrategyDesk, str], Awaitable[Replenishment]]) -> Replenishment | None:
        request = self.occasion.request
        return None if request is None else await tell(self._desk(), request.id)

    def _desk(self) -> StrategyDesk:
        desk = self.reserve_manager.desk
        if desk is None:
            raise ReplenishmentStateError("nothing records what becomes of requests")
        return desk
