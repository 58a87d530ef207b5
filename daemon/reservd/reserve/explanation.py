"""What a check was based on and why it found what it did: shown to people, and kept with each event."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, check_amount
from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.readings import Component, Price, check_instant


class EquityInput(NamedTuple):
    """The equity that a check was made with, as its source told it.

    Attributes:
        source: Where it is read.
        amount: What was read, whether it may be believed or not; None when it could not be read.
        observed_at: When it was true at its source; None when it could not be read.
        problem: Why it could not be read; empty when it could.
        components: What it is made of, where the source tells.
    """

    source: str
    amount: Decimal | None = None
    observed_at: datetime | None = None
    problem: str = ""
    components: Mapping[str, Decimal | Component] = {}


class Explanation(NamedTuple):
    """What a check of a mode was made of.

    Attributes:
        snapshot: What it found, with all `accounts`, also where none is shared.
        why: Why the snapshot speaks for its status.
        confirmed: What the tracker confirmed; UNKNOWN before anything was.
        good_at: When the last check was made that was conclusive and is not doubted, whose amounts events carry.
        equity: What the target is a part of.
        owed: Accepted withdrawals that the equity still shows, taken off it before the target.
        low_threshold: Below this part of the target the reserve is low.
        critical_threshold: Below this part of the target it is critical.
        low_below: The same as an amount; None without a target.
        critical_below: The same as an amount.
        version: Of the reservd that made the check.
        configuration: A hash of all that was configured for the mode and the sources that it is made of.
    """

    snapshot: ReserveSnapshot
    why: str
    confirmed: ReserveStatus
    good_at: datetime | None
    equity: EquityInput
    owed: Decimal = ZERO
    low_threshold: Decimal | None = None
    critical_threshold: Decimal | None = None
    low_below: Decimal | None = None
    critical_below: Decimal | None = None
    version: str = ""
    configuration: str = ""


def believable_components(components: object) -> dict[str, Decimal | Component]:
    """Return the parts of an equity that are what they should be.

    They are for people, so that nobody checks them when an equity is read: one of them that is nonsense must harm
    neither the equity nor the record of an event.
    """
    if not isinstance(components, Mapping):
        return {}
    return {str(name): part for name, part in components.items() if _is_believable(part)}


def _is_believable(part: object) -> bool:
    try:
        if isinstance(part, Component):
            check_amount(part.amount)
            check_instant(part.observed_at, "observed_at")
            return part.price is None or isinstance(part.price, Price)
        check_amount(part)
    except (TypeError, ValueError):
        return False
    return True
