"""Options that several commands share, and how their values are parsed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from decimal import Decimal

DEFAULT_CONFIG = Path("reservd.yaml")

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", metavar="FILE", help="The configuration file.", envvar="RESERVD_CONFIG"),
]

WebConfigFileOption = Annotated[
    Optional[Path],  # noqa: UP045  # typer reads the annotation
    typer.Option(
        "--web.config.file",
        metavar="FILE",
        help="TLS and passwords of the whole server, in the file that Prometheus exporters share.",
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON; amounts are decimal strings.")]


def parse_positive(text: str, hint: str = "AMOUNT") -> "Decimal":
    """Return the amount above 0 that an argument says.

    Raises:
        typer.BadParameter: If it says none.
    """
    from reservd.reserve.amounts import parse_amount

    try:
        amount = parse_amount(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from None
    if amount <= 0:
        raise typer.BadParameter(f"must be above 0, got {text}", param_hint=hint)
    return amount


def refuse_options(context: typer.Context) -> None:
    """Refuse options that stand before a group's command: they are of its list, and would be ignored.

    Raises:
        typer.BadParameter: If there is one.
    """
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"must stand after '{context.invoked_subcommand}'", ctx=context, param_hint=name)


def plural(number: int, what: str) -> str:
    """Return `1 mode` or `2 modes`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
