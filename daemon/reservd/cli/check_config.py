"""`reservd check-config`."""

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, plural


def check_config(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Check the configuration without starting anything.

    Prints every error at once, one line each: file:line:column: key: what must hold, what was got.
    Exits 0 when the daemon would start, 1 otherwise. Warnings do not count as errors.
    """
    from reservd.config.load import load_config
    from reservd.errors import ConfigError
    from reservd.store.access import open_database
    from reservd.web.access.tokens import read_tokens

    loaded = load_config(config)
    # The daemon does not start without these two.
    if loaded.settings.web.tokens_file is not None:
        read_tokens(loaded.settings.web.tokens_file)
    try:
        open_database(loaded.settings.store.url.get_secret_value(), loaded.directory)
    except ConfigError as error:
        raise ConfigError([f"{config}: {line}" for line in error.problems]) from None
    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    sources = len(loaded.balance_sources) + len(loaded.equity_sources) + len(loaded.price_sources)
    counts = {
        "mode": len(loaded.modes),
        "source": sources,
        "event sink": len(loaded.event_sinks),
        "replenisher": len(loaded.replenishers),
    }
    typer.echo(f"{config}: good: {', '.join(plural(number, what) for what, number in counts.items())}")
