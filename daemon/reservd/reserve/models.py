"""The domain's core types: status, snapshot, event."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from reservd.reserve.amounts import ZERO, check_amount, subtract


class ReserveStatus(StrEnum):
    """The status of a reserve, compared with its target."""

    ADEQUATE = "adequate"
    LOW = "low"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    """Not certain. Never a reason to refill, always a reason to pay slowly."""

    @property
    def severity(self) -> int:
        """0 for adequate, 1 for low, 2 for critical.

        Raises:
            KeyError: For UNKNOWN, which is neither better nor worse.
        """
        return _SEVERITY[self]


# In Python 3.11 a member lookup on its class takes 0.1 µs, and one check makes a dozen.
ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus

_SEVERITY = {ADEQUATE: 0, LOW: 1, CRITICAL: 2}


class EventType(StrEnum):
    """The kinds of reserve events."""

    LOW = "reserve_low"
    CRITICAL = "reserve_critical"
    ADEQUATE = "reserve_adequate"
    UNKNOWN = "reserve_unknown"
    RUNWAY_LOW = "reserve_runway_low"
    """An early warning while the reserve is adequate. It opens and closes no incident."""

    @property
    def status(self) -> ReserveStatus:
        """The confirmed status of the mode when it is raised."""
        return ADEQUATE if self is EventType.RUNWAY_LOW else ReserveStatus[self.name]

    @classmethod
    def of(cls, status: ReserveStatus) -> "EventType":
        """Return the event that announces `status`."""
        return cls[status.name]


class Bounds(NamedTuple):
    """The lower and upper bound of an amount, both included. None is unbounded."""

    lower: Decimal | None
    upper: Decimal | None


class AllocationMethod(StrEnum):
    """How an account that several modes share is split."""

    PRO_RATA = "pro_rata"
    """By what each still lacks after its own accounts."""
    PRIORITY = "priority"
    """In order, each up to its target."""
    DEDICATED = "dedicated"
    """As configured: a fixed amount or a fixed part to each."""


class Observation(NamedTuple):
    """When a reading was true at its source.

    Attributes:
        observed_at: The time.
        block: The block, where there are blocks.
    """

    observed_at: datetime
    block: int | None = None

    def follows(self, before: "Observation") -> bool:
        """Return whether it is later than another, and not a repetition of it."""
        if self.block is not None and before.block is not None:
            return self.block > before.block
        return self.observed_at > before.observed_at


class AccountPart(NamedTuple):
    """What one account holds of one asset, and how much of it counts for a mode.

    Attributes:
        account: Its name for people: `source/account`.
        asset: The asset.
        amount: The whole amount, in whole units; None when it is unknown.
        held: The part held for accepted withdrawals, taken off the account before it is split; None when that depends
            on an earlier account that could not be read.
        part: The part that counts for the mode; None when it is unknown.
        method: How it is split; None for an account of the mode's own.
        observed_at: When the amount was true at its venue.
        block: The block it was read at, where there are blocks.
        problem: Why an amount is unknown; empty when all are known.
        locked: The additional amount that is not payable now; None when it is unknown.
        note: Why less is payable than is there, in the words of its source.
    """

    account: str
    asset: str
    amount: Decimal | None
    held: Decimal | None = ZERO
    part: Decimal | None = None
    method: AllocationMethod | None = None
    observed_at: datetime | None = None
    block: int | None = None
    problem: str = ""
    locked: Decimal | None = None
    note: str = ""


class Share(NamedTuple):
    """What counts for a mode that shares accounts.

    Attributes:
        balance: Bounds on its own accounts and its parts of the shared ones, holds taken off; equal when it is certain.
        accounts: The accounts behind it.
        held: What is held for accepted withdrawals of all modes in the group, out of the accounts that they share.
    """

    balance: Bounds
    accounts: tuple[AccountPart, ...]
    held: Decimal = ZERO


class EquityParts(NamedTuple):
    """The parts of an equity, such as accounts, positions and debts.

    Attributes:
        names: Their names, in order.
        amounts: The amount of each; a debt is negative.
        seen: The observation of each, prices included.
        gone: The names of those that are 0, in order.
    """

    names: tuple[str, ...]
    amounts: tuple[Decimal, ...]
    seen: tuple[Observation, ...]
    gone: tuple[str, ...]


class ReserveSnapshot(NamedTuple):
    """The result of one check of one mode.

    Attributes:
        timestamp: When the check was made, aware UTC.
        strategy_mode: The mode.
        share_class: The share-class currency; all amounts are whole units of it.
        total_equity: None when it is unknown, or was negative.
        reserve_balance: Payable now, holds taken off; None when it is unknown.
        reserve_ratio: The target as a part of equity, 0 to 1.
        target_reserve: `reserve_ratio` of the equity less accepted unpaid withdrawals; None without equity.
        status: The status of this reading alone, without earlier ones. The confirmed status is the tracker's.
        reserve_utilization: Coverage of the target: 1 is at target. None when the target is 0 or unknown.
        observed_at: When the oldest input was true at its source; None when nothing was read.
        bounds: Bounds on the balance when not all accounts were read, or the mode's part of them is uncertain.
        missing: What could not be read, one line each.
        held: What is held for accepted withdrawals of all modes that share its accounts; already taken off the balance.
        parts: The balance of each account, in order, when all were read.
        accounts: For shared accounts: the balance of each, and how much of it counts.
        equity_seen: When the equity was observed; None when it could not be read.
        seen: The observation of each account that was read, in order.
        equity_parts: The parts of the equity; None when its source reports none, or it is unknown.
    """

    timestamp: datetime
    strategy_mode: str
    share_class: str
    total_equity: Decimal | None
    reserve_balance: Decimal | None
    reserve_ratio: Decimal
    target_reserve: Decimal | None
    status: ReserveStatus
    reserve_utilization: Decimal | None
    observed_at: datetime | None = None
    bounds: Bounds | None = None
    missing: tuple[str, ...] = ()
    held: Decimal = ZERO
    parts: tuple[Decimal, ...] = ()
    accounts: tuple[AccountPart, ...] = ()
    equity_seen: Observation | None = None
    seen: tuple[Observation, ...] = ()
    equity_parts: EquityParts | None = None

    @property
    def input_age(self) -> float:
        """The age of the oldest input in seconds, never below 0: a clock that is ahead makes nothing newer."""
        if self.observed_at is None:
            return 0.0
        age = (self.timestamp - self.observed_at).total_seconds()
        return age if age > 0 else 0.0

    @property
    def shortfall(self) -> Decimal | None:
        """The amount missing to the target, never below 0; None when it is unknown."""
        if self.target_reserve is None or self.reserve_balance is None:
            return None
        return max(ZERO, subtract(self.target_reserve, self.reserve_balance))


def _plain(value: Decimal) -> str:
    return format(value, "f")


_PLAIN_SCHEMA = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}

PlainDecimal = Annotated[
    Decimal,
    PlainSerializer(_plain, return_type=str, when_used="json"),
    WithJsonSchema(_PLAIN_SCHEMA, mode="serialization"),
]
"""A finite number; in JSON a string without an exponent. For results computed from checked amounts."""

Amount = Annotated[PlainDecimal, AfterValidator(check_amount)]
"""The same, refused when absurdly large: for amounts from outside."""


class ReserveEvent(BaseModel):
    """A change of a mode's confirmed status, or a reminder of it.

    Amounts are those of the last conclusive check, in whole units of `currency`; in JSON they are decimal
    strings without an exponent. They are null if no check has been conclusive yet.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    event_type: EventType
    """The status that it reports, or an early warning."""
    strategy_mode: str
    """The mode."""
    timestamp: AwareDatetime
    """When the event was created."""
    reserve_balance: PlainDecimal | None
    """The balance that can be paid out now."""
    target_reserve: PlainDecimal | None
    """The target of the reserve."""
    utilization: PlainDecimal | None
    """Coverage of the target, rounded down: 1 is at target. Null when the target is 0 or unknown."""
    id: str = ""
    """The same on every delivery of this event."""
    sequence: int = Field(default=0, ge=0)
    """Counts the events of this mode."""
    incident_id: str | None = None
    """The same from the first low or critical status until the recovery; null if no incident is open."""
    status: ReserveStatus | None = None
    """The confirmed status."""
    previous_status: ReserveStatus | None = None
    """The previous confirmed status; null in the first event."""
    currency: str = ""
    """The share-class currency. All amounts are whole units of it."""
    total_equity: PlainDecimal | None = None
    """The equity from which the target is computed."""
    shortfall: PlainDecimal | None = None
    """How far the reserve is below its target; never below 0."""
    observed_at: AwareDatetime | None = None
    """When the oldest input of the numbers was true at its source; null if there are no numbers."""
    reason: str = ""
    """Why the mode has this status, in one line for people."""
    reminder: bool = False
    """Whether this only repeats an earlier event; nobody should act on a reminder."""
    superseded: bool = False
    """Whether a later status is known; determined each time the event is sent."""

    @property
    def is_change(self) -> bool:
        """Whether its status differs from the one before: it is neither a reminder nor an early warning."""
        return not self.reminder and self.event_type is not EventType.RUNWAY_LOW
