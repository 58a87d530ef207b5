"""The gauges of all modes, as text that is changed where a mode changed.

`prometheus_client` renders every sample anew on every scrape, 1.5 s for 10,000 modes. Here each line
is kept; a cycle rewrites the lines of the modes that are new and joins them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from reservd.monitor.observer import Checked
from reservd.reserve.models import ReserveStatus

_SEVERITIES = (ReserveStatus.LOW, ReserveStatus.CRITICAL)
_NAN = "NaN"

_FAMILIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("reservd_reserve_balance", "What can be paid out now, in the share-class currency.", ("",)),
    ("reservd_total_equity", "Total equity of the mode, in the share-class currency.", ("",)),
    ("reservd_target_reserve", "What the reserve should be, in the share-class currency.", ("",)),
    (
        "reservd_reserve_utilization_ratio",
        "Coverage of the target by the reserve: 1 is at target, NaN without a target.",
        ("",),
    ),
    ("reservd_reserve_shortfall", "What lacks to the target, in the share-class currency.", ("",)),
    ("reservd_reserve_held", "Promised to accepted withdrawals, in the share-class currency.", ("",)),
    (
        "reservd_reserve_status",
        "The confirmed status: 1 for the one it is, 0 for the others.",
        tuple(f',status="{status}"' for status in ReserveStatus),
    ),
    (
        "reservd_incident_open",
        "Whether an incident of this severity is open; stays so while the status is unknown.",
        tuple(f',severity="{severity}"' for severity in _SEVERITIES),
    ),
    ("reservd_last_snapshot_timestamp_seconds", "When the last conclusive check was made, in Unix time.", ("",)),
)
_STAMP = -1
"""The last column: when."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new since the last time, taken on the event loop and rendered off it."""

    checked: Mapping[str, Checked]
    stamps: Sequence[str]


class ModeGauges:
    """Keeps the lines of every mode's gauges.

    `note` and `note_stamp` and `take` run on the event loop; `render` on one other thread.
    """

    def __init__(self, modes: Mapping[str, str]) -> None:
        """Make the lines of some modes.

        Args:
            modes: Share class by mode. Neither needs escaping: the configuration allows no such character.
        """
        self._rows = {mode: row for row, mode in enumerate(modes)}
        self._stamps = [""] * len(modes)
        self._pending: dict[str, Checked] = {}
        labels = [f'mode="{mode}",share_class="{share_class}"' for mode, share_class in modes.items()]
        self._prefixes = [
            [f"{name}{{{label}{extra}}} " for label in labels] for name, _, extras in _FAMILIES for extra in extras
        ]
        # Money that was never read has no line: absent is not zero.
        self._columns: list[list[str]] = [[""] * len(modes) for _ in self._prefixes]
        unknown = [_flag(False)] * 3 + [_flag(True)] + [_flag(False)] * len(_SEVERITIES)
        for column, value in zip(range(6, 12), unknown, strict=True):
            self._columns[column] = [prefix + value for prefix in self._prefixes[column]]

    def note(self, checked: Checked) -> None:
        """Remember that a mode is new."""
        self._pending[checked.mode] = checked
        if checked.step.conclusive:
            self._stamps[self._rows[checked.mode]] = f"{checked.snapshot.timestamp.timestamp():.3f}\n"

    def note_stamp(self, modes: Sequence[str], timestamp: float) -> None:
        """Remember that modes were checked and found as they were."""
        stamp = f"{timestamp:.3f}\n"
        for mode in modes:
            self._stamps[self._rows[mode]] = stamp

    def take(self) -> Changes:
        """Return what is new, and forget it."""
        changes = Changes(self._pending, tuple(self._stamps))
        self._pending = {}
        return changes

    def render(self, changes: Changes) -> str:
        """Return the exposition of all modes."""
        for mode, checked in changes.checked.items():
            self._rewrite(self._rows[mode], checked)
        self._columns[_STAMP] = [
            prefix + stamp if stamp else ""
            for prefix, stamp in zip(self._prefixes[_STAMP], changes.stamps, strict=True)
        ]
        parts: list[str] = []
        column = 0
        for name, help_text, extras in _FAMILIES:
            parts.append(f"# HELP {name} {help_text}\n# TYPE {name} gauge\n")
            for _ in extras:
                parts += self._columns[column]
                column += 1
        return "".join(parts)

    def _rewrite(self, row: int, checked: Checked) -> None:
        state = checked.step.state
        values: list[str] = []
        good = state.good
        if good is None:
            values = [""] * 6
        else:
            # The last good values stay while checks are inconclusive: their time stamp tells.
            values += [_number(good.reserve_balance), _number(good.total_equity), _number(good.target_reserve)]
            values += [_number(good.reserve_utilization), _number(good.shortfall), _number(good.held)]
        status = checked.status
        values += [_flag(status is one) for one in ReserveStatus]
        severity = state.incident_severity
        values += [_flag(severity is one) for one in _SEVERITIES]
        for column, value in enumerate(values):
            self._columns[column][row] = self._prefixes[column][row] + value if value else ""


def _number(value: Decimal | None) -> str:
    # Prometheus reads a decimal's own text: no float in between.
    return f"{value}\n" if value is not None else f"{_NAN}\n"


def _flag(value: bool) -> str:
    return "1\n" if value else "0\n"
