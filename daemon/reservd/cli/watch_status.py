"""`reservd status --watch`: refreshes the table, also through times in which the daemon does not answer."""

import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from reservd.cli.daemon import Access, explain, open_client
from reservd.cli.event_view import show_time
from reservd.cli.status import fetch_modes
from reservd.cli.status_view import show_modes, summarize
from reservd.cli.table import visible
from reservd.client import Client
from reservd.errors import ApiUnavailableError
from reservd.wire.modes import ModeView

_REDRAWS_A_SECOND = 2


def watch_status(access: Access, names: Sequence[str], every_seconds: float) -> None:
    """Show how modes stand until Ctrl-C or SIGTERM, which is its regular end; what was shown last stays.

    Args:
        access: How the daemon is asked.
        names: The modes; none for all.
        every_seconds: How often it is asked.

    Raises:
        ReservdError: If the daemon will not, and would not when asked again.
        ConfigError: If it does not watch one of the modes.
    """
    # A terminal is given back by whoever ends in order, also where what started it ignores Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    console = Console(highlight=False)
    board = _Board(access, names, console)
    try:
        with (
            open_client(access) as client,
            Live(get_renderable=board.render, console=console, screen=True, refresh_per_second=_REDRAWS_A_SECOND),
        ):
            while True:
                board.look(client)
                time.sleep(every_seconds)
    except KeyboardInterrupt:
        console.print(board.render())


class _Board:
    """What is shown: how the modes stood when the daemon last answered, and whether it does.

    It is drawn on a thread of its own, so that ages go on while the daemon is waited for.
    """

    def __init__(self, access: Access, names: Sequence[str], console: Console) -> None:
        self._access = access
        self._names = names
        self._console = console
        self._modes: Sequence[ModeView] = ()
        self._answered_at: datetime | None = None
        self._problem: str | None = None

    def look(self, client: Client) -> None:
        """Ask the daemon once."""
        try:
            modes = fetch_modes(client, self._names)
        except ApiUnavailableError as error:
            # Where it is needs no explaining once it has answered.
            self._problem = str(explain(error, self._access) if self._answered_at is None else error)
        else:
            self._modes, self._answered_at, self._problem = modes, datetime.now(UTC), None

    def render(self) -> RenderableType:
        """Return what is shown now."""
        now, answered_at, problem = datetime.now(UTC), self._answered_at, self._problem
        title = Text.assemble(("reservd", "bold"), " at ", visible(self._access.place), "  ")
        if answered_at is None:
            return Group(title, visible(problem, "bold red")) if problem is not None else title.append("waiting ...")
        title.append_text(summarize(self._modes)).append(f"  {now:%H:%M:%S}Z", "dim")
        parts: list[RenderableType] = [title]
        if problem is not None:
            parts.append(visible(f"no answer: {problem}. As of {show_time(answered_at)}:", "bold red"))
        return Group(*parts, "", show_modes(self._modes, now, self._console.width))
