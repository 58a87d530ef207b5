"""Tables on the terminal, and text that is safe to print there."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

STATUS_STYLES = {"adequate": "green", "low": "yellow", "critical": "bold red", "unknown": "magenta"}
_FILE_WIDTH = 200
"""Columns of a table that goes to a file or a pipe: no terminal limits it."""


def make_table(*headings: str) -> Table:
    """Return an empty table without lines."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def make_console(least_width: int = 0) -> Console:
    """Return standard output, wide enough for a table where it is no terminal.

    Args:
        least_width: Columns below which a table cannot be read; a narrower terminal breaks its lines instead.
    """
    console = Console(highlight=False)
    console.width = max(console.width, least_width) if console.is_terminal else _FILE_WIDTH
    return console


def visible(text: object, style: str = "") -> Text:
    r"""Return a text that does nothing to a terminal.

    What others wrote, such as the answer of a receiver, may hold codes that move the cursor, rename the
    window or turn the direction of writing. They are shown, as `\x1b`; markup is shown as it is, too.
    """
    return Text(printable(text), style)


def printable(text: object) -> str:
    """Return the same as plain text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
