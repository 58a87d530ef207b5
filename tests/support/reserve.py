"""A watched mode without sources or clocks, for the tests of the domain."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

from reservd.reserve.amounts import ZERO
from reservd.reserve.equity import believe_equity
from reservd.reserve.kept import keep, recall
from reservd.reserve.models import ReserveEvent, ReserveSnapshot, ReserveStatus, Share
from reservd.reserve.policy import Missing, ReservePolicy, is_current
from reservd.reserve.readings import Balance, Component, Equity
from reservd.reserve.snapshot import take_snapshot
from reservd.reserve.tracker import Instant, Step, TrackerState, advance
from reservd.store.encoding import encode
from reservd.store.states import decode_state

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NOT_READ = Missing("bank/spot: timeout", non_negative=True)
DEBT_NOT_READ = Missing("margin/main: timeout", non_negative=False)


def make_policy(**changes: object) -> ReservePolicy:
    """Return a policy whose target is a tenth of the equity: 100 USDT for the 1,000 that tests use."""
    settings: dict[str, object] = {"mode": "lending", "share_class": "USDT", "ratio": Decimal("0.1"), **changes}
    return ReservePolicy(**settings)  # type: ignore[arg-type]


def make_balance(amount: object, *, at: datetime = NOON, account: str = "main") -> Balance:
    return Balance(account, "USDT", Decimal(str(amount)), at)


def make_equity(amount: object, *, at: datetime = NOON, **changes: object) -> Equity:
    return Equity(Decimal(str(amount)), "USDT", at, **changes)  # type: ignore[arg-type]


def find(
    policy: ReservePolicy,
    equity: Equity | Missing | None,
    balances: Sequence[Balance],
    missing: Sequence[Missing] = (),
    *,
    now: datetime = NOON,
    held: Decimal = ZERO,
    owed: Decimal = ZERO,
    share: Share | None = None,
) -> ReserveSnapshot:
    """Return the result of a check with these readings."""
    believed = believe_equity(equity, policy, now)
    return take_snapshot(policy, believed, balances, missing, now=now, held=held, owed=owed, share=share)


def make_snapshot(
    policy: ReservePolicy, *amounts: object, equity: object = 1000, missing: Sequence[Missing] = (), held: object = 0
) -> ReserveSnapshot:
    """Return the snapshot of a check at noon; an equity of None could not be read."""
    return find(
        policy,
        make_equity(equity) if equity is not None else Missing("nav: timeout"),
        [make_balance(amount) for amount in amounts],
        missing,
        held=Decimal(str(held)),
    )


# Within a jump of each other, so that each is believed without confirmation.
AMOUNT = {ReserveStatus.ADEQUATE: 110, ReserveStatus.LOW: 74, ReserveStatus.CRITICAL: 49}


class Watched:
    """A mode that is checked repeatedly, by default every 30 seconds.

    Attributes:
        events: All events so far.
        step: The result of the last check.
        seconds: The monotonic clock at the last check.
    """

    def __init__(self, **policy: object) -> None:
        self.policy = make_policy(**policy)
        self.state = TrackerState(good_at=0.0)
        self.events: list[ReserveEvent] = []
        self.step: Step | None = None
        self.seconds = 0.0
        self._ids = count(1)

    def look(
        self,
        *amounts: object,
        equity: object = 1000,
        missing: Sequence[Missing] = (),
        after: float = 30,
        age: float = 0,
        equity_age: float = 0,
        **changes: object,
    ) -> ReserveEvent | None:
        """Check once and return the event, if any.

        Args:
            amounts: The accounts' balances.
            equity: None if it could not be read.
            missing: What else could not be read.
            after: Seconds since the last check.
            age: The age of the balances, in seconds. A balance that is too old counts as missing.
            equity_age: The age of the equity.
            changes: Other fields of the equity.
        """
        self.seconds += after
        now = NOON + timedelta(seconds=self.seconds)
        observed_at = now - timedelta(seconds=age)
        balances = [make_balance(amount, at=observed_at, account=f"a{i}") for i, amount in enumerate(amounts)]
        if not is_current(observed_at, now, self.policy):
            missing = [*missing, *(Missing(f"bank/{balance.account}: too old", True) for balance in balances)]
            balances = []
        read = None if equity is None else make_equity(equity, at=now - timedelta(seconds=equity_age), **changes)
        snapshot = find(self.policy, read or Missing("nav: timeout"), balances, missing, now=now)
        self.step = advance(self.state, snapshot, self.policy, Instant(now, self.seconds), self._new_id)
        self.state = self.step.state
        if self.step.event is not None:
            self.events.append(self.step.event)
        return self.step.event

    def look_at_parts(self, amount: object, *, after: float = 30, **parts: tuple[int, float]) -> ReserveEvent | None:
        """Check once with an equity of these parts; each is its amount and its age in seconds."""
        now = NOON + timedelta(seconds=self.seconds + after)
        made_of = {
            name: Component(Decimal(worth), now - timedelta(seconds=age)) for name, (worth, age) in parts.items()
        }
        total, age = sum(part.amount for part in made_of.values()), max(age for _, age in parts.values())
        return self.look(amount, after=after, equity=total, equity_age=age, components=made_of)

    def fail(self, *, after: float = 30) -> ReserveEvent | None:
        """Check once while neither a balance nor the equity can be read."""
        return self.look(equity=None, missing=[NOT_READ], after=after)

    def restart(self, *, down: float = 0) -> None:
        """Restart with the stored state.

        Args:
            down: Seconds by which the wall clock moved meanwhile; below 0 if it was set back.
        """
        kept = decode_state(encode(keep(self.state, Instant(NOON, self.seconds))))
        self.state = recall(kept, self.policy, Instant(NOON + timedelta(seconds=down), self.seconds))

    @property
    def status(self) -> ReserveStatus | None:
        """The confirmed status."""
        return self.state.confirmed

    @property
    def said(self) -> list[str]:
        """The kinds of all events, without `reserve_`; reminders in brackets."""
        names = [event.event_type.removeprefix("reserve_") for event in self.events]
        return [f"({name})" if event.reminder else name for name, event in zip(names, self.events, strict=True)]

    def _new_id(self) -> str:
        return f"id-{next(self._ids)}"


def reach(status: ReserveStatus, **policy: object) -> Watched:
    """Return a mode that was brought to a status without a jump."""
    mode = Watched(**policy)
    for step, amount in AMOUNT.items():
        if step.severity <= status.severity:
            mode.look(amount)
    assert mode.status is status
    return mode


def lose(mode: Watched) -> None:
    """Let all readings fail until the status is UNKNOWN."""
    while mode.status is not ReserveStatus.UNKNOWN:
        mode.fail()
