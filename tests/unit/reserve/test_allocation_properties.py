"""Properties of every split: all money is allotted, none is counted twice, and bounds contain the truth."""

from decimal import Decimal, localcontext

from hypothesis import given, settings
from hypothesis import strategies as st

from reservd.reserve.allocation import Allotment, Claim, SharedBalance, Sharer, allocate
from reservd.reserve.models import AllocationMethod, Bounds
from support.sharing import DEDICATED, PRIORITY, PRO_RATA, make_sharer, parts_of, split, total_of

UNIT = Decimal("1e-18")

AMOUNTS = st.one_of(
    st.integers(-50, 50).map(Decimal),
    st.decimals(-1000, 1000, places=3),
    st.decimals("-1e40", "1e40", places=24),
)
CREDITS = AMOUNTS.map(abs)
SHARERS = st.lists(st.builds(make_sharer, CREDITS, AMOUNTS, priority=st.integers(1, 3)), min_size=1, max_size=5)
BY_NEED = st.sampled_from([PRO_RATA, PRIORITY])


def lack(sharer: Sharer) -> Decimal:
    """Return the target of a sharer less its own balance; at least 0."""
    with localcontext(prec=500):
        return max(Decimal(0), sharer.seen.target.lower - sharer.seen.own.lower)  # type: ignore[operator]


@given(AMOUNTS, SHARERS, BY_NEED)
def test_parts_sum_to_the_whole(balance: Decimal, sharers: list[Sharer], method: AllocationMethod) -> None:
    parts = parts_of(split(balance, sharers, method))
    assert total_of(parts) == balance
    assert all(part >= 0 for part in parts) or all(part <= 0 for part in parts)


@given(CREDITS, SHARERS, BY_NEED)
def test_nobody_is_above_its_target_before_all_are_at_theirs(
    balance: Decimal, sharers: list[Sharer], method: AllocationMethod
) -> None:
    parts = parts_of(split(balance, sharers, method))
    lacks = [lack(sharer) for sharer in sharers]
    over = any(part > lacking for part, lacking in zip(parts, lacks, strict=True))
    under = any(part < lacking for part, lacking in zip(parts, lacks, strict=True))
    assert not (over and under)


@given(CREDITS, SHARERS)
def test_parts_are_in_proportion_to_what_lacks_to_the_last_unit(balance: Decimal, sharers: list[Sharer]) -> None:
    lacks = [lack(sharer) for sharer in sharers]
    whole = total_of(lacks)
    parts = parts_of(split(balance, sharers))
    if whole > balance:
        with localcontext(prec=500):
            fair = [balance * lacking / whole for lacking in lacks]
        assert all(abs(part - share) < UNIT for part, share in zip(parts, fair, strict=True))


@given(CREDITS, SHARERS)
def test_order_is_kept_when_split_by_priority(balance: Decimal, sharers: list[Sharer]) -> None:
    """A sharer gets something only if all before it have reached their targets."""
    parts = parts_of(split(balance, sharers, PRIORITY))
    for sharer, part in zip(sharers, parts, strict=True):
        for earlier, its_part in zip(sharers, parts, strict=True):
            if earlier.terms.priority < sharer.terms.priority and part > 0:  # type: ignore[operator]
                assert its_part >= lack(earlier)


@given(CREDITS, SHARERS)
def test_surplus_goes_by_target(balance: Decimal, sharers: list[Sharer]) -> None:
    targets = [sharer.seen.target.lower for sharer in sharers]
    whole = total_of([target for target in targets if target is not None])
    lacking = total_of([lack(sharer) for sharer in sharers])
    with localcontext(prec=500):
        surplus = balance - lacking
        if surplus < 0:
            return
        for method in (PRO_RATA, PRIORITY):
            for sharer, target, part in zip(sharers, targets, parts_of(split(balance, sharers, method)), strict=True):
                weight = target / whole if whole else Decimal(1) / len(sharers)  # type: ignore[operator]
                assert abs(part - lack(sharer) - surplus * weight) < UNIT


DEDICATED_TO = st.lists(
    st.one_of(
        st.builds(make_sharer, CREDITS, AMOUNTS, amount=CREDITS),
        st.builds(make_sharer, CREDITS, AMOUNTS, ratio=st.decimals(0, 1, places=7)),
    ),
    min_size=1,
    max_size=5,
)


@given(AMOUNTS, DEDICATED_TO)
def test_dedicated_parts_are_what_was_configured_and_never_more_than_there_is(
    balance: Decimal, sharers: list[Sharer]
) -> None:
    parts = parts_of(split(balance, sharers, DEDICATED))
    with localcontext(prec=500):
        wanted = [
            each.terms.amount if each.terms.amount is not None else abs(balance) * (each.terms.ratio or 0)
            for each in sharers
        ]
    if 0 <= total_of(wanted) <= balance:
        assert parts == wanted
    else:
        assert total_of(parts) == balance


