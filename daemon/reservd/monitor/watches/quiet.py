"""Decides which modes a cycle may skip, so that its cost follows what changed and not the number of modes."""

from collections.abc import Iterable, Sequence

from reservd.errors import CallError
from reservd.monitor.sources.table import Place
from reservd.monitor.watches.readings import GroupRecord, Readings
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.readings import Equity


class QuietModes:
    """Finds those modes of a group for which readings have something new.

    The others are skipped. Their last check changed nothing and left nothing to wait for (`ModeWatch.is_quiet`), and
    the equity and every balance are the same as then, so that another check would change nothing again: only times and
    blocks differ. Nothing is read of a skipped mode, and only the shared record is written.

    Args:
        watches: Modes with the same equity and the same limit on the age of readings.
    """

    def __init__(self, watches: Sequence[ModeWatch]) -> None:
        self._watches = watches
        self._modes = [watch.mode for watch in watches]
        self._record = GroupRecord(set(range(len(watches))))
        self._owners: dict[str, dict[Place, list[int]]] = {}
        for number, watch in enumerate(watches):
            watch.join(self._record, number)
            for source, place in watch.places:
                self._owners.setdefault(source, {}).setdefault(place, []).append(number)
        self._before: Readings | None = None

    def wake(self, readings: Readings) -> tuple[Sequence[ModeWatch], Sequence[str]]:
        """Return the modes to check, and the names of those that are unchanged."""
        self._record.awake.update(self._with_news(readings))
        self._before = readings
        if len(self._record.awake) == len(self._watches):
            return self._watches, []
        awake = sorted(self._record.awake)
        # In slices: visiting every skipped mode would be most of the cost of a cycle.
        others: list[str] = []
        start = 0
        for number in awake:
            others += self._modes[start:number]
            start = number + 1
        others += self._modes[start:]
        return [self._watches[number] for number in awake], others

    def rest(self, checked: Iterable[ModeWatch], readings: Readings) -> None:
        """Skip those of the checked modes from now on that have nothing to wait for."""
        awake = self._record.awake
        # The readings that left the other modes unchanged; not needed if no mode is skipped.
        self._record.readings = readings if len(awake) < len(self._watches) else None
        awake.difference_update([watch.number for watch in checked if watch.is_quiet()])

    def _with_news(self, readings: Readings) -> Iterable[int]:
        before = self._before
        if before is None or not _is_same(before.equity, readings):
            return range(len(self._watches))
        found: list[int] = []
        for source, owners in self._owners.items():
            news = readings.balances[source].news(before.balances[source], readings.earliest, readings.latest)
            if news is None:
                return range(len(self._watches))
            for place in news & owners.keys():
                found += owners[place]
        return found


def _is_same(before: Equity | CallError, readings: Readings) -> bool:
    """Return whether the equity can be believed and is the same as before."""
    equity = readings.equity
    return (
        isinstance(equity, Equity)
        and isinstance(before, Equity)
        and equity.amount == before.amount
        and equity.currency == before.currency
        and equity.net_of_withdrawals == before.net_of_withdrawals
        and equity.complete
        and readings.earliest <= equity.observed_at <= readings.latest
        and (equity.newest_at is None or equity.newest_at <= readings.latest)
    )
