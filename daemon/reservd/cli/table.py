"""Tables of the command line."""

from rich.console import Console
from rich.table import Table

_FILE_WIDTH = 200
"""Columns of a table that goes to a file or a pipe: no terminal limits it."""


def make_table(*headings: str) -> Table:
    """Return an empty table without lines."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def make_console() -> Console:
    """Return standard output, wide enough for a table where it is no terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    return console
