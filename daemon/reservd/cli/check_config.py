"""`reservd check-config`."""

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption


def check_config(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Check the configuration without starting anything.

    Prints every error at once, one line each: file:line:column: key: what must hold, what was got.
    Exits 0 when the daemon would start, 1 otherwise. Warnings do not count as errors.
    """
    from reservd.config.load import load_config

    loaded = load_config(config)
    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    sources = len(loaded.balance_sources) + len(loaded.equity_sources)
    typer.echo(
        f"{config}: good: {len(loaded.modes)} modes, {sources} sources, "
        f"{len(loaded.event_sinks)} event sinks, {len(loaded.replenishers)} replenishers"
    )
