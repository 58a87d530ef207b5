"""The `reservd` command: one file a subcommand, each importing what it needs only when it runs."""

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from reservd._version import __version__
from reservd.cli.check import check
from reservd.cli.check_config import check_config
from reservd.cli.events import events
from reservd.cli.healthcheck import healthcheck
from reservd.cli.options import DEFAULT_CONFIG
from reservd.cli.plugins import plugins
from reservd.cli.replenishments import replenishments
from reservd.cli.run import run
from reservd.cli.schema import schema
from reservd.cli.silence import silence
from reservd.cli.status import status
from reservd.cli.token import token
from reservd.cli.withdrawals import withdrawals

# Typer brings its own copy of click, or used to need the real one: its errors are known by this one.
_ClickException = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException")
_MISUSED = 2
_NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""What writing to standard output fails with, besides a closed pipe."""

app = typer.Typer(
    name="reservd",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich would double the time that --help takes
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(check)
app.command("check-config")(check_config)
app.command()(status)
app.add_typer(events, name="events")
app.add_typer(withdrawals, name="withdrawals")
app.add_typer(replenishments, name="replenishments")
app.command()(silence)
app.command()(healthcheck)
app.command()(token)
app.command()(plugins)
app.command()(schema)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reservd {__version__}")
        raise typer.Exit


@app.callback()
def _reservd(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Watch how much of each strategy's equity is liquid, and say so before redemptions outrun it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 well; 1 something failed; 2 wrong usage. `reservd check` has those of monitoring
    plugins instead, so that wrong usage of it is 3, unknown, and never 2, critical.
    """
    from reservd.errors import ConfigError, ReservdError

    _stand_in_for_closed_output()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    checking = next((word for word in arguments if not word.startswith("-")), None) == "check"
    failed, misused = (3, 3) if checking else (1, 2)
    try:
        code = app(arguments, prog_name="reservd", standalone_mode=False)
    except ConfigError as error:
        for line in error.problems:
            _say(line)
        if error.problems[0].startswith(f"{DEFAULT_CONFIG}: cannot be read"):  # whoever named a file knows how
            _say("name another configuration by --config FILE or $RESERVD_CONFIG")
        sys.exit(failed)
    except ReservdError as error:
        _say(f"reservd: {error}")
        sys.exit(failed)
    except (typer.Abort, SystemExit):
        # The latter is how Typer ends what wrote to a closed pipe; it would end a check as if it had found "low".
        sys.exit(failed)
    except Exception as error:
        if isinstance(error, _ClickException):
            with suppress(OSError):
                error.show()  # type: ignore[attr-defined]  # every click error has it
            sys.exit(misused if getattr(error, "exit_code", None) == _MISUSED else failed)
        if isinstance(error, OSError) and error.errno in _NOT_WRITTEN and error.filename is None:
            _say(f"reservd: the output cannot be written: {error.strerror}")
            sys.exit(failed)
        if not checking:
            raise
        import traceback

        traceback.print_exc()
        sys.exit(failed)
    sys.exit(code if isinstance(code, int) else 0)


def _stand_in_for_closed_output() -> None:
    """Open what was closed before the program started, so that no other file or socket gets its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115  # open until the process ends


def _say(line: str) -> None:
    """Print a line on standard error; the exit code tells enough if that cannot be written either."""
    with suppress(OSError):
        typer.echo(line, err=True)
