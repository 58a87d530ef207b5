"""The simulation. Pure: it gets the time as an argument, reads nothing and never waits."""

import heapq
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from reservd_paper.flow import payments
from reservd_paper.options import DECIMALS, PaperBook

ZERO = Decimal(0)


class TreasuryPlan(NamedTuple):
    """The definition of a treasury; equal plans give equal simulations."""

    books: Mapping[str, PaperBook]
    seed: int
    jitter: Decimal


class Refill(NamedTuple):
    """Money on its way from deployed to liquid."""

    reference: str
    """Its number within the book."""
    amount: Decimal
    """The promised amount, in whole units."""
    due: float
    """When it arrives, in seconds since the start."""


class Book:
    """The money of one mode. Amounts are whole units of `currency` and never below 0.

    Attributes:
        liquid: Payable now.
        deployed: Invested; a refill makes it liquid.
        unpaid: Redemptions that wait for money; still a part of equity.
    """

    def __init__(self, plan: PaperBook, jitter: Decimal, seed: str) -> None:
        self.currency = plan.currency
        self.liquid = plan.reserve
        self.deployed = plan.equity - plan.reserve
        self.unpaid = ZERO
        self._keep = plan.reserve
        self._refill_delay = plan.refill_delay
        self._refills: dict[str, Refill] = {}
        self._underway: dict[str, Refill] = {}
        self._payments = heapq.merge(
            payments(plan.redemptions, -1, jitter, f"{seed}/redemptions"),
            payments(plan.deposits, 1, jitter, f"{seed}/deposits"),
        )
        self._next = next(self._payments, None)

    @property
    def equity(self) -> Decimal:
        """Everything that the book has, including unpaid redemptions."""
        return self.liquid + self.deployed

    def advance(self, to: float) -> None:
        """Do everything that is due until `to`, in the order of time."""
        while True:
            first = min(self._underway, key=lambda request_id: self._underway[request_id].due, default=None)
            refill_at = math.inf if first is None else self._underway[first].due
            payment_at = math.inf if self._next is None else self._next.at
            if min(refill_at, payment_at) > to:
                return
            if first is not None and refill_at <= payment_at:
                self._free(self._underway.pop(first).amount)
            elif self._next is not None:
                self._move(self._next.amount)
                self._next = next(self._payments, None)

    def refill(self, request_id: str, amount: Decimal, now: float, replaces: str | None = None) -> Refill | None:
        """Start a refill, or return the one that was started under this id.

        Args:
            request_id: Acted on once.
            amount: In whole units; reduced to what is deployed.
            now: Seconds since the start.
            replaces: An earlier request; the part of it that has not arrived is cancelled.

        Returns:
            None if nothing is deployed, so that nothing can arrive.
        """
        if request_id in self._refills:
            return self._refills[request_id]
        if replaces is not None:
            self._underway.pop(replaces, None)
        if self.deployed <= 0:
            return None
        reference = f"refill-{len(self._refills) + 1}"
        refill = Refill(reference, round(min(amount, self.deployed), DECIMALS), now + self._refill_delay)
        self._refills[request_id] = self._underway[request_id] = refill
        return refill

    def _move(self, amount: Decimal) -> None:
        if amount < 0:
            # Nobody redeems more than there is.
            self.unpaid += min(-amount, self.equity - self.unpaid)
        else:
            self.liquid += amount
        self._pay()
        if amount > 0:
            surplus = max(ZERO, self.liquid - self._keep)
            self.liquid -= surplus
            self.deployed += surplus

    def _free(self, amount: Decimal) -> None:
        moved = min(amount, self.deployed)
        self.deployed -= moved
        self.liquid += moved
        self._pay()

    def _pay(self) -> None:
        paid = min(self.unpaid, self.liquid)
        self.unpaid -= paid
        self.liquid -= paid


class Treasury:
    """Several books and their common clock, which starts at the first reading."""

    def __init__(self, plan: TreasuryPlan) -> None:
        self.plan = plan
        self._books = {name: Book(book, plan.jitter, f"{plan.seed}/{name}") for name, book in plan.books.items()}
        self._started: float | None = None

    def look(self, monotonic: float) -> Mapping[str, Book]:
        """Return the books as they are now.

        Args:
            monotonic: Seconds on a clock that never goes back; the first reading is second 0.
        """
        now = self.elapsed(monotonic)
        for book in self._books.values():
            book.advance(now)
        return self._books

    def elapsed(self, monotonic: float) -> float:
        """Return the seconds since the first reading."""
        if self._started is None:
            self._started = monotonic
        return monotonic - self._started
