"""Calls replenishers: to send requests, and to ask for their progress."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import structlog

from reservd.delivery.retry import waited_out
from reservd.errors import CallError, DeliveryError, FailureReason
from reservd.plugin.guard import GuardedPlugin, retryable
from reservd.plugin.interfaces import Replenisher
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import Acceptance, AcceptanceStatus, Inaction, Progress, ReplenishmentRequest
from reservd.reserve.replenishment.states import Replenishment

log = structlog.get_logger(__name__)
AnswerT = TypeVar("AnswerT", Acceptance, Progress)


class ReplenishmentObserver:
    """Is notified of refills. Methods run on the event loop and must be quick."""

    def requested(self, replenisher: str, status: AcceptanceStatus | None, failure: FailureReason | None) -> None:
        """A request was answered with a status, or was not answered for a reason."""

    def replenishment_loaded(self, record: Replenishment) -> None:
        """A request that is open was found in the store."""

    def replenishment_changed(self, record: Replenishment, before: Replenishment | None) -> None:
        """A request was made, changed its state, or more of its money has arrived."""

    def not_requested(self, mode: str, status: ReserveStatus, reason: Inaction) -> None:
        """A check of a mode, or a manual request, led to no request."""


class UnansweredError(CallError):
    """A request was not answered.

    Attributes:
        lasting: Whether the same request will not be answered later either.
    """

    def __init__(self, error: CallError) -> None:
        super().__init__(error.reason, error.detail)
        self.lasting = not retryable(error)


class RefillCaller:
    """Calls replenishers, each under its deadline.

    Args:
        replenishers: By name.
        observers: Notified of every answer.
        epoch: Returns the epoch of this owner of the store; None while it is not the owner.
    """

    def __init__(
        self,
        replenishers: Mapping[str, Replenisher[Any]],
        observers: Iterable[ReplenishmentObserver],
        epoch: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._replenishers = {name: GuardedPlugin(replenisher) for name, replenisher in replenishers.items()}
        self._observers = tuple(observers)
        self._epoch = epoch
        self._left_alone_until: dict[str, float] = {}

    def over_api(self, name: str) -> bool:
        """Return whether strategies take a replenisher's requests from the API themselves."""
        guarded = self._replenishers.get(name)
        return guarded is not None and bool(getattr(guarded.plugin, "OVER_API", False))

    def leaves_alone(self, name: str) -> bool:
        """Return whether a replenisher asked for a wait that is not over. It applies to all modes."""
        return time.monotonic() < self._left_alone_until.get(name, 0.0)

    def polls(self, name: str) -> bool:
        """Return whether a replenisher can be asked for progress."""
        guarded = self._replenishers.get(name)
        return guarded is not None and getattr(type(guarded.plugin), "poll", None) is not Replenisher.poll

    async def request(self, name: str, request: ReplenishmentRequest) -> Acceptance:
        """Return the strategy's answer to a request.

        Raises:
            UnansweredError: If there is no answer.
        """
        bound = log.bind(mode=request.strategy_mode, replenisher=name, id=request.id)
        bound.info("replenishment.requested", amount=str(request.amount), urgency=str(request.urgency))
        guarded = self._replenishers[name]
        plugin: Any = guarded.plugin
        try:
            asked = request.model_copy(update={"epoch": self._epoch()})
            answer = await guarded.call(lambda: plugin.request(asked), request.id)
            acceptance = _checked(answer, Acceptance, "request")
        except CallError as error:
            bound.error("replenishment.failed", reason=str(error.reason), detail=error.detail)
            self._tell(name, None, error.reason)
            self._heed(name, error)
            raise UnansweredError(error) from None
        bound.info("replenishment.answered", status=str(acceptance.status), reference=acceptance.reference)
        self._tell(name, acceptance.status, None)
        return acceptance

    async def poll(self, name: str, request_id: str) -> Progress | None:
        """Return the progress of a request; None when the strategy does not know it, or does not answer."""
        guarded = self._replenishers[name]
        plugin: Any = guarded.plugin
        try:
            progress = await guarded.call(lambda: plugin.poll(request_id), request_id)
            return None if progress is None else _checked(progress, Progress, "poll")
        except CallError as error:
            log.debug("replenishment.not_polled", replenisher=name, id=request_id, reason=str(error.reason))
            self._heed(name, error)
            return None

    async def close(self) -> None:
        """Close the replenishers."""
        for guarded in self._replenishers.values():
            await guarded.close()

    def _heed(self, name: str, error: CallError) -> None:
        asked = error.retry_after_seconds if isinstance(error, DeliveryError) else None
        until = time.monotonic() + waited_out(asked)
        self._left_alone_until[name] = max(self._left_alone_until.get(name, 0.0), until)

    def _tell(self, name: str, status: AcceptanceStatus | None, failure: FailureReason | None) -> None:
        for observer in self._observers:
            observer.requested(name, status, failure)


def _checked(answer: object, wanted: type[AnswerT], method: str) -> AnswerT:
    if not isinstance(answer, wanted):
        raise CallError(
            FailureReason.INVALID_DATA, f"{method}() returned {type(answer).__name__}, not {wanted.__name__}"
        )
    return answer
