"""The API's form of modes. Amounts are decimal strings of whole units, times ISO 8601 in UTC."""

from pydantic import AwareDatetime

from reservd.reserve.models import PlainDecimal, ReserveStatus
from reservd.reserve.replenishment import Inaction
from reservd.wire.view import View


class IncidentView(View):
    """An incident that is open."""

    id: str
    severity: ReserveStatus
    """`low` or `critical`; stays while the status is unknown."""
    opened_at: AwareDatetime | None
    """Null if an older reservd opened it, which did not store this."""


class RunwayView(View):
    """How long a reserve lasts at the rate at which money leaves it."""

    low_seconds: float
    """Seconds until it is low; 0 when it is."""
    critical_seconds: float
    """Seconds until it is critical; 0 when it is."""


class InFlightView(View):
    """The requests for refills from which money may still come."""

    requests: int
    """The number of requests, those for withdrawals included."""
    awaiting_approval: int
    """How many of them await approval."""
    amount: PlainDecimal
    """The amount that they are still expected to bring."""


class ModeView(View):
    """The state of one mode's reserve. Amounts are of the last conclusive check, and null before one."""

    mode: str
    share_class: str
    """The currency; amounts are whole units of it."""
    status: ReserveStatus
    """The confirmed status."""
    incident: IncidentView | None
    reserve_balance: PlainDecimal | None
    """The amount that can be paid out now, less holds."""
    target_reserve: PlainDecimal | None
    utilization: PlainDecimal | None
    """Coverage of the target: 1 is at target. Null when the target is 0 or unknown."""
    shortfall: PlainDecimal | None
    """How much is missing to reach the target, never below 0."""
    total_equity: PlainDecimal | None
    held: PlainDecimal
    """Held for accepted withdrawals."""
    runway: RunwayView | None
    """Null while the reserve does not fall, or if it is unknown."""
    in_flight: InFlightView
    inaction: Inaction | None
    """Why no refill was requested at the last check; null when one was, or none was decided on."""
    observed_at: AwareDatetime | None
    """When the oldest input of these amounts was true at its source."""
    confirmed_at: AwareDatetime | None
    """The last conclusive check; null before one."""
    checked_at: AwareDatetime | None
    """The last check, conclusive or not."""
    missing: list[str]
    """What the last check could not read, one line each."""


class PolicyView(View):
    """The policy of a mode, from its configuration."""

    reserve_ratio: PlainDecimal
    low_threshold: PlainDecimal
    critical_threshold: PlainDecimal
    interval_seconds: float
    max_staleness_seconds: float
    replenisher: str | None
    requests_over_api: bool
    """Whether the mode's strategy takes requests for refills from this API; false if they are sent to it."""
    event_sinks: list[str]


class ModeDetail(ModeView):
    """The same, with the mode's policy."""

    policy: PolicyView


class ModePage(View):
    """Some modes, by name."""

    items: list[ModeView]
    next_cursor: str | None
    """The cursor of the next page; null on the last."""
