"""The form of an explained check in the API and on the command line."""

from pydantic import AwareDatetime

from reservd.reserve.models import AllocationMethod, PlainDecimal, ReserveStatus
from reservd.wire.view import View


class BoundsView(View):
    """What is certain of an amount: it lies between the two. Null is no bound."""

    lower: PlainDecimal | None
    upper: PlainDecimal | None


class AccountView(View):
    """What one account held of one asset, and how much of it counted for the mode."""

    account: str
    """`source/account`."""
    asset: str
    amount: PlainDecimal | None
    """What could be paid out of it; null when it could not be told."""
    locked: PlainDecimal | None
    """There besides and not payable then; null when that could not be told."""
    note: str
    """Why less was payable than was there, in the words of its source."""
    held: PlainDecimal | None
    """Promised to accepted withdrawals, taken off the account before it was split; null when that could not be told."""
    part: PlainDecimal | None
    """What counted for the mode; null when it could not be told."""
    method: AllocationMethod | None
    """How it was split; null for an account of the mode's own."""
    observed_at: AwareDatetime | None
    """When the amount was true at its venue."""
    age_seconds: PlainDecimal | None
    block: int | None
    problem: str
    """Why something could not be told; empty when all could."""


class PriceView(View):
    """What one unit of `base` cost in `quote`."""

    base: str
    quote: str
    value: PlainDecimal
    observed_at: AwareDatetime
    age_seconds: PlainDecimal


class ComponentView(View):
    """One part of the equity, in its currency."""

    amount: PlainDecimal
    observed_at: AwareDatetime | None
    age_seconds: PlainDecimal | None
    price: PriceView | None
    """What it was converted with; null when it was not."""


class EquityView(View):
    """The equity, as its source told it."""

    source: str
    amount: PlainDecimal | None
    """What was read, believed or not; null when it could not be read."""
    observed_at: AwareDatetime | None
    age_seconds: PlainDecimal | None
    problem: str
    """Why it could not be read; empty when it could."""
    components: dict[str, ComponentView]


class ExplanationView(View):
    """What a check was made of, and why it said what it did. Ages are of its moment."""

    timestamp: AwareDatetime
    """When the check was made."""
    strategy_mode: str
    share_class: str
    status: ReserveStatus
    """What this check spoke for, without memory."""
    why: str
    """Why it did."""
    confirmed: ReserveStatus
    """What was confirmed after it; the event's `reason` says why."""
    good_at: AwareDatetime | None
    """The last check that was conclusive and not doubted, whose amounts the event carries."""
    reserve_balance: PlainDecimal | None
    bounds: BoundsView | None
    """What was certain of the balance, where it was not known."""
    held: PlainDecimal
    """Promised to accepted withdrawals, taken off the balance."""
    target_reserve: PlainDecimal | None
    reserve_ratio: PlainDecimal
    owed: PlainDecimal
    """Accepted withdrawals that the equity still showed, taken off it before the target."""
    reserve_utilization: PlainDecimal | None
    shortfall: PlainDecimal | None
    low_threshold: PlainDecimal | None
    critical_threshold: PlainDecimal | None
    low_below: PlainDecimal | None
    critical_below: PlainDecimal | None
    total_equity: PlainDecimal | None
    """The equity, where it was believed."""
    observed_at: AwareDatetime | None
    """When the oldest input was true."""
    equity: EquityView
    accounts: list[AccountView]
    missing: list[str]
    """What was missing and why, a line each."""
    version: str
    """Of the reservd that made the check."""
    configuration: str
    """A hash of all that was configured for the mode and its sources; secrets are not in it."""
