"""Explains a check: what it was based on and how it came to its result. Shown to people, and kept with each event."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, check_amount
from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.readings import Component, Price, check_instant


class EquityInput(NamedTuple):
    """The equity that a check used, as its source reported it.

    Attributes:
        source: Where it is read.
        amount: The amount, believed or not; None when it could not be read.
        observed_at: When it was true at its source; None when it could not be read.
        problem: Why it could not be read; empty when it could.
        components: Its parts, if the source reports them.
    """

    source: str
    amount: Decimal | None = None
    observed_at: datetime | None = None
    problem: str = ""
    components: Mapping[str, Decimal | Component] = {}


class Explanation(NamedTuple):
    """What a check of a mode was based on.

    Attributes:
        snapshot: Its result, with all `accounts`, even if none is shared.
        why: The reason for the snapshot's status.
        confirmed: The confirmed status; UNKNOWN before one was confirmed.
        good_at: When the last check was made that was conclusive and not doubted, whose amounts events carry.
        equity: The equity that the target is a part of.
        owed: Accepted withdrawals that the equity still includes, subtracted from it before the target.
        low_threshold: Below this part of the target the reserve is low.
        critical_threshold: Below this part of the target it is critical.
        low_below: The same as an amount; None without a target.
        critical_below: The same as an amount.
        version: The version of reservd that made the check.
        configuration: A hash of everything that was configured for the mode and its sources.
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
    """Return the components of an equity that are well-formed.

    They are for people, so nobody checks them when an equity is read. A malformed one must harm neither the equity nor
    the record of an event.
    """
    if not isinstance(components, Mapping):
        return {}
    return {str(name): part for name, part in components.items() if _is_believable(part)}


def _is_believable(part: object) -> bool:
    try:
        if isinstance(part, Component):
            check_amount(part.amount)
            check_instant(part.observed_at, "observed_at")
            if part.priced_at is not None:
                check_instant(part.priced_at, "priced_at")
            return part.price is None or isinstance(part.price, Price)
        check_amount(part)
    except (TypeError, ValueError):
        return False
    return True
