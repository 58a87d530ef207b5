"""Which accounts a hold counts on: those its mode is paid from now, or those that were promised."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

from reservd.reserve.holds.hold import Hold
from reservd.reserve.identity import AccountKey

Accounts = frozenset[AccountKey]


class Grouping(Protocol):
    """Who is paid from which accounts now."""

    def group_of(self, hold: Hold) -> str | None:
        """Return the accounts that a hold's mode is paid from; None when nobody is any more, in the hold's currency."""

    def accounts_of(self, mode: str) -> Accounts:
        """Return what these accounts are."""

    def groups_with(self, accounts: Iterable[AccountKey]) -> tuple[str, ...]:
        """Return the groups that have any of some accounts."""


class AsDecided:
    """Everything is paid from where it was decided."""

    def group_of(self, hold: Hold) -> str | None:
        """Return the group of then."""
        return hold.group

    def accounts_of(self, mode: str) -> Accounts:
        """Return none: which they are is not known."""
        del mode
        return frozenset()

    def groups_with(self, accounts: Iterable[AccountKey]) -> tuple[str, ...]:
        """Return none."""
        del accounts
        return ()


class UnreadableHold(NamedTuple):
    """A hold in the store that this reservd cannot read: another version wrote it, or it was damaged."""

    id: str
    mode: str
    key: str
    group: str


class HoldPlaces:
    """Holds go along with their modes; those whose modes are gone, or have another currency by now, stand apart.

    What stands apart counts in full on every group that has any of the accounts that were promised: which of them
    it will be paid from nobody knows, and the same coin must not be promised twice.

    Attributes:
        grouping: Who is paid from which accounts now.
    """

    def __init__(self) -> None:
        self.grouping: Grouping = AsDecided()
        self._accounts: dict[str, Accounts] = {}
        self._apart: dict[str, tuple[str, ...]] = {}
        self._new: dict[str, None] = {}
        self._unreadable: dict[str, UnreadableHold] = {}

    def load(self, accounts: Mapping[str, Accounts]) -> None:
        """Take in what the accounts of groups are."""
        self._accounts.update(accounts)

    def leave_out(self, unreadable: UnreadableHold) -> None:
        """Note that there is a hold that cannot be read."""
        self._unreadable[unreadable.id] = unreadable

    def is_unreadable(self, hold_id: str) -> bool:
        """Whether a hold is one that cannot be read."""
        return hold_id in self._unreadable

    @property
    def any_unreadable(self) -> bool:
        """Whether some hold cannot be read."""
        return bool(self._unreadable)

    def in_doubt(self, group: str, modes: Collection[str]) -> bool:
        """Whether more may be promised of a group, from which these modes are paid, than can be read."""
        return any(
            each.mode in modes
            or each.group == group
            or group in self.grouping.groups_with(self._accounts.get(each.group, ()))
            for each in self._unreadable.values()
        )

    def place(self, hold: Hold) -> Hold:
        """Return a hold with the group that it counts on from now on; see `groups`."""
        group = self.grouping.group_of(hold)
        if group is None:
            self._apart[hold.id] = self._groups_apart(hold)
            return hold
        self._apart.pop(hold.id, None)
        if group not in self._accounts and (accounts := self.grouping.accounts_of(hold.mode)):
            self._accounts[group] = accounts
            self._new[group] = None
        return hold if group == hold.group else replace(hold, group=group)

    def stays(self, hold: Hold) -> bool:
        """Whether a hold that was placed before counts where it did."""
        group = self.grouping.group_of(hold)
        if group is None:
            return self._apart.get(hold.id) == self._groups_apart(hold)
        return group == hold.group and not self.is_apart(hold)

    def groups(self, hold: Hold) -> tuple[str, ...]:
        """Return the groups that a hold counts on."""
        return self._apart.get(hold.id) or (hold.group,)

    def accounts(self, hold: Hold) -> Accounts:
        """Return the accounts that were promised; none where that is not known."""
        return self._accounts.get(hold.group, frozenset())

    def is_apart(self, hold: Hold) -> bool:
        """Whether its mode does not pay it any more."""
        return hold.id in self._apart

    def apart_on(self, group: str) -> Iterator[str]:
        """Yield the ids of the holds that stand apart and count on a group."""
        return (hold_id for hold_id, groups in self._apart.items() if group in groups)

    def forget(self, hold: Hold) -> None:
        """Leave a hold out."""
        self._apart.pop(hold.id, None)

    def _groups_apart(self, hold: Hold) -> tuple[str, ...]:
        return self.grouping.groups_with(self.accounts(hold)) or (hold.group,)

    @property
    def changed(self) -> bool:
        """Whether accounts are to be stored."""
        return bool(self._new)

    def take_new(self) -> dict[str, Accounts]:
        """Return the accounts that are to be stored, and forget that they are."""
        new, self._new = self._new, {}
        return {group: self._accounts[group] for group in new}
