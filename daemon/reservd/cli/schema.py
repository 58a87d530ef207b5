"""`reservd schema`."""

from enum import StrEnum
from typing import Annotated

import typer


class SchemaFile(StrEnum):
    """The kinds of configuration file."""

    CONFIG = "config"
    MODE = "mode"


def schema(
    file: Annotated[SchemaFile, typer.Argument(help="Of reservd.yaml, or of a mode file.")] = SchemaFile.CONFIG,
) -> None:
    """Print the JSON Schema of a configuration file, for editors.

    That of reservd.yaml knows the options of every installed plugin.
    """
    import json

    from reservd.config.schema import config_schema, mode_schema
    from reservd.plugin.host import PluginHost

    found = mode_schema() if file is SchemaFile.MODE else config_schema(PluginHost())
    typer.echo(json.dumps(found, indent=2))
