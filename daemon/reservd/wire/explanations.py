"""The form of an explained check in the API and on the command line."""

from pydantic import AwareDatetime

from reservd.reserve.models import AllocationMethod, PlainDecimal, ReserveStatus
from reservd.wire.view import View


class BoundsView(View):
    """The bounds of an amount that is not known exactly. Null is no bound."""

    lower: PlainDecimal | None
    upper: PlainDecimal | None


class AccountView(View):
    """The balance of one asset in one account, and how much of it counted for the mode."""

    account: str
    """`source/account`."""
    asset: str
    amount: PlainDecimal | None
    """The amount that could be paid out of it; null when unknown."""
    locked: PlainDecimal | None
    """The amount that exists but could not be paid out then; null when unknown."""
    note: str
    """Why less could be paid out than exists, in the words of its source."""
    held: PlainDecimal | None
    """Held for accepted withdrawals, subtracted from the account before it was split; null when unknown."""
    part: PlainDecimal | None
    """The amount that counted for the mode; null when unknown."""
    method: AllocationMethod | None
    """How it was split; null for an account that is not shared."""
    observed_at: AwareDatetime | None
    """When the amount was true at its venue."""
    age_seconds: PlainDecimal | None
    block: int | None
    problem: str
    """Why something is unknown; empty when nothing is."""


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
    """The price that converted it; null when it was not converted."""


class EquityView(View):
    """The equity, as its source reported it."""

    source: str
    amount: PlainDecimal | None
    """The amount that was read, believed or not; null when it could not be read."""
    observed_at: AwareDatetime | None
    age_seconds: PlainDecimal | None
    problem: str
    """Why it could not be read; empty when it could."""
    components: dict[str, ComponentView]


class ExplanationView(View):
    """The inputs of a check, and the reasons for its result. Ages are those at the time of the check."""

    timestamp: AwareDatetime
    """When the check was made."""
    strategy_mode: str
    share_class: str
    status: ReserveStatus
    """The status by this check alone, without memory."""
    why: str
    """The reason for that status."""
    confirmed: ReserveStatus
    """The confirmed status after it; the event's `reason` explains it."""
    good_at: AwareDatetime | None
    """The last check that was conclusive and not doubted, whose amounts the event carries."""
    reserve_balance: PlainDecimal | None
    bounds: BoundsView | None
    """The certain bounds of the balance, if it was not known."""
    held: PlainDecimal
    """Held for accepted withdrawals, subtracted from the balance."""
    target_reserve: PlainDecimal | None
    reserve_ratio: PlainDecimal
    owed: PlainDecimal
    """Accepted withdrawals that the equity still included, subtracted from it before the target."""
    reserve_utilization: PlainDecimal | None
    shortfall: PlainDecimal | None
    low_threshold: PlainDecimal | None
    critical_threshold: PlainDecimal | None
    low_below: PlainDecimal | None
    critical_below: PlainDecimal | None
    total_equity: PlainDecimal | None
    """The equity, if it was believed."""
    observed_at: AwareDatetime | None
    """When the oldest input was true."""
    equity: EquityView
    accounts: list[AccountView]
    missing: list[str]
    """What was missing and why, one line each."""
    version: str
    """The version of the reservd that made the check."""
    configuration: str
    """A hash of the configuration of the mode and its sources, without secrets."""
