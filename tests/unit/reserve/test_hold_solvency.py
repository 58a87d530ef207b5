"""Arbitrary histories of a chain with late readings and late reports: no more is held than exists."""

from datetime import datetime, timedelta
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reservd.reserve.holds import GroupReading, Hold, cancel, mark_paying, settle
from reservd.reserve.holds.book import HoldBook
from reservd.reserve.models import ReserveStatus
from reservd.reserve.withdrawal import Ground, WithdrawalPolicy, decide_withdrawal
from support.holds import make_hold
from support.reserve import NOON

POLICY = WithdrawalPolicy(floor=Decimal(0))


def time_of(block: int) -> datetime:
    return NOON + timedelta(seconds=12 * block)


class Chain(RuleBasedStateMachine):
    """Money arrives, and leaves only for holds; readings may be of old blocks.

    Attributes:
        balances: By block; the last one is current.
        paid: The block in which a hold was paid, whether or not that was reported.
    """

    def __init__(self) -> None:
        super().__init__()
        self.book = HoldBook()
        self.balances = [0]
        self.paid: dict[str, int] = {}
        self.stored: dict[str, Hold] = {}
        self.stored_levels: dict[str, GroupReading] = {}

    @initialize(balance=st.integers(0, 100))
    def begin(self, balance: int) -> None:
        self.balances = [balance]

    def reading(self, lag: int) -> GroupReading:
        block = max(0, len(self.balances) - 1 - lag)
        return GroupReading(Decimal(self.balances[block]), time_of(block), block)

    def open_holds(self) -> list[Hold]:
        return [hold for hold in self.book.holds() if hold.open]

    @rule(amount=st.integers(1, 100), lag=st.integers(0, 3), status=st.sampled_from(ReserveStatus))
    def withdraw(self, amount: int, lag: int, status: ReserveStatus) -> None:
        reading = self.reading(lag)
        available = reading.balance - self.book.totals.held("m", reading)
        terms = decide_withdrawal(Decimal(amount), Ground(status, available), POLICY)
        self.book.put(make_hold(self.book.last_position + 1, terms.from_reserve, terms.unwound, at=time_of(0)))
        self.book.rest_on("m", reading)

    @rule(amount=st.integers(1, 100))
    def receive(self, amount: int) -> None:
        self.balances.append(self.balances[-1] + amount)

    @rule(lag=st.integers(0, 3))
    def believe(self, lag: int) -> None:
        self.book.believe("m", self.reading(lag))

    @precondition(lambda self: any(not hold.outstanding and hold.id not in self.paid for hold in self.open_holds()))
    @rule(pick=st.integers(0), announced=st.booleans())
    def pay(self, pick: int, announced: bool) -> None:
        payable = [hold for hold in self.open_holds() if not hold.outstanding and hold.id not in self.paid]
        hold = payable[pick % len(payable)]
        self.balances.append(self.balances[-1] - int(hold.amount))
        self.paid[hold.id] = len(self.balances) - 1
        if announced:
            self.book.put(mark_paying(hold))

    @precondition(lambda self: any(hold.id in self.paid for hold in self.open_holds()))
    @rule(pick=st.integers(0), by_block=st.booleans(), later=st.integers(0, 5))
    def tell(self, pick: int, by_block: bool, later: int) -> None:
        told = [hold for hold in self.open_holds() if hold.id in self.paid]
        hold = told[pick % len(told)]
        block = self.paid[hold.id]
        now = time_of(len(self.balances) - 1 + later)
        self.book.put(settle(hold, now, **({"block": block} if by_block else {"paid_at": time_of(block)})))

    @precondition(lambda self: any(hold.id not in self.paid for hold in self.open_holds()))
    @rule(pick=st.integers(0))
    def give_up(self, pick: int) -> None:
        unpaid = [hold for hold in self.open_holds() if hold.id not in self.paid]
        self.book.put(cancel(unpaid[pick % len(unpaid)], time_of(len(self.balances) - 1)))

    @rule()
    def restart(self) -> None:
        changes = self.book.take_changes()
        self.stored |= {hold.id: hold for hold in changes.holds}
        self.stored_levels |= changes.levels
        self.book = HoldBook()
        self.book.load(sorted(self.stored.values(), key=lambda hold: hold.position))
        self.book.load_levels(self.stored_levels)

    @invariant()
    def all_that_is_promised_is_there(self) -> None:
        promised = sum(hold.held for hold in self.open_holds() if hold.id not in self.paid)
        assert promised <= self.balances[-1]


TestSolvency = Chain.TestCase
TestSolvency.settings = settings(max_examples=150, stateful_step_count=40)
