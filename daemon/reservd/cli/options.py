"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("reservd.yaml")

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", metavar="FILE", help="The configuration file.", envvar="RESERVD_CONFIG"),
]
