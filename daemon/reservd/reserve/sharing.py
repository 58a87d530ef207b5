"""Turns readings of shared accounts into what counts for each of the modes that share them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.allocation import Allotment, SharedBalance, allocate, is_exact
from reservd.reserve.amounts import ZERO, subtract
from reservd.reserve.claims import AccountReading, Assessment, Jump, Member, assess
from reservd.reserve.models import AccountPart, Bounds, Share
from reservd.reserve.placement import Placement, place_holds, reach_of
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
        jump: Whether a reading of its own jumped, so that its needs are uncertain to the others.
    """

    balances: tuple[Balance, ...]
    missing: tuple[Missing, ...]
    share: Share
    jump: Jump


def share_out(
    members: Sequence[Member], accounts: Sequence[SharedAccount], *, held: Decimal = ZERO, now: datetime
) -> tuple[Finding, ...]:
    """Split the accounts that modes share, and return the result for each mode.

    A shared account is believed if all modes that share it may believe its reading.

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
    placements = place_holds(
        held,
        [account.reading.bounds for account in accounts],
        [reach_of(member.promised, [reading.bounds for reading in member.own]) for member in members],
    )
    counted = [_counted(number, member, accounts) for number, member in enumerate(members)]
    balances = [tuple(each.found for each in readings if each.found is not None) for readings in counted]
    claims = [
        assess(member, found, now).less(taken)
        for member, found, taken in zip(members, balances, placements.own, strict=True)
    ]
    left = zip(accounts, placements.shared, strict=True)
    allotments = allocate(
        [SharedBalance(placement.left, account.members) for account, placement in left],
        [claim.sharer for claim in claims],
        members[0].terms.method,
    )
    findings = []
    for number, (member, allotment) in enumerate(zip(members, allotments, strict=True)):
        doubts = (*_doubts(number, members, claims), *_unread(number, accounts))
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
        findings.append(Finding(balances[number], tuple(missing), share, claims[number].jump))
    return tuple(findings)


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
