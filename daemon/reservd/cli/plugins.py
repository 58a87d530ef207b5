"""`reservd plugins`."""

from typing import Annotated

import typer


def plugins(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the installed plugins, and why any cannot be used.

    Says what each registers and where it comes from; of one whose extra is missing, which command installs that.
    Exits 1 when one is broken: it cannot be imported for another reason, or does not keep the contract.
    """
    from reservd.plugin.host import PluginHost, PluginState

    found = list(PluginHost().installed())
    if as_json:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(plugin) for plugin in found], indent=2))
    else:
        from rich.text import Text

        from reservd.cli.table import make_console, make_table

        table = make_table("Plugin", "State")
        for heading in ("Registers", "From", "Problem"):
            table.add_column(heading, overflow="fold")
        for plugin in found:
            # Text: what a problem says of 'reservd[evm]' is no markup.
            state, kinds = plugin.state.replace("_", " "), ", ".join(plugin.kinds)
            problem = plugin.error.removeprefix(f"plugin '{plugin.name}' ")
            table.add_row(*map(Text, (plugin.name, state, kinds, plugin.distribution, problem)))
        make_console().print(table)
    if any(plugin.state is PluginState.BROKEN for plugin in found):
        raise typer.Exit(1)
