"""Which modes a cycle may leave alone: its cost follows what changed, not how many modes there are."""

from collections.abc import Iterable, Sequence

from reservd.errors import CallError
from reservd.monitor.readings import GroupRecord, Readings
from reservd.monitor.table import Place
from reservd.monitor.watch import ModeWatch
from reservd.reserve.readings import Equity


class QuietModes:
    """Finds those of a group of modes of which readings say something new.

    The others are left alone: their last check led nowhere and left nothing to wait for
    (`ModeWatch.is_quiet`), and equity and every balance are what they were then, so that the same check
    would lead nowhere again: only their times are others, and blocks. Nothing of them is read, and
    nothing written but what they share.

    Args:
        watches: Modes that share one equity and believe readings of the same age.
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
        """Return the modes to check, and the names of those that are as they were."""
        self._record.awake.update(self._with_news(readings))
        self._before = readings
        if len(self._record.awake) == len(self._watches):
            return self._watches, []
        awake = sorted(self._record.awake)
        # In slices: to look at each of the others, one by one, would be most of what a cycle costs.
        others: list[str] = []
        start = 0
        for number in awake:
            others += self._modes[start:number]
            start = number + 1
        others += self._modes[start:]
        return [self._watches[number] for number in awake], others

    def rest(self, checked: Iterable[ModeWatch], readings: Readings) -> None:
        """Let those of the checked modes rest that have nothing to wait for."""
        awake = self._record.awake
        # What the others were left alone with; when there are none, nobody needs to look.
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
    """Whether the equity may be believed and is what it was."""
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
