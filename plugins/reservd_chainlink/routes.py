"""Pairs without a feed of their own: the feeds that lead from one asset to the other."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Annotated, NamedTuple

from pydantic import StringConstraints

# No rounding of a feed's own answer, and far more digits than any market has.
_CONTEXT = Context(prec=40, rounding=ROUND_HALF_EVEN)

Pair = Annotated[str, StringConstraints(pattern=r"^[^/\s]+/[^/\s]+$")]
"""An asset and its quote, `ETH/USD`."""


class Step(NamedTuple):
    """One feed on the route.

    Attributes:
        feed: Its name.
        inverse: Whether it is used from its second asset to its first.
    """

    feed: str
    inverse: bool


def route(pair: str, feeds: Iterable[str]) -> tuple[Step, ...]:
    """Return how feeds combine to a pair's price, each in the direction that its name allows.

    Raises:
        ValueError: If the feeds do not lead from the first asset of the pair to the second.
    """
    at, _, end = pair.partition("/")
    steps = []
    for feed in feeds:
        base, _, quote = feed.partition("/")
        if at not in {base, quote}:
            raise ValueError(f"feed {feed} does not lead on from {at}")
        steps.append(Step(feed, inverse=at != base))
        at = quote if at == base else base
    if at != end:
        raise ValueError(f"the feeds lead to {at}, not to {end}")
    return tuple(steps)


def follow(steps: Iterable[Step], answers: Mapping[str, Decimal]) -> Decimal:
    """Return the price at the end of a route, to 40 significant digits.

    Args:
        steps: The route.
        answers: The answers of its feeds, above 0.
    """
    price = Decimal(1)
    for feed, inverse in steps:
        price = (_CONTEXT.divide if inverse else _CONTEXT.multiply)(price, answers[feed])
    return price
