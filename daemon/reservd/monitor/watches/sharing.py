"""Groups modes that share accounts, so that they are read and checked together."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import NamedTuple

from reservd.config.accounts import Holding
from reservd.errors import CallError
from reservd.monitor.sources.table import Found, Table
from reservd.monitor.watches.holds import Holds, owed_of
from reservd.monitor.watches.readings import EquityPlace, Readings, believe_readings, equity_or_missing, why_missing
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.amounts import ZERO
from reservd.reserve.claims import AccountReading, Jump, Member
from reservd.reserve.holds import GroupReading, read_group
from reservd.reserve.identity import AccountKey, name_accounts
from reservd.reserve.readings import Balance, Equity
from reservd.reserve.sharing import Finding, SharedAccount, share_out
from reservd.reserve.state import Instant
from reservd.reserve.tracker import has_waited

Tables = Mapping[str, Table]
"""The readings, by source."""


class SharingGroup:
    """All modes that share accounts with each other, directly or through others.

    They are checked in one cycle, at the shortest of their intervals, because the needs of one decide what is left for
    the others. An account that has several names is read under the first of them, in the order of modes and names in
    the configuration; or under all of them, if one of the modes requires agreement.

    Attributes:
        name: The name of all its accounts together.
        watches: The modes, in the order of the configuration.
        interval_seconds: How often they are checked.
        sources: The balance sources that are read.
        believed: What all accounts held at the last complete reading without doubts; None before that.
        numbers: The index of each mode.
        compares: Whether an account is read under two names.
    """

    def __init__(self, watches: Sequence[ModeWatch]) -> None:
        self.name = name_accounts(holding.key for watch in watches for holding in watch.holdings)
        self.watches = tuple(watches)
        self.interval_seconds = min(watch.config.interval_seconds for watch in watches)
        self.numbers = {watch.mode: number for number, watch in enumerate(watches)}
        accounts = _accounts(watches)
        self.compares = any(len(account.names) > 1 for account in accounts)
        self._own = [[each for each in accounts if each.members == (number,)] for number in range(len(watches))]
        # Those with the fewest sharers first, just as a mode's own accounts count before shared ones.
        self._shared = sorted((each for each in accounts if len(each.members) > 1), key=lambda each: len(each.members))
        self.believed: GroupReading | None = None
        self.sources = frozenset(name.source for account in accounts for name in account.names)

    @property
    def equities(self) -> Mapping[EquityPlace, str]:
        """Where the equities are read, with the share class."""
        return {watch.equity: watch.config.share_class for watch in self.watches}

    def read(self, tables: Tables) -> tuple[list[tuple[AccountReading, ...]], list[SharedAccount]]:
        """Return the readings of each mode's own accounts and of the shared ones, in the order of splitting."""
        own = [tuple([read_account(account.names, tables) for account in accounts]) for accounts in self._own]
        return own, [SharedAccount(read_account(account.names, tables), account.members) for account in self._shared]


class JointReadings:
    """What one check read for modes that share accounts. Split once, when the first of them is looked up.

    Args:
        group: The modes.
        tables: The readings of all their balance sources.
        equities: The readings of all their equities.
        now: The time of the check.
    """

    def __init__(
        self,
        group: SharingGroup,
        tables: Tables,
        equities: Mapping[EquityPlace, Equity | CallError],
        now: Instant,
    ) -> None:
        self._group = group
        self._tables = tables
        self._own, self._shared = group.read(tables)
        self._equities = equities
        self._now = now
        self._findings: tuple[Finding, ...] = ()

    def readings(self, watch: ModeWatch) -> Readings:
        """Return the readings for one of the modes."""
        equity = self._equities[watch.equity]
        return believe_readings(self._tables, watch.equity, equity, watch.config.policy, self._now, self)

    def find(self, mode: str, holds: Holds | None) -> Finding:
        """Return the findings for one of the modes, with holds taken off."""
        if not self._findings:
            held = holds.held(self._group.watches[0].mode, self._balances) if holds is not None else ZERO
            members = [self._member(number, watch, holds, held) for number, watch in enumerate(self._group.watches)]
            self._findings = share_out(members, self._shared, held=held, now=self._now.wall)
            self._group.believed = self.whole or self._group.believed
        return self._findings[self._group.numbers[mode]]

    def wants_second_look(self, mode: str) -> bool:
        """Return whether a reading of a mode jumped, and the others wait for a second one. Call it after `find`."""
        return self._findings[self._group.numbers[mode]].jump is Jump.NEW

    @property
    def whole(self) -> GroupReading | None:
        """What all accounts of the group hold together; None when one was not read, or is in doubt."""
        balances = self._balances
        complete = len(balances) == len(self._shared) + sum(map(len, self._own))
        in_doubt = any(found.jump for found in self._findings)
        return read_group(balances) if complete and not in_doubt else None

    @property
    def _balances(self) -> list[Balance]:
        readings = [*chain.from_iterable(self._own), *(account.reading for account in self._shared)]
        return [reading.found for reading in readings if reading.found is not None]

    def _member(self, number: int, watch: ModeWatch, holds: Holds | None, held: Decimal) -> Member:
        equity = self._equities[watch.equity]
        promised = holds.held_by(watch.mode, self._balances) if holds is not None and held else ZERO
        return Member(
            watch.config.policy,
            watch.config.allocation,
            watch.state,
            equity_or_missing(watch.equity, equity),
            self._own[number],
            owed_of(watch.mode, equity, holds),
            promised,
            has_waited(watch.state, watch.config.policy, self._now),
        )


class _Account(NamedTuple):
    """One account, and where it is read.

    Attributes:
        names: The names under which it is read: one, or all that must agree.
        members: The indexes of the modes that count it.
    """

    names: tuple[Holding, ...]
    members: tuple[int, ...]


def read_account(names: Sequence[Holding], tables: Tables) -> AccountReading:
    """Return the reading of one account, under one name, or under several that must agree."""
    first = names[0]
    found = [(name, _look_up(name, tables[name.source])) for name in names]
    balances = [value for _, value in found if isinstance(value, Balance)]
    balance, problem = None, ""
    if len(balances) < len(found):
        name, value = next((name, value) for name, value in found if not isinstance(value, Balance))
        problem = why_missing(name.asset, value)
        if name is not first:
            problem = f"{name.label}, which must agree: {problem}"
    elif any(balance.amount != balances[0].amount for balance in balances):
        said = [f"{name.label} says {value.amount:f}" for name, value in zip(names, balances, strict=True)]
        problem = f"{', '.join(said)}: they must agree"
    else:
        balance = min(balances, key=lambda each: each.observed_at)
    return AccountReading(first.label, first.asset, balance, problem, first.non_negative)


def _look_up(holding: Holding, table: Table) -> Found | None:
    value = table.get((holding.account, holding.asset))
    # A failure without an asset is one of the whole account.
    return value if value is not None else table.get((holding.account, ""))


def _accounts(watches: Sequence[ModeWatch]) -> list[_Account]:
    """Return the accounts of modes, each once, in the order of the configuration."""
    names: dict[AccountKey, dict[tuple[str, str, str], Holding]] = {}
    members: dict[AccountKey, dict[int, bool]] = {}
    for number, watch in enumerate(watches):
        for holding in watch.holdings:
            for name in (holding, *holding.twins):
                names.setdefault(holding.key, {}).setdefault((name.source, name.account, name.asset), name)
            members.setdefault(holding.key, {})[number] = watch.config.reserve_require_agreement
    return [
        _Account(tuple(each.values()) if any(members[key].values()) else tuple(each.values())[:1], tuple(members[key]))
        for key, each in names.items()
    ]
