"""Sends requests to strategies until they are received, and then follows them."""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from reservd.config.mode import ModeConfig
from reservd.errors import ReplenishmentStateError, StoreError
from reservd.reserve.replenishment import (
    Acceptance,
    AcceptanceStatus,
    Inaction,
    Progress,
    ProgressStatus,
    ReplenishmentOutcome,
)
from reservd.reserve.replenishment.decision import find_stood_in_for, find_unasked
from reservd.reserve.replenishment.states import (
    Replenishment,
    ReplenishmentState,
)
from reservd.service.replenishment.book import RefillBook
from reservd.service.replenishment.caller import RefillCaller, UnansweredError
from reservd.service.replenishment.transitions import RefillTransitions

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 1.0
_REPEAT_AFTER_SECONDS = 30.0
"""How long to wait before an unanswered request is sent again, and between two polls."""

_STATES = {
    ProgressStatus.ACCEPTED: ReplenishmentState.ACCEPTED,
    ProgressStatus.IN_PROGRESS: ReplenishmentState.IN_PROGRESS,
    ProgressStatus.SETTLED: ReplenishmentState.SETTLED,
    ProgressStatus.REJECTED: ReplenishmentState.REJECTED,
    ProgressStatus.FAILED: ReplenishmentState.FAILED,
}


