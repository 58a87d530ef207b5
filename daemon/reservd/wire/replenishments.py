"""The API's form of requests for refills; each is a `Replenishment` of the domain."""

from pydantic import AwareDatetime

from reservd.reserve.models import PlainDecimal
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from reservd.wire.view import View


class ReplenishmentPage(View):
    """Some requests for refills, newest first."""

    items: list[Replenishment]
    next_cursor: str | None
    """The cursor of the next page; null on the last."""


class ReplenishmentChangeView(View):
    """One change of a request for a refill."""

    state: ReplenishmentState
    """The state after the change, which may be an approval without a new state."""
    at: AwareDatetime
    by: str
    """Who changed it: `strategy`, an operator's name, or empty for reservd."""
    detail: str
    """The reason for people, in one line."""
    arrived: PlainDecimal
    """The amount that the reserve had shown by then."""


class ReplenishmentDetail(Replenishment):
    """A request for a refill, and its changes."""

    changes: list[ReplenishmentChangeView] | None = None
    """In order; null while the store does not answer."""
