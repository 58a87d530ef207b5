"""Holds without a service, for the tests of the domain and of the store."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from reservd.reserve.holds import GroupReading, Hold, hold_for
from reservd.reserve.holds.places import Accounts
from reservd.reserve.identity import AccountKey
from reservd.reserve.withdrawal import Terms, WithdrawalPolicy, WithdrawalSpeed
from support.reserve import NOON


def make_hold(
    position: int,
    from_reserve: object = 10,
    unwound: object = 0,
    *,
    mode: str = "m",
    group: str = "",
    key: str = "",
    at: datetime = NOON,
    policy: WithdrawalPolicy = WithdrawalPolicy(),  # noqa: B008  # it is frozen
) -> Hold:
    """Return a hold as it is right after its acceptance."""
    whole = Decimal(str(from_reserve)), Decimal(str(unwound))
    speed = WithdrawalSpeed.FAST if not whole[1] else WithdrawalSpeed.MEDIUM if whole[0] else WithdrawalSpeed.SLOW
    return hold_for(
        f"h-{position}",
        position,
        mode,
        group or mode,
        "USDT",
        Terms(speed, *whole),
        policy,
        key=key or f"k-{position}",
        expected_at=None,
        snapshot_at=None,
        now=at,
    )


def read(balance: object, at: datetime = NOON, block: int | None = None) -> GroupReading:
    """Return a reading of a group of accounts."""
    return GroupReading(Decimal(str(balance)), at, block)


def accounts_of(names: str) -> Accounts:
    """Return the accounts named by letters."""
    return frozenset(AccountKey("bank", name, "USDT") for name in names)


class Payers:
    """Which modes are paid from which accounts, in USDT; accounts are named by letters.

    Args:
        modes: The accounts of each mode. Modes with the same accounts share them; others have none in common.
    """

    def __init__(self, modes: Mapping[str, str]) -> None:
        self.modes = modes

    def group_of(self, hold: Hold) -> str | None:
        return self.modes.get(hold.mode) if hold.currency == "USDT" else None

    def accounts_of(self, mode: str) -> Accounts:
        return accounts_of(self.modes[mode])

    def groups_with(self, accounts: Iterable[AccountKey]) -> tuple[str, ...]:
        named = {account.address for account in accounts}
        return tuple(dict.fromkeys(names for names in self.modes.values() if named & set(names)))
