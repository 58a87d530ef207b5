"""Refills: the decision joined to the replenishers that carry it out."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import structlog

from reservd.config.mode import ModeConfig
from reservd.errors import CallError, FailureReason
from reservd.monitor.observer import Checked, Observer
from reservd.plugin.guard import GuardedPlugin, retryable
from reservd.plugin.interfaces import Replenisher
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import (
    Acceptance,
    AcceptanceStatus,
    Inaction,
    RefillState,
    ReplenishmentOutcome,
    ReplenishmentRequest,
    Urgency,
    decide_refill,
    expire_refill,
    settle_refill,
)

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 1.0


class ReplenishmentObserver:
    """Hears of every request for a refill."""

    def requested(self, replenisher: str, status: AcceptanceStatus | None, failure: FailureReason | None) -> None:
        """A request was answered with a status, or was not answered for a reason."""


class ReplenishmentService(Observer):
    """Decides on each confirmed snapshot whether to ask a mode's strategy for a refill, and asks.

    It acts on snapshots, never on events: a reminder or a redelivery asks for nothing.
    """

    def __init__(
        self,
        configs: Mapping[str, ModeConfig],
        replenishers: Mapping[str, Replenisher[Any]],
        observers: Iterable[ReplenishmentObserver] = (),
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take what is configured.

        Args:
            configs: By mode.
            replenishers: By name.
            observers: Hear of every request.
            may_act: Whether refills may be asked for: never by two daemons, nor without a store.
        """
        self._may_act = may_act
        self._configs = configs
        self._replenishers = {name: GuardedPlugin(replenisher) for name, replenisher in replenishers.items()}
        self._observers = tuple(observers)
        self._states: dict[str, RefillState] = {}
        self._recovered: set[str] = set()
        self._asking: dict[str, asyncio.Task[ReplenishmentOutcome]] = {}

    def checked(self, checked: Checked) -> None:
        """Ask for a refill when one is due. One request of a mode at a time."""
        config = self._configs[checked.mode]
        if config.reserve_replenisher is None or not self._may_act():
            return
        now = checked.snapshot.timestamp
        state = self._states.get(checked.mode, RefillState())
        if checked.status is not ReserveStatus.UNKNOWN and checked.step.conclusive:
            state = self._states[checked.mode] = expire_refill(state, checked.status, config.refill, now)
        if checked.status is ReserveStatus.ADEQUATE and checked.mode in self._asking:
            self._recovered.add(checked.mode)
        if not checked.step.actionable or checked.mode in self._asking:
            return
        decision = decide_refill(
            checked.snapshot,
            checked.status,
            config.refill,
            state,
            request_id=str(uuid.uuid4()),
            incident_id=checked.step.state.incident_id,
        )
        if isinstance(decision, ReplenishmentRequest):
            self._start(decision)

    async def request(self, mode: str, amount: Decimal) -> ReplenishmentOutcome:
        """Ask a mode's strategy for an amount, on somebody's own wish.

        Returns:
            The request and its answer; or why none was made: no replenisher, or one is in flight.

        Raises:
            ValueError: If the amount is not above 0.
        """
        config = self._configs.get(mode)
        if amount <= 0:
            raise ValueError(f"amount must be above 0, got {amount}")
        if config is None or config.reserve_replenisher is None:
            return ReplenishmentOutcome(None, None, Inaction.NO_REPLENISHER)
        if not self._may_act():
            return ReplenishmentOutcome(None, None, Inaction.STORE_GONE)
        if mode in self._asking or self._states.get(mode, RefillState()).open is not None:
            return ReplenishmentOutcome(None, None, Inaction.IN_FLIGHT)
        request = ReplenishmentRequest(
            id=str(uuid.uuid4()),
            strategy_mode=mode,
            amount=amount,
            currency=config.share_class,
            urgency=Urgency.FAST,
            requested_at=datetime.now(UTC),
            reason="asked for",
        )
        return await self._start(request)

    async def close(self) -> None:
        """Wait a moment for what is being asked, cut off the rest, and close the replenishers."""
        tasks = list(self._asking.values())
        if tasks:
            # One that was taken and not heard of would be asked for again, under another id.
            await asyncio.wait(tasks, timeout=_DRAIN_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(guarded.close() for guarded in self._replenishers.values()))

    def _start(self, request: ReplenishmentRequest) -> asyncio.Task[ReplenishmentOutcome]:
        mode = request.strategy_mode
        task = asyncio.create_task(self._ask(request))
        self._asking[mode] = task
        task.add_done_callback(lambda _: self._asking.pop(mode, None))
        return task

    async def _ask(self, request: ReplenishmentRequest) -> ReplenishmentOutcome:
        config = self._configs[request.strategy_mode]
        name = str(config.reserve_replenisher)
        bound = log.bind(mode=request.strategy_mode, replenisher=name, id=request.id)
        bound.info("replenishment.requested", amount=str(request.amount), urgency=str(request.urgency))
        guarded = self._replenishers[name]
        plugin: Any = guarded.plugin
        acceptance, failure, why = None, None, ""
        try:
            acceptance = _accepted(await guarded.call(lambda: plugin.request(request), request.strategy_mode))
        except CallError as error:
            failure, why = error.reason, str(error)
            bound.error("replenishment.failed", reason=str(error.reason), detail=error.detail)
            if not retryable(error):
                acceptance = Acceptance(status=AcceptanceStatus.REJECTED, reason=why)
        else:
            bound.info("replenishment.answered", status=str(acceptance.status), reference=acceptance.reference)
        status = acceptance.status if acceptance is not None and failure is None else None
        for observer in self._observers:
            observer.requested(name, status, failure)
        if request.strategy_mode in self._recovered:
            # While it was being asked: what is settled now would stand in the way of the next incident.
            self._recovered.discard(request.strategy_mode)
            return ReplenishmentOutcome(request, acceptance, why)
        state = self._states.get(request.strategy_mode, RefillState())
        self._states[request.strategy_mode] = settle_refill(
            state, request, acceptance, config.refill, datetime.now(UTC)
        )
        return ReplenishmentOutcome(request, acceptance, why)


def _accepted(answer: object) -> Acceptance:
    if not isinstance(answer, Acceptance):
        raise CallError(FailureReason.INVALID_DATA, f"request() gave {type(answer).__name__}, not Acceptance")
    return answer
