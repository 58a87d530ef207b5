"""Durations for people to read."""

_UNITS = ((86400, 2 * 86400, "d"), (3600, 2 * 3600, "h"), (60, 2 * 60, "min"))
"""The seconds in a unit, the duration from which it is used, and its name."""


def show_duration(seconds: float) -> str:
    """Return a duration, cut to whole units: `45 s`, `12 min`, `5 h`, `3 d`. Negative durations are shown as `0 s`."""
    for unit, least, name in _UNITS:
        if seconds >= least:
            return f"{int(seconds // unit):,} {name}"
    return f"{max(0, int(seconds))} s"
