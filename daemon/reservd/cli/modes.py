"""Checks the names of modes that are given as arguments."""

from collections.abc import Iterable
from pathlib import Path

from reservd.errors import ConfigError


def require_mode(config: Path, mode: str, but: str = "") -> None:
    """Refuse a mode that the configuration does not have.

    Args:
        config: The configuration file.
        mode: The mode.
        but: What else would have made it known.

    Raises:
        ConfigError: With the nearest mode that there is.
    """
    from reservd.config.load import load_modes

    require_known_mode(mode, load_modes(config), but)


def require_known_mode(mode: str, known: Iterable[str], but: str = "") -> None:
    """Refuse a mode that is none of these.

    Raises:
        ConfigError: With the nearest mode that there is.
    """
    from reservd.config.wording import nearest, show

    known = list(known)
    if mode not in known:
        raise ConfigError(f"mode {show(mode)} is not configured{but}{nearest(mode, known)}")
