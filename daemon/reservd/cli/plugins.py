"""`reservd plugins`."""

from typing import Annotated

import typer


def plugins(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the installed plugins, and why any cannot be used.

    Says what each registers, where it comes from, and why it cannot be used. Exits 1 when one is broken.
    """
    from reservd.plugin.host import PluginHost

    found = list(PluginHost().installed())
    if as_json:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(plugin) for plugin in found], indent=2))
    else:
        from rich.text import Text

        from reservd.cli.table import make_console, make_table

        table = make_table("Plugin")
        for heading in ("Registers", "From", "Problem"):
            table.add_column(heading, overflow="fold")
        for plugin in found:
            # Text: what a problem says of 'reservd[evm]' is no markup.
            table.add_row(*map(Text, (plugin.name, ", ".join(plugin.kinds), plugin.distribution, plugin.error)))
        make_console().print(table)
    if any(plugin.error for plugin in found):
        raise typer.Exit(1)
