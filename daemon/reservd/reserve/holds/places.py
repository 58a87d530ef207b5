"""Decides on which accounts a hold counts: those from which its mode is now paid, or those that were promised."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

from reservd.reserve.holds.hold import Hold
from reservd.reserve.identity import AccountKey

Accounts = frozenset[AccountKey]


class Grouping(Protocol):
    """Tells which modes are now paid from which accounts."""

    def group_of(self, hold: Hold) -> str | None:
        """Return the group from which a hold's mode is now paid; None if that is gone or has another currency."""

    def accounts_of(self, mode: str) -> Accounts:
        """Return the accounts from which a mode is paid."""

    def groups_with(self, accounts: Iterable[AccountKey]) -> tuple[str, ...]:
        """Return the groups that contain any of some accounts."""


class AsDecided:
    """The default grouping: every hold is paid from where it was decided."""

    def group_of(self, hold: Hold) -> str | None:
        """Return the group at the decision."""
        return hold.group

    def accounts_of(self, mode: str) -> Accounts:
        """Return none: the accounts are unknown."""
        del mode
        return frozenset()

    def groups_with(self, accounts: Iterable[AccountKey]) -> tuple[str, ...]:
        """Return none."""
        del accounts
        return ()


class UnreadableHold(NamedTuple):
    """A stored hold that this version cannot read: another version wrote it, or it is damaged."""

    id: str
    mode: str
    key: str
    group: str


class HoldPlaces:
    """Keeps track of the groups on which holds count. A hold moves with its mode.

    A hold whose mode is gone, or now has another currency, stands apart: it counts in full on every group that contains
    any of the accounts that were promised. Nobody knows from which of them it will be paid, and no coin may be promised
    twice.

    Attributes:
        grouping: Tells which modes are now paid from which accounts.
    """

    def __init__(self) -> None:
        self.grouping: Grouping = AsDecided()
        self._accounts: dict[str, Accounts] = {}
        self._apart: dict[str, tuple[str, ...]] = {}
        self._new: dict[str, None] = {}
        self._unreadable: dict[str, UnreadableHold] = {}

    def load(self, accounts: Mapping[str, Accounts]) -> None:
        """Load the accounts of groups."""
        self._accounts.update(accounts)

    def leave_out(self, unreadable: UnreadableHold) -> None:
        """Note that there is a hold that cannot be read."""
        self._unreadable[unreadable.id] = unreadable

    def is_unreadable(self, hold_id: str) -> bool:
        """Return whether a hold is one that cannot be read."""
        return hold_id in self._unreadable

    @property
    def any_unreadable(self) -> bool:
        """Whether there is a hold that cannot be read."""
        return bool(self._unreadable)

    def in_doubt(self, group: str, modes: Collection[str]) -> bool:
        """Return whether more may be promised of a group, from which these modes are paid, than can be read."""
        return any(
            each.mode in modes
            or each.group == group
            or group in self.grouping.groups_with(self._accounts.get(each.group, ()))
            for each in self._unreadable.values()
        )

    def place(self, hold: Hold) -> Hold:
        """Return a hold with the group on which it counts from now on; see `groups`."""
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
        """Return whether a hold that was placed before still counts on the same groups."""
        group = self.grouping.group_of(hold)
        if group is None:
            return self._apart.get(hold.id) == self._groups_apart(hold)
        return group == hold.group and not self.is_apart(hold)

    def groups(self, hold: Hold) -> tuple[str, ...]:
        """Return the groups on which a hold counts."""
        return self._apart.get(hold.id) or (hold.group,)

    def accounts(self, hold: Hold) -> Accounts:
        """Return the accounts that were promised; none if they are unknown."""
        return self._accounts.get(hold.group, frozenset())

    def is_apart(self, hold: Hold) -> bool:
        """Return whether a hold's mode no longer pays it."""
        return hold.id in self._apart

    def apart_on(self, group: str) -> Iterator[str]:
        """Yield the ids of the holds that stand apart and count on a group."""
        return (hold_id for hold_id, groups in self._apart.items() if group in groups)

    def forget(self, hold: Hold) -> None:
        """Drop a hold."""
        self._apart.pop(hold.id, None)

    def _groups_apart(self, hold: Hold) -> tuple[str, ...]:
        return self.grouping.groups_with(self.accounts(hold)) or (hold.group,)

    @property
    def changed(self) -> bool:
        """Whether accounts have to be stored."""
        return bool(self._new)

    def take_new(self) -> dict[str, Accounts]:
        """Return the accounts that have to be stored, and clear them."""
        new, self._new = self._new, {}
        return {group: self._accounts[group] for group in new}
