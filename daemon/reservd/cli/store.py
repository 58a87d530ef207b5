"""Opens the daemon's store for a command that runs beside it."""

import contextlib
import getpass
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reservd.config.settings import Settings
    from reservd.store.database import Database

_MAX_NAME = 200
"""Characters of a name that the store takes."""


@contextlib.asynccontextmanager
async def open_store(config: Path, settings: "Settings") -> AsyncIterator["Database"]:
    """Give the store that a configuration names, as its daemon left it: it is neither made nor migrated here.

    Args:
        config: The configuration file.
        settings: What it says.

    Raises:
        ConfigError: If its URL cannot be used.
        StoreError: If it is not there, does not answer, or has another schema than this reservd knows.
    """
    from reservd.errors import StoreError
    from reservd.store.access import open_database, require_current

    url = settings.store.url.get_secret_value()
    database = open_database(url, config.parent)
    try:
        if not url and not os.environ.get("STATE_DIRECTORY") and database.path and not database.path.exists():
            raise StoreError(
                f"{database.description}: there is no store; give store.url in {config}, or set $STATE_DIRECTORY "
                "as systemd does for the daemon (such as /var/lib/reservd)"
            )
        await require_current(database)
        yield database
    finally:
        await database.close()


def login_name() -> str:
    """Return who runs this: whoever became root by sudo goes by the own name."""
    name = os.environ.get("SUDO_USER")
    if not name:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            name = f"uid {os.getuid()}"
    return storable(name)[:_MAX_NAME]


def storable(text: str) -> str:
    """Return a text without the bytes of an argument that are no text: a database takes none of them."""
    return text.encode(errors="replace").decode()
