"""Properties of modes that share accounts, whichever of these cannot be read."""

from decimal import Decimal
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from reservd.reserve.allocation import AllocationTerms
from reservd.reserve.claims import AccountReading, Member
from reservd.reserve.models import AllocationMethod, ReserveStatus
from reservd.reserve.sharing import Finding, SharedAccount, share_out
from reservd.reserve.tracker import TrackerState
from support.reserve import NOON, find, make_balance, make_equity, make_policy
from support.sharing import DEDICATED, PRIORITY

TERMS = {
    AllocationMethod.PRO_RATA: st.just(AllocationTerms()),
    PRIORITY: st.integers(1, 3).map(lambda priority: AllocationTerms(PRIORITY, priority=priority)),
    DEDICATED: st.one_of(
        st.integers(0, 200).map(lambda amount: AllocationTerms(DEDICATED, amount=Decimal(amount))),
        st.sampled_from(["0", "0.25", "0.4"]).map(lambda part: AllocationTerms(DEDICATED, ratio=Decimal(part))),
    ),
}
# Few below 0: an unread account that may be in debt gives no bound at all.
AMOUNTS = st.integers(0, 200) | st.integers(-50, 200)


class Place(NamedTuple):
    """The true state of an account, and whether a check could read it."""

    account: AccountReading
    read: bool

    @property
    def seen(self) -> AccountReading:
        return self.account if self.read else self.account._replace(found=None, problem="timeout")


class Case(NamedTuple):
    """Modes, their own accounts, their shared accounts, and what is held."""

    members: list[Member]
    own: list[list[Place]]
    shared: list[tuple[Place, tuple[int, ...]]]
    held: Decimal

    def told(self, *, everything: bool) -> tuple[Finding, ...]:
        """Return the findings for the modes, with everything read or with what could be read."""
        members = [
            member._replace(own=tuple([place.account if everything else place.seen for place in own]))
            for member, own in zip(self.members, self.own, strict=True)
        ]
        accounts = [SharedAccount(place.account if everything else place.seen, among) for place, among in self.shared]
        return share_out(members, accounts, held=self.held, now=NOON)

    def statuses(self, findings: tuple[Finding, ...]) -> list[ReserveStatus]:
        """Return the status of each finding."""
        return [
            find(member.policy, member.equity, found.balances, found.missing, share=found.share).status
            for member, found in zip(self.members, findings, strict=True)
        ]


@st.composite
def places(draw: st.DrawFn, name: str) -> Place:
    amount = draw(AMOUNTS)
    account = AccountReading(name, "USDT", make_balance(amount), "", amount >= 0 and draw(st.booleans()))
    return Place(account, draw(st.sampled_from([True, True, False])))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    method = draw(st.sampled_from(AllocationMethod))
    members, own = [], []
    for number in range(draw(st.integers(2, 4))):
        equity = make_equity(draw(st.integers(0, 2000)))
        members.append(Member(make_policy(mode=f"m{number}"), draw(TERMS[method]), TrackerState(0.0), equity, ()))
        own.append([draw(places(f"own/{number}"))] if draw(st.booleans()) else [])
    among = st.lists(st.integers(0, len(members) - 1), min_size=2, unique=True).map(sorted).map(tuple)
    shared = [(draw(places(f"pool/{number}")), draw(among)) for number in range(draw(st.integers(1, 4)))]
    shared.sort(key=lambda each: len(each[1]))
    return Case(members, own, shared, Decimal(draw(st.integers(0, 300))))


@given(cases())
@settings(max_examples=500)
def test_account_that_cannot_be_read_only_ever_widens_what_is_told(case: Case) -> None:
    """The result with all accounts read lies within the bounds with some unread, and no status contradicts it."""
    truth, told = case.told(everything=True), case.told(everything=False)
    for actual, known in zip(truth, told, strict=True):
        exact, (lower, upper) = actual.share.balance.lower, known.share.balance
        assert exact is not None
        assert exact == actual.share.balance.upper
        assert lower is None or lower <= exact
        assert upper is None or upper >= exact
        assert lower == upper or known.missing, "every uncertainty has a reason"
    for actual_status, known_status in zip(case.statuses(truth), case.statuses(told), strict=True):
        assert known_status in {actual_status, ReserveStatus.UNKNOWN}