ENDS = st.tuples(AMOUNTS, AMOUNTS).map(sorted)


@st.composite
def within(draw: st.DrawFn, ends: Bounds) -> Decimal:
    """Draw a number between two ends; an end of None is far away."""
    if ends.lower is not None and ends.lower == ends.upper:
        return ends.lower  # with as many decimals, which decide how the last unit is divided
    with localcontext(prec=500):
        lower = min(ends.upper or Decimal(0), Decimal(0)) - 10**6 if ends.lower is None else ends.lower
        upper = max(lower, Decimal(0)) + 10**6 if ends.upper is None else ends.upper
    return draw(st.decimals(lower, upper, places=24) | st.sampled_from([lower, upper]))


def _maybe(amounts: list[Decimal], lower: bool, upper: bool) -> Bounds:
    return Bounds(amounts[0] if lower else None, amounts[1] if upper else None)


TARGETS = st.one_of(
    CREDITS.map(lambda amount: Bounds(amount, amount)),
    CREDITS.map(lambda amount: Bounds(Decimal(0), amount)),
    st.just(Bounds(Decimal(0), None)),
)
OWN = st.one_of(
    AMOUNTS.map(lambda amount: Bounds(amount, amount)), st.builds(_maybe, ENDS, st.booleans(), st.booleans())
)
DEDICATED_AMOUNT = st.builds(make_sharer, TARGETS.map(tuple), OWN.map(tuple), amount=CREDITS)
DEDICATED_RATIO = st.builds(make_sharer, TARGETS.map(tuple), OWN.map(tuple), ratio=st.decimals(0, 1, places=3))
UNCERTAIN = st.builds(make_sharer, TARGETS.map(tuple), OWN.map(tuple), priority=st.integers(1, 3))
SERVED = {PRO_RATA: UNCERTAIN, PRIORITY: UNCERTAIN, DEDICATED: DEDICATED_AMOUNT | DEDICATED_RATIO}


@st.composite
def cases(
    draw: st.DrawFn,
) -> tuple[AllocationMethod, list[SharedBalance], list[Sharer], list[SharedBalance], list[Sharer]]:
    """Draw shared accounts and sharers that are partly uncertain, and one possible truth for them."""
    method = draw(st.sampled_from(AllocationMethod))
    sharers = draw(st.lists(SERVED[method], min_size=2, max_size=4))
    true_sharers = []
    for sharer in sharers:
        target, own = draw(within(sharer.seen.target)), draw(within(sharer.seen.own))
        true_sharers.append(make_sharer(target, own)._replace(terms=sharer.terms))
    balances, true_balances = [], []
    for _ in range(draw(st.integers(1, 3))):
        members = tuple(sorted(draw(st.sets(st.integers(0, len(sharers) - 1), min_size=1))))
        amount = draw(OWN)
        balances.append(SharedBalance(amount, members))
        true = draw(within(amount))
        true_balances.append(SharedBalance(Bounds(true, true), members))
    return method, balances, sharers, true_balances, true_sharers


@given(cases())
@settings(max_examples=400)
def test_bounds_hold_the_truth_whatever_is_not_certain(
    case: tuple[AllocationMethod, list[SharedBalance], list[Sharer], list[SharedBalance], list[Sharer]],
) -> None:
    """Whatever the unknown targets and unread accounts are, each part is within its bounds."""
    method, balances, sharers, true_balances, true_sharers = case
    told = allocate(balances, sharers, method)
    truth = allocate(true_balances, true_sharers, method)
    for known, actual in zip(told, truth, strict=True):
        _assert_within(known, actual)


def _assert_within(known: Allotment, actual: Allotment) -> None:
    assert actual.total.lower is not None
    with localcontext(prec=500):
        # The truth may have more decimals and smaller units, a difference of less than one unit per balance.
        most, least = actual.total.lower + 3 * UNIT, actual.total.lower - 3 * UNIT
    assert known.total.lower is None or known.total.lower <= most
    assert known.total.upper is None or known.total.upper >= least


@given(CREDITS, st.lists(UNCERTAIN, min_size=2, max_size=4), BY_NEED)
def test_what_is_certain_for_all_is_never_more_than_there_is(
    balance: Decimal, sharers: list[Sharer], method: AllocationMethod
) -> None:
    own = Claim(Bounds(Decimal(0), Decimal(0)), Bounds(Decimal(0), Decimal(0))).own
    sharers = [
        sharer._replace(seen=sharer.seen._replace(own=own), reckoned=sharer.reckoned._replace(own=own))
        for sharer in sharers
    ]
    lower = [allotment.total.lower for allotment in split(balance, sharers, method)]
    assert total_of([end for end in lower if end is not None]) <= balance
