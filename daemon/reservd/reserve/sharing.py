"""Turns readings of shared accounts into what counts for each of the modes that share them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.allocation import Allotment, SharedBalance, allocate, is_exact
from reservd.reserve.amounts import ZERO, subtract
from reservd.reserve.claims import AccountReading, Assessment, Jump, Member, Step, assess, assess_shared, why_moved
from reservd.reserve.models import AccountPart, Bounds, Share
from reservd.reserve.placement import Placement, Placements, place_holds, reach_of
from reservd.reserve.policy import Missing
from reservd.reserve.readings import Balance


class SharedAccount(NamedTuple):
    """One account that several modes share.

    Attributes:
        reading: Its reading.
        members: The indexes of the modes.
    """

    reading: AccountReading
    members: tuple[int, ...]

    def believed(self, members: Sequence[Member], now: datetime) -> "SharedAccount":
        """Return the account with its reading as far as all its sharers may believe it now."""
        reading = self.reading
        for number in self.members:
            reading = reading.at(now, members[number].policy)
        return self._replace(reading=reading)


class Finding(NamedTuple):
    """The result for one mode of a check of modes that share accounts.

    Attributes:
        balances: The balances of all its accounts, as far as they may be believed.
        missing: What is unknown.
        share: What counts for it.
        jump: Whether a reading of its own jumped, or one of an account that it shares with some of the others, so that
            what it needs or has is uncertain to the others.
    """

    balances: tuple[Balance, ...]
    missing: tuple[Missing, ...]
    share: Share
    jump: Jump


def share_out(
    members: Sequence[Member], accounts: Sequence[SharedAccount], *, held: Decimal = ZERO, now: datetime
) -> tuple[Finding, ...]:
    """Split the accounts that modes share, and return the result for each mode.

    A shared account is believed if all modes that share it may believe its reading. After a jump of it, those who do
    not share it assume the old and the new balance as bounds until a second reading agrees: how much it covers decides
    what its sharers need of other accounts. Its sharers use the new one, which their trackers doubt.

    Args:
        members: All modes that share any of the accounts, in the order of the configuration, with one method.
        accounts: In the order in which they are split.
        held: What is promised to accepted withdrawals of any of the members. Taken off the shared accounts, one after
            the other, up to the balance of each; then off the own accounts of the modes that promised it; and the rest
            off the last shared account.
        now: The time of the check, aware UTC.

    Returns:
        The findings, in the order of the members.
    """
    members = [member.believed(now) for member in members]
    accounts = [account.believed(members, now) for account in accounts]
    counted = [_counted(number, member, accounts) for number, member in enumerate(members)]
    balances = [tuple(each.found for each in readings if each.found is not None) for readings in counted]
    claims = [assess(member, found, now) for member, found in zip(members, balances, strict=True)]
    steps = _steps(members, accounts)
    views: dict[frozenset[int], _View] = {}
    findings = []
    for number, member in enumerate(members):
        outside = frozenset(index for index in steps if number not in accounts[index].members)
        view = views.get(outside)
        if view is None:
            bounds = [
                _seen(account, steps.get(index) if index in outside else None) for index, account in enumerate(accounts)
            ]
            view = views[outside] = _split(members, accounts, bounds, claims, held)
        placements, allotment = view.placements, view.allotments[number]
        doubts = (
            *_doubts(number, members, claims),
            *_unread(number, accounts),
            *[_why_doubted(accounts[index], steps[index]) for index in sorted(outside)],
        )
        why = "; ".join(filter(None, (*doubts, claims[number].doubt)))
        own = _own_parts(member.own, placements.own[number], why)
        shared = _shared_parts(number, member, accounts, placements.shared, allotment, why)
        missing = [
            Missing(f"{each.account}: {each.problem}", each.non_negative)
            for each in counted[number]
            if each.found is None
        ]
        balance = allotment.total if accounts else _less(allotment.total, held)
        if not is_exact(balance):
            missing += map(Missing, doubts)
        share = Share(balance, (*own, *shared), held)
        jumps = [step.jump for index, step in steps.items() if number in accounts[index].members]
        findings.append(Finding(balances[number], tuple(missing), share, max([claims[number].jump, *jumps])))
    return tuple(findings)


class _View(NamedTuple):
    """A split as some of the members see it."""

    placements: Placements
    allotments: Sequence[Allotment]


def _split(
    members: Sequence[Member],
    accounts: Sequence[SharedAccount],
    bounds: Sequence[Bounds],
    claims: Sequence[Assessment],
    held: Decimal,
) -> _View:
    """Take the holds off the accounts, whose balances are within bounds, and split the rest."""
    reaches = [reach_of(member.promised, [reading.bounds for reading in member.own]) for member in members]
    placements = place_holds(held, bounds, reaches)
    sharers = [claim.less(taken).sharer for claim, taken in zip(claims, placements.own, strict=True)]
    left = zip(accounts, placements.shared, strict=True)
    balances = [SharedBalance(placement.left, account.members) for account, placement in left]
    return _View(placements, allocate(balances, sharers, members[0].terms.method))


def _steps(members: Sequence[Member], accounts: Sequence[SharedAccount]) -> Mapping[int, Step]:
    """Return the jumps of shared accounts that not all members count, by the index of the account."""
    found = {
        index: assess_shared(account.reading, [members[number] for number in account.members])
        for index, account in enumerate(accounts)
        if len(account.members) < len(members)
    }
    return {index: step for index, step in found.items() if step is not None and step.jump}


def _seen(account: SharedAccount, step: Step | None) -> Bounds:
    """Return the bounds of a shared account, for those to whom its jump is uncertain if there is one."""
    found = account.reading.found
    if step is None or found is None:
        return account.reading.bounds
    return Bounds(min(step.before, found.amount), max(step.before, found.amount))


def _why_doubted(account: SharedAccount, step: Step) -> str:
    found = account.reading.found
    return f"what others have in {account.reading.account}: {why_moved(step.before, found.amount if found else ZERO)}"


def _counted(number: int, member: Member, accounts: Sequence[SharedAccount]) -> tuple[AccountReading, ...]:
    """Return the readings of all accounts that a member counts, its own first."""
    return *member.own, *(account.reading for account in accounts if number in account.members)


def _doubts(number: int, members: Sequence[Member], claims: Sequence[Assessment]) -> Iterator[str]:
    """Yield why the needs of other members are uncertain."""
    for other, claim in enumerate(claims):
        if other != number and claim.doubt:
            yield f"what {members[other].policy.mode} needs from shared accounts: {claim.doubt}"


def _unread(number: int, accounts: Sequence[SharedAccount]) -> Iterator[str]:
    """Yield why the balances of the others, and so the holds left for a member's own accounts, are uncertain."""
    for members, reading in ((account.members, account.reading) for account in accounts):
        if number not in members and reading.found is None:
            yield f"what others have in {reading.account}: {reading.problem}"


