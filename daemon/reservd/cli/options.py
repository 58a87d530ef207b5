"""What several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("reservd.yaml")

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", metavar="FILE", help="The configuration file.", envvar="RESERVD_CONFIG"),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON; amounts are decimal strings.")]


def plural(number: int, what: str) -> str:
    """Return `1 mode` or `2 modes`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
