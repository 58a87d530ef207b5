"""The gauges of all modes, kept as text of which only changed modes are rewritten.

`prometheus_client` renders every sample on every scrape, which takes 1.5 s for 10,000 modes. Here each line is cached;
a cycle rewrites the lines of the changed modes and joins all lines.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from reservd.monitor.observer import Checked
from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.tracker import TrackerState

_SEVERITIES = (ReserveStatus.LOW, ReserveStatus.CRITICAL)

_FAMILIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("reservd_reserve_balance", "Balance that can be paid out now, in the share-class currency.", ("",)),
    ("reservd_total_equity", "Total equity of the mode, in the share-class currency.", ("",)),
    ("reservd_target_reserve", "Target of the reserve, in the share-class currency.", ("",)),
    (
        "reservd_reserve_utilization_ratio",
        "Coverage of the target by the reserve: 1 is at target, NaN without a target.",
        ("",),
    ),
    ("reservd_reserve_shortfall", "How far the reserve is below its target, in the share-class currency.", ("",)),
    ("reservd_reserve_held", "Amount held for accepted withdrawals, in the share-class currency.", ("",)),
    (
        "reservd_reserve_status",
        "The confirmed status: 1 for the current one, 0 for the others.",
        tuple(f',status="{status}"' for status in ReserveStatus),
    ),
    (
        "reservd_incident_open",
        "Whether an incident of this severity is open; it stays open while the status is unknown.",
        tuple(f',severity="{severity}"' for severity in _SEVERITIES),
    ),
    ("reservd_last_snapshot_timestamp_seconds", "When the last conclusive check was made, in Unix time.", ("",)),
)
_AMOUNTS = 6
"""The first columns: money and coverage, which have no line before the first reading."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes since the last call. They are taken on the event loop and rendered off it.

    Attributes:
        states: The state of each mode that changed.
        stamps: When each mode last had a conclusive check, as text; modes that never had one are missing.
    """

    states: Mapping[str, TrackerState]
    stamps: Mapping[str, str]


class ModeGauges:
    """Caches the lines of every mode's gauges.

    `note`, `note_stamp` and `take` run on the event loop; `render` runs on one other thread.
    """

    def __init__(self, modes: Mapping[str, str]) -> None:
        """Create the lines of the modes.

        Args:
            modes: Share class by mode. Neither needs escaping: the configuration allows no such character.
        """
        self._modes = list(modes)
        self._rows = {mode: row for row, mode in enumerate(modes)}
        self._pending: dict[str, TrackerState] = {}
        self._stamps: dict[str, str] = {}
        self._stamp: tuple[datetime | None, str] = (None, "")
        labels = [f'mode="{mode}",share_class="{share_class}"' for mode, share_class in modes.items()]
        prefixes = [
            [f"{name}{{{label}{extra}}} " for label in labels] for name, _, extras in _FAMILIES for extra in extras
        ]
        *self._flag_prefixes, self._stamp_prefixes = prefixes[_AMOUNTS:]
        self._amount_prefixes = prefixes[:_AMOUNTS]
        # Amounts that were never read have no line: absent is not zero.
        self._amounts = [[""] * len(modes) for _ in self._amount_prefixes]
        self._flags = [[""] * len(modes) for _ in self._flag_prefixes]
        self._flagged: list[tuple[ReserveStatus, ReserveStatus | None] | None] = [None] * len(modes)
        for row in range(len(modes)):
            self._write_flags(row, ReserveStatus.UNKNOWN, None)

    def note(self, checked: Checked) -> None:
        """Record a check of a mode."""
        self._pending[checked.mode] = checked.step.state
        if checked.step.conclusive:
            self._stamps[checked.mode] = self._text(checked.snapshot.timestamp)

    def note_memory(self, mode: str, state: TrackerState) -> None:
        """Record the restored state of a mode: an incident may be open although nothing was read yet."""
        self._pending[mode] = state
        if state.good is not None:
            self._stamps[mode] = self._text(state.good.timestamp)

    def note_stamp(self, modes: Iterable[str], at: datetime) -> None:
        """Record that modes were checked and had not changed."""
        self._stamps.update(dict.fromkeys(modes, self._text(at)))

    def take(self) -> Changes:
        """Return the changes, and forget them."""
        changes = Changes(self._pending, dict(self._stamps))
        self._pending = {}
        return changes

    def render(self, changes: Changes) -> Iterator[bytes]:
        """Yield the exposition of all modes in pieces, so that no step blocks the interpreter for long."""
        for mode, state in changes.states.items():
            row = self._rows[mode]
            # The last good values stay while checks are inconclusive: their timestamp shows their age.
            self._write_amounts(row, state.good)
            self._write_flags(row, state.confirmed or ReserveStatus.UNKNOWN, state.incident_severity)
        stamps = map(changes.stamps.get, self._modes)
        stamped = [prefix + at if at else "" for prefix, at in zip(self._stamp_prefixes, stamps, strict=True)]
        columns = iter([*self._amounts, *self._flags, stamped])
        for name, help_text, extras in _FAMILIES:
            yield f"# HELP {name} {help_text}\n# TYPE {name} gauge\n".encode()
            for _ in extras:
                yield "".join(next(columns)).encode()

    def _write_amounts(self, row: int, good: ReserveSnapshot | None) -> None:
        if good is None:
            for column in self._amounts:
                column[row] = ""
            return
        amounts = (
            good.reserve_balance,
            good.total_equity,
            good.target_reserve,
            good.reserve_utilization,
            good.shortfall,
            good.held,
        )
        for column, prefixes, amount in zip(self._amounts, self._amount_prefixes, amounts, strict=True):
            # Prometheus parses the text of a decimal, so no float is needed in between.
            column[row] = f"{prefixes[row]}{amount!s}\n" if amount is not None else f"{prefixes[row]}NaN\n"

    def _write_flags(self, row: int, status: ReserveStatus, severity: ReserveStatus | None) -> None:
        if self._flagged[row] == (status, severity):
            return
        self._flagged[row] = status, severity
        flags = [*(status is one for one in ReserveStatus), *(severity is one for one in _SEVERITIES)]
        for column, prefixes, flag in zip(self._flags, self._flag_prefixes, flags, strict=True):
            column[row] = f"{prefixes[row]}{flag:d}\n"

    def _text(self, at: datetime) -> str:
        # Hundreds of modes are checked at the same time.
        if at is not self._stamp[0]:
            self._stamp = at, f"{at.timestamp():.3f}\n"
        return self._stamp[1]
