"""Reads the configuration again for a running daemon, and refuses changes that need a restart."""

import asyncio
from collections.abc import Callable

from reservd.config.load import Config
from reservd.errors import ConfigError, ReservdError
from reservd.log import place_of
from reservd.threads import run_on_thread

_READ_SECONDS = 120.0
"""How long reading the files may take: thousands of modes take a while, and a hanging file system never returns."""


async def reload_config(load: Callable[[], Config] | None, before: Config) -> Config:
    """Return the configuration from the current files.

    Args:
        load: Reads it; None where there is no file.
        before: The configuration that the daemon runs with.

    Raises:
        ConfigError: If it is invalid, cannot be read in time, or changes a setting that is fixed at the start.
    """
    if load is None:
        raise ConfigError("this daemon was not started from a configuration file")
    try:
        async with asyncio.timeout(_READ_SECONDS):
            config = await run_on_thread(load)
    except TimeoutError:
        raise ConfigError(f"the configuration could not be read within {_READ_SECONDS:g} s") from None
    _refuse_settled(before, config)
    return config


def why_refused(error: Exception) -> list[str]:
    """Return why a reload failed. For a defect, return only its type and place, as its text may hold a secret."""
    if isinstance(error, ReservdError):
        return str(error).splitlines()
    return [f"a bug in reservd: {type(error).__name__} at {place_of(error)}"]


def _refuse_settled(before: Config, config: Config) -> None:
    """Refuse changes of settings that are read only once, at the start."""
    changed = []
    if config.settings.store.url != before.settings.store.url:
        changed.append("store.url")
    if config.settings.web != before.settings.web:
        changed.append("web")
    if changed:
        raise ConfigError(
            [f"{key}: cannot change while reservd runs: restart it to apply the change" for key in changed]
        )
