"""`reservd check-config`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, WebConfigFileOption, plural


def check_config(config: ConfigOption = DEFAULT_CONFIG, web_config_file: WebConfigFileOption = None) -> None:
    """Check the configuration without starting anything.

    Prints every error at once, one line each: file:line:column: key: what must hold, what was got.
    Exits 0 when the daemon would start, 1 otherwise. Warnings do not count as errors.
    """
    from reservd.config.load import load_config
    from reservd.errors import ConfigError

    problems: list[str] = []
    loaded = None
    # The daemon does not start without any of these.
    looks: list[Callable[[], None]] = [partial(_look_at_web_config, web_config_file)]
    try:
        loaded = load_config(config)
        tokens, url = loaded.settings.web.tokens_file, loaded.settings.store.url.get_secret_value()
        looks += [partial(_look_at_tokens, tokens), partial(_look_at_store, config, url, loaded.directory)]
    except ConfigError as error:
        problems += error.problems
    for look in looks:
        try:
            look()
        except ConfigError as error:
            problems += error.problems
    if loaded is None or problems:
        raise ConfigError(problems)
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


def _look_at_tokens(file: Path | None) -> None:
    from reservd.web.access.tokens import read_tokens

    if file is not None:
        read_tokens(file)


def _look_at_store(config: Path, url: str, directory: Path) -> None:
    from reservd.errors import ConfigError
    from reservd.store.access import open_database

    try:
        open_database(url, directory)
    except ConfigError as error:
        raise ConfigError([f"{config}: {line}" for line in error.problems]) from None


def _look_at_web_config(file: Path | None) -> None:
    if file is None:
        return
    from reservd.web.web_config import TlsFiles, read_web_config

    tls = read_web_config(file).tls_server_config
    if tls is not None:
        TlsFiles(tls)
