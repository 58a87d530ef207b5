"""What a refill decision is based on besides the snapshot: arrivals, queued withdrawals, other sharers."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from reservd.config.mode import ModeConfig
from reservd.monitor.observer import Checked
from reservd.reserve.amounts import ZERO, subtract
from reservd.reserve.models import AllocationMethod, ReserveStatus
from reservd.reserve.replenishment.arrival import count_from, is_counted, set_back
from reservd.reserve.replenishment.credits import see_arrivals
from reservd.reserve.replenishment.decision import spare_in_flight
from reservd.reserve.replenishment.states import Replenishment
from reservd.service.replenishment.book import RefillBook
from reservd.service.replenishment.commitments import Commitments, NoCommitments


class RefillGrounds:
    """Relates requests in flight to withdrawals and to modes that share accounts.

    Args:
        configs: By mode.
        book: The requests that still matter, and what has arrived for them.
        latest: The last check of each mode.
    """

    def __init__(self, configs: Mapping[str, ModeConfig], book: RefillBook, latest: Mapping[str, Checked]) -> None:
        self._configs = configs
        self._book = book
        self._latest = latest
        self._commitments: Commitments = NoCommitments()

    def heed(self, commitments: Commitments) -> None:
        """Take withdrawals into account from now on."""
        self._commitments = commitments
        commitments.count_from(self._oldest_baseline)

    def take_in(self, checked: Checked) -> None:
        """Count what a check shows to have arrived, before any decision is based on it."""
        self._commitments.believe(checked)
        if checked.step.actionable:
            self._see(checked)

    def counted(self, record: Replenishment, now: datetime) -> Replenishment:
        """Return a request with its baseline, the reading that arrivals are counted from; unchanged if there is none.

        Args:
            record: A request that has not been sent yet.
            now: The time by its own clock.
        """
        mode = record.request.strategy_mode
        if mode not in self._configs:
            return record
        latest = self._latest.get(mode)
        reading = self._commitments.believed(mode, latest.step.state.good if latest is not None else None)
        if reading is None:
            return record
        others = self._open_among(self._commitments.sharers(mode))
        return count_from(record, reading, self._commitments.accounts(mode), now, others)

    def counted_anew(self, record: Replenishment, now: datetime) -> Replenishment:
        """Return a request that awaited approval with a new baseline: earlier arrivals were asked of nobody."""
        after = self.counted(record.model_copy(update={"baseline": None}), now)
        return record if after.baseline is None else after

    def queued(self, mode: str) -> Decimal:
        """Return what withdrawals of a mode wait for, except what they are about to request themselves."""
        queued = self._commitments.queued(mode)
        for withdrawal_id, amount in self._commitments.due(mode).items():
            if self._book.find(withdrawal_id) is None:
                queued = subtract(queued, amount)
        return queued

    def history(self, config: ModeConfig, now: datetime) -> list[Replenishment]:
        """Return a mode's requests, dated by the current clock; those in a former currency are left out."""
        own = [each for each in self._book.of_mode(config.mode) if each.request.currency == config.share_class]
        return [self._book.times.dated(each, now) for each in own]

    def forget(self, mode: str) -> None:
        """Forget credits to requests of a mode from before arrivals began to count for any open request."""
        if self._book.has_credits(mode):
            self._book.forget_credits(mode, self._open_among(self._commitments.sharers(mode)))

    def unreadable(self, mode: str) -> bool:
        """Return whether a request for the money of a mode's accounts cannot be read."""
        unreadable = self._book.unreadable
        return bool(unreadable) and not unreadable.isdisjoint(self._commitments.sharers(mode))

    def find_needless(self, record: Replenishment) -> str | None:
        """Return why an open request is no longer needed; None when it still is."""
        config = self._configs.get(record.request.strategy_mode)
        if record.open and config is not None and config.share_class != record.request.currency:
            return f"the mode's share class is {config.share_class} now"
        if self._commitments.is_called_off(record):
            return "its withdrawal no longer waits for money"
        return None

    def spare(self, checked: Checked) -> Decimal:
        """Return what is in flight for modes that share a mode's accounts and of which it will get a part."""
        dedicated = self._configs[checked.mode].reserve_allocation is AllocationMethod.DEDICATED
        if checked.status is ReserveStatus.ADEQUATE or dedicated:
            return ZERO
        return spare_in_flight(
            (other, self._configs[mode].refill, self.queued(mode), self._book.outstanding(mode))
            for other in self._commitments.others(checked.mode)
            for mode in [other.strategy_mode]
        )

    def _see(self, checked: Checked) -> None:
        """Count arrivals for the requests of a mode and of all modes that share its accounts."""
        own, at = self._book.open(checked.mode), checked.snapshot.timestamp
        for record in own:
            self._book.put(set_back(record, max(self._book.times.own(record.id, at) - at, timedelta()), at))
        own = self._book.open(checked.mode)
        reading = self._commitments.reading(checked.snapshot) if own else None
        if reading is None:
            return
        mode, now, sharers = checked.mode, checked.snapshot.timestamp, self._commitments.sharers(checked.mode)
        accounts, awaited = self._commitments.accounts(mode), self._open_among(sharers)
        arrivals = see_arrivals(
            self._book.in_turn(record for record in awaited if is_counted(record, accounts)),
            reading,
            paid_since=lambda baseline: self._commitments.paid_between(mode, baseline, reading),
            ended_since=lambda record: self._book.ended_since(sharers, record),
            tolerance=lambda sharer: self._configs[sharer].refill.tolerance,
            now=now,
        )
        for record in arrivals:
            ended = {} if record.open else {"changed_at": self._book.times.own(record.id, now)}
            self._book.put(record.model_copy(update=ended))
        uncounted = [record for record in own if not is_counted(record, accounts)]
        others = self._open_among(sharers) if uncounted else []
        for record in uncounted:
            self._book.put(count_from(record, reading, accounts, self._book.times.own(record.id, now), others))

    def _open_among(self, modes: Iterable[str]) -> list[Replenishment]:
        return [record for mode in modes for record in self._book.open(mode)]

    def _oldest_baseline(self) -> datetime | None:
        """Return the time of the oldest baseline; None without one."""
        return min((each.baseline_at for each in self._book.open() if each.baseline_at is not None), default=None)
