"""What the API tells of requests for refills; each is a `Replenishment`, as the domain has it."""

from pydantic import AwareDatetime

from reservd.reserve.replenishment_states import Replenishment
from reservd.wire.view import View


class ReplenishmentPage(View):
    """Some requests for refills, newest first."""

    items: list[Replenishment]
    next_cursor: AwareDatetime | None
    """For the next page; null on the last."""