class RefillAsker:
    """Sends each request under its id, never twice at the same time, and never before it is stored.

    Args:
        configs: By mode.
        book: The requests that still matter.
        transitions: Records the strategies' answers.
        caller: Calls the replenishers.
        may_act: Returns whether refills may be requested.
    """

    def __init__(
        self,
        configs: Mapping[str, ModeConfig],
        book: RefillBook,
        transitions: RefillTransitions,
        caller: RefillCaller,
        may_act: Callable[[], bool],
    ) -> None:
        self._configs = configs
        self._book = book
        self._transitions = transitions
        self._caller = caller
        self._may_act = may_act
        self._asking: dict[str, asyncio.Task[ReplenishmentOutcome]] = {}
        self._next: dict[str, float] = {}

    def ask(self, record: Replenishment) -> "asyncio.Future[ReplenishmentOutcome]":
        """Send a request to its strategy in the background. A caller that waits for the answer may stop waiting."""
        task = self._asking.get(record.id)
        if task is None:
            task = self._asking[record.id] = asyncio.create_task(self._ask(record.id))
            task.add_done_callback(lambda _: self._asking.pop(record.id, None))
        return asyncio.shield(task)

    async def idle(self) -> None:
        """Wait until no request is being sent."""
        while self._asking:
            await asyncio.wait(list(self._asking.values()))

    async def follow(self, now: float) -> None:
        """Send again the requests of operators and withdrawals that no strategy has received, and poll the others.

        Args:
            now: Monotonic seconds.
        """
        open_records = self._book.open()
        is_open = {record.id for record in open_records}
        self._next = {each: due for each, due in self._next.items() if each in is_open}
        unasked = {record.id for record in find_unasked(open_records)}
        polled: list[Replenishment] = []
        for record in open_records:
            if record.id not in self._next:
                waited = (self._book.times.now(record.id) - record.request.requested_at).total_seconds()
                self._next[record.id] = now + _REPEAT_AFTER_SECONDS - waited
            if now < self._next[record.id]:
                continue
            self._next[record.id] = now + _REPEAT_AFTER_SECONDS
            if record.id in unasked and (record.asked_by or record.approved_by):
                self.ask(record)
            elif record.heard:
                polled.append(record)
        await asyncio.gather(*map(self._poll, polled))

    def is_asking(self, replenishment_id: str) -> bool:
        """Return whether a request is being sent, so that its answer is not known yet."""
        return replenishment_id in self._asking

    def is_stood_in_for(self, record: Replenishment) -> bool:
        """Return whether the strategy has, or will get, another request that replaces this one."""
        own = record.request.withdrawal_id is None
        return own and record.id in find_stood_in_for(self._book.open(record.request.strategy_mode))

    def in_dry_run(self, record: Replenishment) -> bool:
        """Return whether its mode is in a dry run by the current configuration, which may be newer than the request."""
        config = self._configs.get(record.request.strategy_mode)
        return config is not None and config.refill.dry_run

    async def close(self) -> None:
        """Wait briefly for requests that are being sent, and cancel the rest."""
        tasks = list(self._asking.values())
        if tasks:
            # A request that was received without an answer is sent again after the next start, under its id.
            await asyncio.wait(tasks, timeout=_DRAIN_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, replenishment_id: str) -> ReplenishmentOutcome:
        try:
            await self._book.written(replenishment_id)
        except StoreError as error:
            log.warning("replenishment.not_stored", id=replenishment_id, error=str(error))
            return ReplenishmentOutcome(self._book.get(replenishment_id).request, None, Inaction.STORE_GONE)
        record = self._book.get(replenishment_id)
        replenisher = self._replenisher(record)
        hindrance = self._hindrance(record)
        if hindrance is not None or replenisher is None:
            return ReplenishmentOutcome(record.request, record.acceptance, hindrance or Inaction.NO_REPLENISHER)
        try:
            acceptance = await self._caller.request(replenisher, record.request)
        except UnansweredError as error:
            if not error.lasting:
                return ReplenishmentOutcome(record.request, None, str(error))
            acceptance = None
            self._transitions.end(replenishment_id, ReplenishmentState.FAILED, str(error))
        if acceptance is not None:
            self._answered(replenishment_id, acceptance)
        after = self._book.get(replenishment_id)
        return ReplenishmentOutcome(record.request, after.acceptance, "" if after.open else after.detail)

    def _hindrance(self, record: Replenishment) -> str | None:
        """Return why a request must not be sent now; None when it may be."""
        if not record.to_be_asked:
            return str(Inaction.AWAITING_APPROVAL) if record.held_back else record.detail
        if not self._may_act():
            return Inaction.STORE_GONE
        if self.in_dry_run(record):
            return Inaction.DRY_RUN
        replenisher = self._replenisher(record)
        if replenisher is not None and self._caller.leaves_alone(replenisher):
            return f"replenisher '{replenisher}' asked for a pause"
        return Inaction.IN_FLIGHT if self.is_stood_in_for(record) else None

    def _answered(self, replenishment_id: str, acceptance: Acceptance) -> None:
        record = self._book.get(replenishment_id)
        told = {
            "reason": acceptance.reason,
            "reference": acceptance.reference,
            "expected_by": acceptance.expected_by,
        }
        try:
            if acceptance.status is AcceptanceStatus.PENDING and record.state is ReplenishmentState.REQUESTED:
                self._transitions.hear(record, acceptance.expected_by)
            elif acceptance.status is AcceptanceStatus.ACCEPTED:
                self._transitions.take(record, ReplenishmentState.ACCEPTED, **told)
            elif acceptance.status is AcceptanceStatus.REJECTED:
                self._transitions.take(record, ReplenishmentState.REJECTED, **told)
        except ReplenishmentStateError as error:
            # It came after the deadline, or contradicts an earlier answer.
            log.warning("replenishment.late_answer", id=record.id, status=str(acceptance.status), why=str(error))

    async def _poll(self, record: Replenishment) -> None:
        replenisher = self._replenisher(record)
        if replenisher is None or not self._caller.polls(replenisher) or self._caller.leaves_alone(replenisher):
            return
        progress: Progress | None = await self._caller.poll(replenisher, record.id)
        now = self._book.find(record.id)
        if progress is None or now is None or not now.open:
            return
        told = {"reason": progress.reason, "reference": progress.reference, "expected_by": progress.expected_by}
        state = _STATES[progress.status]
        if state is ReplenishmentState.REJECTED and now.state is not ReplenishmentState.REQUESTED:
            state = ReplenishmentState.FAILED  # it was accepted before
        try:
            self._transitions.take(now, state, **told)
        except ReplenishmentStateError as error:
            log.warning("replenishment.progress_refused", id=record.id, why=str(error))

    def _replenisher(self, record: Replenishment) -> str | None:
        """Return the name of the replenisher; None if the current configuration has none."""
        config = self._configs.get(record.request.strategy_mode)
        return config.reserve_replenisher if config is not None else None
