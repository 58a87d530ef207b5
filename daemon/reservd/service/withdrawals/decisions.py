"""Decides withdrawals, each on the book of holds as the previous decision left it."""

import uuid
from datetime import datetime, timedelta
from decimal import Decimal

from reservd.config.mode import ModeConfig
from reservd.errors import WithdrawalConflictError
from reservd.monitor.clock import Clock
from reservd.monitor.manager import ReserveManager
from reservd.reserve.holds import expect, hash_request, hold_for
from reservd.reserve.holds.book import HoldBook
from reservd.reserve.models import ReserveStatus
from reservd.reserve.withdrawal import Ground, Refusal, check_limits, decide_withdrawal
from reservd.service.withdrawals.answers import WithdrawalDecision, WithdrawalQuote
from reservd.service.withdrawals.desk import HoldDesk
from reservd.service.withdrawals.ground import find_ground
from reservd.store.history import KeptSnapshot


class WithdrawalDecider:
    """Applies the rules to the monitor's snapshots. No method waits.

    Args:
        reserve_manager: Watches the modes.
        desk: Keeps the holds.
        clock: The clock.
    """

    def __init__(self, reserve_manager: ReserveManager, desk: HoldDesk, clock: Clock) -> None:
        self._reserve_manager = reserve_manager
        self._desk = desk
        self._clock = clock

    def ground(self, config: ModeConfig, *, may_promise: bool) -> Ground:
        """Return the ground for decisions about a mode now; UNKNOWN when nothing can be promised."""
        if not may_promise:
            return Ground(ReserveStatus.UNKNOWN)
        return self._find_ground(config, self._desk.book)

    def quote(self, config: ModeConfig, amount: Decimal, *, may_promise: bool) -> WithdrawalQuote:
        """Return how a withdrawal would be decided."""
        now, book, ground = self._clock.now().wall, self._desk.book, self.ground(config, may_promise=may_promise)
        terms = decide_withdrawal(amount, ground, config.withdrawal)
        expires_at = now + timedelta(seconds=config.interval_seconds)
        if ground.snapshot_at is not None and ground.status is not ReserveStatus.UNKNOWN:
            expires_at = min(expires_at, ground.snapshot_at + config.policy.max_staleness)
        return WithdrawalQuote(
            config.mode,
            amount,
            config.share_class,
            *terms,
            status=ground.status,
            expected_at=expect(terms, config.withdrawal, self._last_expected(book, config.mode), now),
            expires_at=expires_at,
            refusal=self._over_limit(book, config, amount) if may_promise else Refusal.STORE_GONE,
        )

    def decide(self, config: ModeConfig, amount: Decimal, key: str, book: HoldBook) -> WithdrawalDecision:
        """Decide a withdrawal and add its hold to the book.

        Raises:
            WithdrawalConflictError: If the key was used for another amount.
        """
        mode = config.mode
        known = book.find_key(mode, key)
        if known is not None:
            if known.request_hash != hash_request(mode, amount):
                raise WithdrawalConflictError(
                    f"key '{key}' of mode '{mode}' belongs to a withdrawal of {known.amount}, got {amount}"
                )
            return WithdrawalDecision.of(known, repeated=True)
        now = self._clock.now().wall
        refusal = self._over_limit(book, config, amount)
        if refusal is not None:
            return WithdrawalDecision.refused(mode, amount, config.share_class, refusal)
        ground = self._find_ground(config, book)
        terms = decide_withdrawal(amount, ground, config.withdrawal)
        group = self._reserve_manager.account_group(mode)
        hold = hold_for(
            str(uuid.uuid4()),
            book.last_position + 1,
            mode,
            group,
            config.share_class,
            terms,
            config.withdrawal,
            key=key,
            expected_at=expect(terms, config.withdrawal, self._last_expected(book, mode), now),
            snapshot_at=ground.snapshot_at,
            now=now,
        )
        book.rest_on(group, self._reserve_manager.believed_reading(mode))
        book.put(hold, accepted_at=self._desk.steady.now())
        snapshot = self._reserve_manager.latest_snapshot(mode)
        if snapshot is not None:
            self._desk.keep_snapshot(KeptSnapshot(self._reserve_manager.status(mode), snapshot))
        self._reserve_manager.look_again(mode)
        return WithdrawalDecision.of(hold)

    def _find_ground(self, config: ModeConfig, book: HoldBook) -> Ground:
        """Return the ground for a decision; UNKNOWN, too, while a withdrawal counted for the limit is unreadable."""
        ground = find_ground(self._reserve_manager, config, book, self._clock.now())
        if book.totals.is_accepted_in_doubt(config.mode, self._desk.steady.now() - config.withdrawal.period):
            return Ground(ReserveStatus.UNKNOWN, snapshot_at=ground.snapshot_at)
        return ground

    def _over_limit(self, book: HoldBook, config: ModeConfig, amount: Decimal) -> Refusal | None:
        policy = config.withdrawal
        accepted = book.totals.accepted_since(config.mode, self._desk.steady.now() - policy.period)
        return check_limits(amount, accepted, policy)

    def _last_expected(self, book: HoldBook, mode: str) -> datetime | None:
        last = book.totals.last_waiting(self._reserve_manager.account_group(mode))
        return last.expected_at if last is not None else None
