"""A balance source that reads a number from a file."""

from reservd.plugin import hookimpl
from reservd_tide.source import TideSource


@hookimpl
def reservd_register_balance_sources() -> list[type[TideSource]]:
    """Register the source."""
    return [TideSource]
