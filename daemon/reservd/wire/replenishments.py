"""The API's form of requests for refills; each is a `Replenishment` of the domain."""

from pydantic import AwareDatetime

from reservd.reserve.models import PlainDecimal
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from reservd.wire.view import View


class ReplenishmentPage(View):
    """Some requests for refills, newest first."""

    items: list[Replenishment]
    next_cursor: str | None
    """For the next page; null on the last."""


class ReplenishmentChangeView(View):
    """One change of a request for a refill."""

    state: ReplenishmentState
    """Where it went, or stayed while it was approved."""
    at: AwareDatetime
    by: str
    """Who brought it there: `strategy`, an operator's name, or empty for reservd."""
    detail: str
    """Why, in one line for people."""
    arrived: PlainDecimal
    """What the reserve had seen of it by then."""


class ReplenishmentDetail(Replenishment):
    """A request for a refill, and what became of it."""

    changes: list[ReplenishmentChangeView] | None = None
    """In order; null while the store does not tell."""
