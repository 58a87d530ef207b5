"""The snapshots of modes that share accounts, given the readings of all of them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from reservd.reserve.allocation import AllocationTerms, is_exact
from reservd.reserve.claims import AccountReading, Jump, Member
from reservd.reserve.jumps import agrees_in_sum
from reservd.reserve.models import Bounds, ReserveSnapshot
from reservd.reserve.policy import Missing
from reservd.reserve.sharing import Finding, SharedAccount, share_out
from reservd.reserve.tracker import Instant, TrackerState, advance
from support.reserve import NOON, find, make_balance, make_equity, make_policy
from support.sharing import DEDICATED, bounds

GONE = Missing("nav: timeout")


def make_reading(amount: object, account: str = "bank/own", *, age: int = 0, owes: bool = False) -> AccountReading:
    """Return a reading at noon, less an age in seconds; None is a failed one."""
    problem = "" if amount is not None else "timeout"
    found = None if amount is None else make_balance(amount, at=NOON - timedelta(seconds=age))
    return AccountReading(account, "USDT", found, problem, not owes)


def make_member(
    mode: str,
    *own: AccountReading,
    equity: object = 1000,
    state: TrackerState | None = None,
    terms: AllocationTerms | None = None,
    owed: object = 0,
    promised: object = 0,
    age: int = 0,
    **policy: object,
) -> Member:
    """Return a mode whose target is a tenth of its equity; an equity of None could not be read."""
    return Member(
        make_policy(mode=mode, **policy),
        terms or AllocationTerms(),
        state or TrackerState(0.0),
        GONE if equity is None else make_equity(equity, at=NOON - timedelta(seconds=age)),
        own,
        Decimal(str(owed)),
        Decimal(str(promised)),
    )


def share(
    members: Sequence[Member], *amounts: object, held: object = 0, among: Sequence[tuple[int, ...]] = ()
) -> tuple[Finding, ...]:
    """Share accounts with these amounts among all, or some, of the members."""
    accounts = [
        SharedAccount(
            amount if isinstance(amount, AccountReading) else make_reading(amount, f"pool/{number}"),
            among[number] if among else tuple(range(len(members))),
        )
        for number, amount in enumerate(amounts)
    ]
    return share_out(members, accounts, held=Decimal(str(held)), now=NOON)


def look(member: Member, found: Finding) -> ReserveSnapshot:
    """Return the snapshot that results from a finding."""
    return find(member.policy, member.equity, found.balances, found.missing, owed=member.owed, share=found.share)


def remember(member: Member, found: Finding, *, doubted: bool = False) -> TrackerState:
    """Return the state after a check, with the reading believed or doubted."""
    snapshot = look(member, found)
    if doubted:
        return member.state._replace(doubted=snapshot)
    return TrackerState(0.0, good=snapshot, believed_equity=snapshot.total_equity)


def lines(found: Finding) -> list[str]:
    return [each.what for each in found.missing]


def test_each_is_told_its_part_and_what_explains_it() -> None:
    members = [make_member("a", make_reading(40)), make_member("b")]
    a, b = share(members, 96)
    assert (a.share.balance, b.share.balance) == (bounds(76), bounds(60))
    own, pool = a.share.accounts
    assert (own.account, own.amount, own.part, own.method) == ("bank/own", 40, 40, None)
    assert (pool.account, pool.amount, pool.part, pool.method) == ("pool/0", 96, 36, "pro_rata")
    assert (pool.observed_at, pool.problem, a.missing, a.jump) == (NOON, "", (), Jump.NONE)
    snapshot = look(members[0], a)
    assert (snapshot.reserve_balance, snapshot.bounds, snapshot.status) == (76, None, "low")
    assert snapshot.parts == (40, 96), "the reading itself, so that a fall to 0 must be confirmed"


def test_target_is_of_the_equity_less_what_is_owed() -> None:
    a, b = share([make_member("a", owed=500), make_member("b")], 75)
    assert (a.share.balance, b.share.balance) == (bounds(25), bounds(50))


def test_others_get_bounds_when_the_equity_of_one_cannot_be_read() -> None:
    """Its target is between 0 and 1.25 of its last good one, which was 80."""
    state = TrackerState(0.0, believed_equity=Decimal(800))
    members = [make_member("a"), make_member("b", equity=None, state=state)]
    a, b = share(members, 100)
    assert a.share.balance == bounds((50, 100))
    assert lines(a) == ["what b needs from shared accounts: nav: timeout"]
    assert (a.share.accounts[0].part, a.share.accounts[0].problem) == (None, lines(a)[0])
    assert (b.share.balance, b.missing) == (bounds((0, 50)), ())
    assert b.share.accounts[0].problem == "nav: timeout"
    assert b.jump is Jump.NONE


@pytest.mark.parametrize(
    "changes", [{"equity": None}, {"equity": -5}, {"age": 121}, {"max_skew": timedelta(seconds=1), "age": 2}]
)
def test_nothing_of_the_account_is_certain_when_one_was_never_known(changes: dict[str, object]) -> None:
    a, _ = share([make_member("a", make_reading(7)), make_member("b", **changes)], 100)  # type: ignore[arg-type]
    assert a.share.balance == bounds((7, 107))


def test_others_get_bounds_when_an_own_account_of_one_cannot_be_read() -> None:
    b = make_member("b", make_reading(60), make_reading(None, "bank/other"))
    first, second = share([make_member("a"), b], 70)
    assert first.share.balance == bounds((50, 70))
    assert lines(first) == ["what b needs from shared accounts: bank/other: timeout"]
    assert second.share.balance == bounds((80, None)), "its minimum, and its part in that case"
    assert lines(second) == ["bank/other: timeout"]
    assert second.share.accounts[1].problem == "timeout"


def test_nothing_of_the_account_is_certain_when_one_may_owe_anything() -> None:
    b = make_member("b", make_reading(None, owes=True))
    first, second = share([make_member("a"), b], 70)
    assert (first.share.balance, second.share.balance) == (bounds((0, 70)), bounds((None, None)))
    assert not second.missing[0].non_negative


def test_part_is_bounded_by_0_when_the_shared_account_cannot_be_read() -> None:
    members = [make_member("a", make_reading(120)), make_member("b")]
    a, b = share(members, None)
    assert (a.share.balance, b.share.balance) == (bounds((120, None)), bounds((0, None)))
    assert lines(a) == lines(b) == ["pool/0: timeout"]
    assert [look(member, found).status for member, found in zip(members, (a, b), strict=True)] == [
        "adequate",
        "unknown",
    ]


@pytest.mark.parametrize("patience", [{"max_staleness": timedelta(seconds=60)}, {}])
def test_shared_account_is_believed_when_all_who_share_it_may(patience: dict[str, object]) -> None:
    members = [make_member("a"), make_member("b", **patience)]  # type: ignore[arg-type]
    a, b = share(members, make_reading(100, "pool/0", age=90))
    assert a.share.balance == b.share.balance == (bounds((0, None)) if patience else bounds(50))
    if patience:
        assert "too far from the present to be trusted: reserve_max_staleness is 60 s" in lines(a)[0]


def test_own_account_is_not_believed_when_it_is_too_old() -> None:
    a, _ = share([make_member("a", make_reading(30, age=121)), make_member("b")], 100)
    assert a.share.balance == bounds((50, None))
    assert "too far from the present to be trusted: reserve_max_staleness is 120 s" in lines(a)[0]


@pytest.mark.parametrize(("before", "expected"), [(400, (bounds((50, 70)))), (1000, bounds(50))])
def test_others_reckon_with_both_when_the_equity_of_one_jumps(before: object, expected: Bounds) -> None:
    state = TrackerState(0.0, believed_equity=Decimal(str(before)))
    members = [make_member("a"), make_member("b", equity=1000, state=state)]
    a, b = share(members, 100)
    if before == 400:
        expected = bounds((50, Decimal("71.428571428571428572")))
    assert a.share.balance == expected
    assert b.share.balance == bounds(50), "the mode itself uses the new one, which its tracker doubts"
    assert b.jump is (Jump.NEW if before == 400 else Jump.NONE)
    if b.jump:
        assert "equity went from 400 to 1,000, and no second reading agrees yet" in lines(a)[0]
        again = members[1]._replace(state=remember(members[1], b, doubted=True))
        a, b = share([members[0], again], 100)
        assert (a.share.balance, b.jump) == (expected, Jump.AWAITED), "the same observation is no second reading"
        newer = make_equity(1000, at=NOON + timedelta(seconds=1))
        a, b = share([members[0], again._replace(equity=newer)], 100)
        assert (a.share.balance, b.jump) == (bounds(50), Jump.NONE), "a second reading agrees"


def test_others_reckon_with_both_when_an_own_balance_of_one_jumps() -> None:
    before = make_member("b", make_reading(80), make_reading(10, "bank/other"))
    _, known = share([make_member("a"), before], 60)
    b = make_member("b", make_reading(0), make_reading(10, "bank/other"), state=remember(before, known))
    a, found = share([make_member("a"), b], 60)
    assert a.share.balance.lower == Decimal("31.578947368421052631")
    assert a.share.balance.upper == Decimal("54.545454545454545455")
    assert "own balance went from 90 to 10" in lines(a)[0]
    assert found.jump is Jump.NEW
    assert not found.missing
    again = b._replace(state=remember(b, found, doubted=True))
    assert share([make_member("a"), again], 60)[1].jump is Jump.AWAITED, "the same observation is no second reading"
    newer = again._replace(own=(make_reading(0, age=-1), again.own[1]))
    a, found = share([make_member("a"), newer], 60)
    assert (a.share.balance.lower, found.jump) == (Decimal("31.578947368421052632"), Jump.NONE)
    flapping = make_member("b", make_reading(1), make_reading(0, "bank/other"), state=again.state)
    assert share([make_member("a"), flapping], 60)[1].jump is Jump.NEW, "another number was doubted"


TWO_OF_THREE: Sequence[tuple[int, ...]] = ((0, 1), (0, 1, 2))


def test_those_who_do_not_share_an_account_reckon_with_both_when_it_jumps() -> None:
    def shown(amount: object, *, age: int = 0) -> AccountReading:
        return make_reading(amount, "pool/0", age=age)

    members = [make_member(mode) for mode in "abc"]
    before = share(members, 100, 200, among=TWO_OF_THREE)
    members = [each._replace(state=remember(each, found)) for each, found in zip(members, before, strict=True)]
    a, b, c = share(members, shown(0), 200, among=TWO_OF_THREE)
    assert (c.share.balance.upper, c.jump) == (Decimal(100), Jump.NONE)
    assert c.share.balance.lower == Decimal("66.666666666666666666")
    assert lines(c) == ["what others have in pool/0: went from 100 to 0, and no second reading agrees yet"]
    assert (a.jump, b.jump) == (Jump.NEW, Jump.NEW)
    assert a.share.balance == bounds(Decimal("66.666666666666666667")), "its sharers go by the new one"
    doubtful = [each._replace(state=remember(each, a, doubted=True)) for each in members]
    _, b, c = share(doubtful, shown(0), 200, among=TWO_OF_THREE)
    assert (b.jump, is_exact(c.share.balance)) == (Jump.AWAITED, False), "the same observation is no second reading"
    _, b, c = share(doubtful, shown(0, age=-1), 200, among=TWO_OF_THREE)
    assert (b.jump, c.share.balance) == (Jump.NONE, bounds(Decimal("66.666666666666666666")))
    _, b, c = share(doubtful, shown(300), 200, among=TWO_OF_THREE)
    assert (b.jump, is_exact(c.share.balance)) == (Jump.NEW, False), "what was doubted is another number"
    waited = [doubtful[0], members[1], members[2]]
    assert share(waited, shown(0, age=-1), 200, among=TWO_OF_THREE)[2].share.balance == c.share.balance._replace(
        lower=Decimal("66.666666666666666666"), upper=Decimal("66.666666666666666666")
    ), "what one of its sharers believes is enough"


def test_jump_of_a_shared_account_is_remembered_though_its_sharers_are_certain_of_nothing() -> None:
    members = [make_member("a"), make_member("b"), make_member("c")]
    before = share(members, 100, 200, among=TWO_OF_THREE)
    unsure = members[0]._replace(equity=GONE, state=remember(members[0], before[0]))
    for amount, noted in ((90, False), (300, True), (310, False), (20, True)):
        found = share([unsure, *members[1:]], amount, 200, among=TWO_OF_THREE)[0]
        state = advance(unsure.state, look(unsure, found), unsure.policy, Instant(NOON, 1.0), str).state
        assert (state.doubted is not unsure.state.doubted) is noted
        unsure = unsure._replace(state=state)


def test_jumps_of_two_at_once_are_remembered_though_neither_is_certain_of_its_part() -> None:
    """The targets grow from 500 to 1,000 each; each gets 450 or 600 of 900, depending on the target of the other."""
    members = [make_member(mode, make_reading(0), equity=5000) for mode in "ab"]
    members = [
        member._replace(equity=make_equity(10_000), state=remember(member, found))
        for member, found in zip(members, share(members, 900), strict=True)
    ]
    for noted in (True, False):
        found = share(members, 900)
        assert [each.share.balance for each in found] == [bounds((450, 600))] * 2
        snapshots = [look(member, each) for member, each in zip(members, found, strict=True)]
        for number, (member, snapshot) in enumerate(zip(members, snapshots, strict=True)):
            step = advance(member.state, snapshot, member.policy, Instant(NOON, 1.0), str)
            assert (step.conclusive, step.state.doubted is snapshot) == (False, noted)
            members[number] = member._replace(state=step.state)
    newer = [member._replace(equity=make_equity(10_000, at=NOON + timedelta(seconds=1))) for member in members]
    waited = [member._replace(waited=True) for member in members]
    for told in (newer, waited):
        assert [each.share.balance for each in share(told, 900)] == [bounds(450)] * 2


def test_own_balance_is_compared_with_nothing_when_it_was_not_certain_before() -> None:
    before = make_member("b", make_reading(None))
    _, known = share([make_member("a"), before], 60)
    b = make_member("b", make_reading(1), state=remember(before, known))
    assert share([make_member("a"), b], 60)[1].jump is Jump.NONE


def test_held_money_is_taken_off_the_shared_accounts_one_after_the_other() -> None:
    members = [make_member("a", make_reading(30)), make_member("b")]
    a, b = share(members, 40, -5, 100, held=120)
    assert [part.held for part in a.share.accounts] == [0, 40, 0, 80]
    assert a.share.held == b.share.held == look(members[0], a).held == 120
    assert sum(found.share.balance.lower or 0 for found in (a, b)) == 30 + 40 - 5 + 100 - 120


def test_held_money_is_taken_off_the_last_account_when_none_holds_enough() -> None:
    a, b = share([make_member("a"), make_member("b")], 20, 10, held=50)
    assert [part.held for part in a.share.accounts] == [20, 30]
    assert a.share.balance == b.share.balance == bounds(-10)


def test_held_money_beyond_the_shared_accounts_is_taken_off_its_own_of_the_mode_that_promised_it() -> None:
    """The other one is short of its part only, not of what the first can pay itself."""
    a, b = share(
        [make_member("a", make_reading(30), make_reading(9000), promised=5000), make_member("b")], 90, held=5000
    )
    assert (a.share.balance, b.share.balance) == (bounds(9030 - 4910), bounds(0))
    assert [(part.held, part.part) for part in a.share.accounts] == [(30, 0), (4880, 4120), (90, 0)]
    assert look(make_member("b"), b).shortfall == 100


def test_what_the_own_accounts_of_the_mode_that_promised_it_do_not_cover_is_borne_by_all() -> None:
    a, b = share([make_member("a", make_reading(50), promised=160), make_member("b")], 90, held=160)
    assert (a.share.balance, b.share.balance) == (bounds(-10), bounds(-10))


def test_what_comes_off_its_own_is_not_certain_when_the_shared_account_cannot_be_read() -> None:
    a, b = share([make_member("a", make_reading(9000), promised=5000), make_member("b")], None, held=5000)
    assert (a.share.balance, b.share.balance) == (bounds((4000, None)), bounds((0, None)))
    own, _ = a.share.accounts
    assert (own.amount, own.held, own.part) == (9000, None, None)
    assert look(make_member("a"), a).status == "adequate"


def test_what_is_left_is_not_certain_when_an_own_account_that_may_bear_it_cannot_be_read() -> None:
    a, b = share([make_member("a", make_reading(None), promised=150), make_member("b")], 90, held=150)
    assert (a.share.balance, b.share.balance) == (bounds((-90, None)), bounds((-30, 0)))
    assert (b.share.accounts[0].held, lines(b)) == (None, ["what a needs from shared accounts: bank/own: timeout"])


def test_no_account_is_said_to_bear_held_money_when_one_before_it_cannot_be_read() -> None:
    a, b = share([make_member("a"), make_member("b")], None, 10, held=30)
    assert [part.held for part in a.share.accounts] == [None, None]
    assert a.share.balance == b.share.balance == bounds((-10, None))


def test_mode_without_the_unread_account_is_told_what_it_has_if_that_covers_what_is_held_and_if_not() -> None:
    """The account covers all that is held, and the mode is adequate; if it is unread, the mode is unknown, not low."""
    members = [make_member("a", equity=10), make_member("b", equity=10), make_member("c", equity=800)]
    among = [(0, 1), (0, 1, 2)]
    truth = share(members, 100, 100, held=80, among=among)[2]
    assert truth.share.balance == bounds(Decimal("99.512195121951219512"))
    found = share(members, None, 100, held=80, among=among)[2]
    assert found.share.balance == bounds((Decimal("19.512195121951219512"), Decimal("99.512195121951219513")))
    assert lines(found) == ["what others have in pool/0: timeout"]
    (pool,) = found.share.accounts
    assert (pool.amount, pool.held, pool.part, pool.problem) == (100, None, None, lines(found)[0])
    assert [look(members[2], each).status for each in (truth, found)] == ["adequate", "unknown"]


def test_account_that_is_read_bears_what_an_unread_one_after_it_cannot_change() -> None:
    a, _ = share([make_member("a"), make_member("b")], 40, None, held=30)
    assert [part.held for part in a.share.accounts] == [30, 0]


def test_held_money_is_taken_off_its_own_when_nobody_shares() -> None:
    (found,) = share([make_member("a", make_reading(50))], held=20)
    assert found.share.balance == bounds(30)
    (unknown,) = share([make_member("a", make_reading(None))], held=20)
    assert unknown.share.balance == bounds((-20, None))


def test_part_is_of_the_accounts_that_a_mode_counts() -> None:
    members = [make_member("a"), make_member("b"), make_member("c")]
    a, b, c = share(members, 60, 90, among=[(0, 1), (1, 2)])
    assert [part.account for part in a.share.accounts] == ["pool/0"]
    assert [part.account for part in b.share.accounts] == ["pool/0", "pool/1"]
    assert sum(found.share.balance.lower or 0 for found in (a, b, c)) == 150


def test_dedicated_parts_are_certain_when_the_equity_of_another_cannot_be_read() -> None:
    terms = AllocationTerms(DEDICATED, amount=Decimal(30))
    members = [make_member("a", terms=terms), make_member("b", equity=None, terms=terms)]
    a, b = share(members, 100)
    assert (a.share.balance, a.missing) == (bounds(30), ())
    assert b.share.balance == bounds(30)


def with_own(*amounts: int) -> Member:
    return make_member("b", *(make_reading(amount, f"bank/{number}") for number, amount in enumerate(amounts)))


def with_parts(*amounts: int) -> Member:
    components = {f"coin_{number}": Decimal(amount) for number, amount in enumerate(amounts)}
    return make_member("b")._replace(equity=make_equity(1000, at=NOON, components=components))


@pytest.mark.parametrize("waited", [False, True])
@pytest.mark.parametrize("make", [with_own, with_parts], ids=["own accounts", "parts of the equity"])
def test_zeros_in_turn_are_doubted_only_until_they_have_waited(make: Callable[..., Member], waited: bool) -> None:
    a, believed, first, second = make_member("a"), make(998, 1, 1), make(998, 0, 1), make(998, 1, 0)
    first = first._replace(state=remember(believed, share([a, believed], 60)[1]))
    second = second._replace(state=remember(first, share([a, first], 60)[1], doubted=True), waited=waited)
    assert share([a, second], 60)[1].jump is (Jump.NONE if waited else Jump.NEW)


@pytest.mark.parametrize(("now", "same"), [(10, True), (8, True), (1, False)])
def test_sums_agree_when_own_accounts_have_not_moved_by_more_than_a_jump(now: int, same: bool) -> None:
    """The whole, of which most is a part of a shared account, has not."""
    first, second = (
        look(member, share([make_member("a"), member], 150)[1])
        for member in (make_member("b", make_reading(own)) for own in (10, now))
    )
    assert agrees_in_sum(first, second, Decimal("0.5")) is same


def test_jump_that_has_waited_counts_although_an_own_account_has_moved_since() -> None:
    """Otherwise it would be compared with the first for ever, and hide a fall."""
    state = TrackerState(0.0, believed_equity=Decimal(400))
    first, then = (make_member("b", make_reading(own), state=state) for own in (10, 1))
    doubted, snapshot = (look(each, share([make_member("a"), each], 150)[1]) for each in (first, then))
    step = advance(state._replace(doubted=doubted), snapshot, then.policy, Instant(NOON, 130.0), str)
    assert (step.conclusive, step.state.doubted) == (True, None)
