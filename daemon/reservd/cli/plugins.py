"""`reservd plugins`."""

from typing import Annotated

import typer


def plugins(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the installed plugins, what each registers, and what is broken.

    Exits 1 when one is broken.
    """
    from reservd.plugin.host import PluginHost

    found = list(PluginHost().installed())
    if as_json:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(plugin) for plugin in found], indent=2))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("Plugin", "Registers", "From", "Problem"):
            table.add_column(heading, overflow="fold")
        for plugin in found:
            table.add_row(plugin.name, ", ".join(plugin.kinds), plugin.distribution, plugin.error)
        Console().print(table)
    if any(plugin.error for plugin in found):
        raise typer.Exit(1)
