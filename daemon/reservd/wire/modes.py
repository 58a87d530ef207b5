"""What the API tells of modes. Amounts are decimal strings of whole units, times ISO 8601 in UTC."""

from pydantic import AwareDatetime

from reservd.reserve.models import PlainDecimal, ReserveStatus
from reservd.wire.view import View


class IncidentView(View):
    """An incident that is open."""

    id: str
    severity: ReserveStatus
    """`low` or `critical`; stays while the status is unknown."""


class ModeView(View):
    """How one mode's reserve stands. Amounts are of the last conclusive check, and null before one."""

    mode: str
    share_class: str
    """The currency; amounts are whole units of it."""
    status: ReserveStatus
    """The confirmed one."""
    incident: IncidentView | None
    reserve_balance: PlainDecimal | None
    """What can be paid out now, holds taken off."""
    target_reserve: PlainDecimal | None
    utilization: PlainDecimal | None
    """Coverage of the target: 1 is at target. Null when the target is 0 or unknown."""
    shortfall: PlainDecimal | None
    """What lacks to the target, never below 0."""
    total_equity: PlainDecimal | None
    held: PlainDecimal
    """Promised to accepted withdrawals."""
    observed_at: AwareDatetime | None
    """When the oldest input of these amounts was true at its source."""
    confirmed_at: AwareDatetime | None
    """The last conclusive check; null before one."""
    checked_at: AwareDatetime | None
    """The last check, conclusive or not."""
    missing: list[str]
    """What the last check could not read, a line each."""


class PolicyView(View):
    """What a mode's owner decided."""

    reserve_ratio: PlainDecimal
    low_threshold: PlainDecimal
    critical_threshold: PlainDecimal
    interval_seconds: float
    max_staleness_seconds: float
    replenisher: str | None
    requests_over_api: bool
    """Whether the mode's strategy takes requests for refills from this API; false where they are handed to it."""
    event_sinks: list[str]


class ModeDetail(ModeView):
    """The same, with the mode's policy."""

    policy: PolicyView


class ModePage(View):
    """Some modes, by name."""

    items: list[ModeView]
    next_cursor: str | None
    """For the next page; null on the last."""
