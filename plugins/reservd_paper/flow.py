"""The endless stream of payments of a flow."""

import random
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import NamedTuple

from reservd_paper.options import DECIMALS, PaperFlow

_STEPS = 1000


class Payment(NamedTuple):
    """Money that comes in (above 0) or goes out (below 0)."""

    at: float
    """Seconds since the start of the simulation."""
    amount: Decimal


def payments(flow: PaperFlow | None, sign: int, jitter: Decimal, seed: str) -> Iterator[Payment]:
    """Yield the payments of a flow in the order of their time, without end.

    Args:
        flow: The flow; None has no payments.
        sign: 1 for money that comes in, -1 for money that goes out.
        jitter: The part, 0 to 1, by which an amount varies either way and a time is late.
        seed: Seeds the random variation.
    """
    if flow is None:
        return
    chance = random.Random(seed)  # noqa: S311  # a simulation must be repeatable, not secret
    first = flow.every if flow.first is None else flow.first
    spacing = flow.every if flow.times == 1 else flow.apart
    for wave in count():
        for turn in range(flow.times):
            # Late by less than the spacing, to keep the order.
            late = float(jitter) * spacing * chance.random()
            factor = 1 + jitter * Decimal(chance.randint(-_STEPS, _STEPS)) / _STEPS
            amount = round(flow.amount * factor, DECIMALS)
            yield Payment(first + wave * flow.every + turn * flow.apart + late, sign * amount)
