"""Keeps track of which modes share accounts, as modes are added and change."""

from collections.abc import Iterable, Iterator

from reservd.config.accounts import Disagreement, Holding, find_disagreements
from reservd.monitor.watches.sharing import SharingGroup
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.identity import AccountKey


class Sharers:
    """Knows which modes count which account, and tells each mode with whom it shares."""

    def __init__(self) -> None:
        self._by_account: dict[AccountKey, dict[str, ModeWatch]] = {}
        self._order: dict[str, int] = {}

    def disagreements(self, watch: ModeWatch) -> list[Disagreement]:
        """Return why a mode, as configured, cannot share accounts with the other modes that count them."""
        found = [
            each
            for holding, sharers in self._sharers_of(watch)
            for each in find_disagreements(holding, {one.mode: one.config for one in sharers})
        ]
        # Each disagreement once, however many accounts are shared.
        return list({(each.mode, each.option): each for each in found}.values())

    def replace(self, before: ModeWatch | None, watch: ModeWatch) -> None:
        """Add a mode or replace it, and update the groups of all modes that are affected."""
        self._order.setdefault(watch.mode, len(self._order))
        concerned = {watch.mode: watch}
        if before is not None:
            for holding in before.holdings:
                del self._by_account[holding.key][watch.mode]
            if before.sharing is not None:
                concerned = {each.mode: each for each in before.sharing.watches} | concerned
        for holding in watch.holdings:
            self._by_account.setdefault(holding.key, {})[watch.mode] = watch
        while concerned:
            _, one = concerned.popitem()
            group = self.group_of(one)
            for member in group.watches if group is not None else (one,):
                concerned.pop(member.mode, None)
                member.share(group)

    def group_of(self, watch: ModeWatch) -> SharingGroup | None:
        """Return the group of modes that share accounts with a mode, which need not have been added.

        None if it shares none, and none of its accounts is read under two names.
        """
        found = {watch.mode: watch}
        new = [watch]
        while new:
            others = {each.mode: each for _, sharers in self._sharers_of(new.pop()) for each in sharers}
            new += [each for mode, each in others.items() if mode not in found]
            found = others | found
        if len(found) == 1 and not any(holding.twins for holding in watch.holdings):
            return None
        group = SharingGroup(self._ordered(found.values()))
        return group if len(found) > 1 or group.compares else None

    def modes_with(self, accounts: Iterable[AccountKey]) -> list[str]:
        """Return the modes that count any of these accounts, in the order of the configuration."""
        found = {mode for account in accounts for mode in self._by_account.get(account, ())}
        return sorted(found, key=self._order.__getitem__)

    def _sharers_of(self, watch: ModeWatch) -> Iterator[tuple[Holding, list[ModeWatch]]]:
        """Yield each account of a mode with all modes that count it; the mode replaces its earlier self."""
        for holding in watch.holdings:
            known = {**self._by_account.get(holding.key, {}), watch.mode: watch}
            yield holding, self._ordered(known.values())

    def _ordered(self, watches: Iterable[ModeWatch]) -> list[ModeWatch]:
        return sorted(watches, key=lambda watch: self._order.get(watch.mode, len(self._order)))
