"""A hash of a mode's configuration: two checks with the same hash followed the same rules."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from reservd.config.mode import ModeConfig
from reservd.config.references import Instances
from reservd.plugin.composition import Composite, references_in

_HIDDEN = "**********"


class Fingerprints:
    """Hashes the configuration of modes, each part of it once.

    The hash covers the mode's effective keys, including defaults, and the plugins and options of all sources of its
    numbers, including the sources that these build on. It covers no part of a secret, and only the scheme, host and
    port of a URL that may hold one: a hash of an easily guessed value would reveal it to many. Therefore a renewed key
    does not change the hash.

    Args:
        instances: The configured instances, by kind and name. No instance may build on itself.
    """

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._sources: dict[tuple[str, str], str] = {}
        self._modes: dict[str, tuple[ModeConfig, str]] = {}

    def of(self, mode: ModeConfig, balance_sources: Iterable[str], equity_source: str) -> str:
        """Return the hash of a mode's configuration, 64 hexadecimal digits.

        Args:
            mode: The configuration of the mode.
            balance_sources: The names of its balance sources.
            equity_source: The name of its equity source.
        """
        known = self._modes.get(mode.mode)
        if known is not None and known[0] is mode:
            return known[1]
        sources = {f"balance_sources/{name}": self._source("balance_sources", name) for name in balance_sources}
        sources[f"equity_sources/{equity_source}"] = self._source("equity_sources", equity_source)
        found = _digest({"mode": without_secrets(mode), "sources": sources})
        self._modes[mode.mode] = mode, found
        return found

    def _source(self, kind: str, name: str) -> str:
        known = self._sources.get((kind, name))
        if known is not None:
            return known
        plugin = self._instances[kind][name]
        builds_on = {
            f"{each.KIND}/{each.instance}": self._source(each.KIND, each.instance)
            for _, each in (references_in(plugin.config) if isinstance(plugin, Composite) else ())
        }
        found = _digest(
            {"plugin": plugin.PLUGIN_NAME, "options": without_secrets(plugin.config), "builds_on": builds_on}
        )
        self._sources[kind, name] = found
        return found


def _digest(value: object) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def without_secrets(value: Any) -> Any:
    """Return options as JSON values without secrets. Of a URL, only its scheme, host and port are kept."""
    match value:
        case None | bool() | int() | float():
            plain: Any = value
        case SecretStr():
            plain = _place(value.get_secret_value())
        case Decimal():
            plain = format(value.normalize(), "f")
        case BaseModel():
            plain = {name: without_secrets(getattr(value, name)) for name in type(value).model_fields}
        case Mapping():
            plain = {str(key): without_secrets(each) for key, each in value.items()}
        case list() | tuple():
            plain = [without_secrets(each) for each in value]
        case set() | frozenset():
            plain = sorted(map(without_secrets, value), key=_text)
        case _:
            plain = str(value)
    return plain


def _place(secret: str) -> str:
    """Return the scheme, host and port of a URL, and nothing of any other secret."""
    try:
        url = urlsplit(secret)
        place = f"{url.scheme}://{url.netloc.rpartition('@')[2]}" if url.scheme and url.hostname else _HIDDEN
    except ValueError:
        place = _HIDDEN
    return place