def own_part(reading: AccountReading) -> AccountPart:
    """Return the part of an account that no other mode counts, which is all of it."""
    found = reading.found
    if found is None:
        return AccountPart(reading.account, reading.asset, None, problem=reading.problem)
    return AccountPart(
        reading.account,
        reading.asset,
        found.amount,
        part=found.amount,
        observed_at=found.observed_at,
        block=found.block,
        locked=found.locked,
        note=found.note or "",
    )


def _own_parts(readings: Sequence[AccountReading], taken: Bounds, why: str) -> list[AccountPart]:
    """Return the parts of own accounts, less the holds on them, one after the other up to the balance of each."""
    parts = [own_part(reading) for reading in readings]
    if not taken.upper:
        return parts
    if not is_exact(taken) or any(part.amount is None for part in parts):
        return [part._replace(held=None, part=None, problem=part.problem or why) for part in parts]
    placed = place_holds(taken.upper, [reading.bounds for reading in readings]).shared
    return [
        part._replace(held=placement.held.lower, part=placement.left.lower)
        for part, placement in zip(parts, placed, strict=True)
    ]


def _shared_parts(
    number: int,
    member: Member,
    accounts: Sequence[SharedAccount],
    placements: Sequence[Placement],
    allotment: Allotment,
    why: str,
) -> list[AccountPart]:
    """Return the parts of shared accounts, with how much of each a member gets."""
    parts: list[AccountPart] = []
    for account, placement, part in zip(accounts, placements, allotment.parts, strict=True):
        if number in account.members:
            whole = own_part(account.reading)
            held = placement.held.lower if is_exact(placement.held) else None
            problem = whole.problem or (why if part is None else "")
            parts.append(whole._replace(held=held, part=part, method=member.terms.method, problem=problem))
    return parts


def _less(bounds: Bounds, held: Decimal) -> Bounds:
    return Bounds(*(None if end is None else subtract(end, held) for end in bounds))
