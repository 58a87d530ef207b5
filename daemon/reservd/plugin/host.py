"""Finds installed plugins, imports those that are named, and checks what they register."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from typing import Any

import pluggy
from pydantic import BaseModel

from reservd.errors import ExtraMissingError, PluginError
from reservd.plugin import hookspecs
from reservd.plugin.interfaces import BalanceSource, EquitySource, EventSink, Plugin, PriceSource, Replenisher

KINDS: Mapping[str, type[Plugin[Any]]] = {
    "balance_sources": BalanceSource,
    "equity_sources": EquitySource,
    "price_sources": PriceSource,
    "event_sinks": EventSink,
    "replenishers": Replenisher,
}
"""The kinds of plugin by their key in the configuration, each with its interface."""

_GROUP = "reservd"
_DISTRIBUTION_NAME = re.compile(r"[A-Za-z0-9._-]+")


class PluginState(StrEnum):
    """Whether a plugin can be used."""

    USABLE = "usable"
    EXTRA_MISSING = "extra_missing"
    """Libraries that it needs are not installed; its extra brings them."""
    BROKEN = "broken"
    """It cannot be imported, or does not keep the contract."""


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An entry in the list of `reservd plugins`.

    Attributes:
        name: The name of the entry point.
        distribution: The distribution that provides it, with its version.
        state: Whether it can be used.
        kinds: What it registers, by kind; empty when it cannot be used.
        error: Why it cannot be used, and what to do if that is known; empty when it can.
    """

    name: str
    distribution: str
    state: PluginState
    kinds: tuple[str, ...] = ()
    error: str = ""


class PluginHost:
    """The plugins of this environment. Nothing is imported before it is needed."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        self._found: dict[str, list[EntryPoint]] = {}
        for entry in entry_points(group=_GROUP) if found is None else found:
            self._found.setdefault(entry.name, []).append(entry)
        self._loaded: dict[str, dict[str, type[Plugin[Any]]]] = {}
        self._pluggy = pluggy.PluginManager("reservd")
        self._pluggy.add_hookspecs(hookspecs)

    def plugin_class(self, kind: str, name: str) -> type[Plugin[Any]]:
        """Return the class that plugin `name` registers for `kind`.

        Raises:
            PluginError: If there is none, or it cannot be imported or breaks the contract.
        """
        classes = self.load(name)
        if kind not in classes:
            has = ", ".join(sorted(classes))
            raise PluginError(f"plugin '{name}' has no {kind} (it has {has})")
        return classes[kind]

    def load(self, name: str) -> Mapping[str, type[Plugin[Any]]]:
        """Import plugin `name` and return its classes by kind.

        Raises:
            ExtraMissingError: If libraries that it needs are not installed.
            PluginError: If it cannot be imported or breaks the contract.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(self._entry(name))
        return self._loaded[name]

    def installed(self) -> Iterator[InstalledPlugin]:
        """Import every plugin and yield its description, broken ones included, sorted by name."""
        for name in sorted(self._found):
            distribution = ", ".join(_describe(entry.dist) for entry in self._found[name])
            try:
                kinds = tuple(kind for kind in KINDS if kind in self.load(name))
            except ExtraMissingError as error:
                yield InstalledPlugin(name, distribution, PluginState.EXTRA_MISSING, error=str(error))
            except PluginError as error:
                yield InstalledPlugin(name, distribution, PluginState.BROKEN, error=str(error))
            else:
                yield InstalledPlugin(name, distribution, PluginState.USABLE, kinds)

    def _entry(self, name: str) -> EntryPoint:
        entries = self._found.get(name, [])
        if not entries:
            near = get_close_matches(name, self._found, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f" (installed: {', '.join(sorted(self._found))})"
            raise PluginError(f"no plugin '{name}' is installed{hint}")
        if len(entries) > 1:
            owners = " and ".join(_describe(entry.dist) for entry in entries)
            raise PluginError(f"plugin '{name}' is installed twice, by {owners}: remove one")
        return entries[0]

    def _load(self, entry: EntryPoint) -> dict[str, type[Plugin[Any]]]:
        name = entry.name
        try:
            module = entry.load()
        except ModuleNotFoundError as error:
            raise _missing_module(entry, error) from error
        except (Exception, SystemExit) as error:
            raise PluginError(f"plugin '{name}' cannot be imported: {_one_line(error)}") from error
        try:
            self._pluggy.register(module, name)
            self._pluggy.check_pending()
            return self._classes(name)
        except PluginError:
            self._pluggy.unregister(name=name)
            raise
        except (Exception, SystemExit) as error:
            if self._pluggy.has_plugin(name):
                self._pluggy.unregister(name=name)
            raise PluginError(f"plugin '{name}' cannot be registered: {_one_line(error)}") from error

    def _classes(self, name: str) -> dict[str, type[Plugin[Any]]]:
        classes = {kind: cls for kind in KINDS for cls in self._registered(name, kind)}
        if not classes:
            raise PluginError(f"plugin '{name}' registers nothing: its hooks must bear @hookimpl and return classes")
        return classes

    def _registered(self, name: str, kind: str) -> list[type[Plugin[Any]]]:
        others = [plugin for known, plugin in self._pluggy.list_name_plugin() if known != name]
        hook = f"reservd_register_{kind}"
        classes: list[type[Plugin[Any]]] = []
        for answer in self._pluggy.subset_hook_caller(hook, others)():
            if not isinstance(answer, list | tuple):
                raise PluginError(f"plugin '{name}': {hook}() must return a list of classes, got {answer!r:.80}")
            classes += answer
        for cls in classes:
            _check_class(name, kind, cls)
        if len(classes) > 1:
            raise PluginError(f"plugin '{name}' registers {len(classes)} {kind}, all named '{name}': names are unique")
        return classes


def _check_class(name: str, kind: str, cls: object) -> None:
    base = KINDS[kind]
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PluginError(f"plugin '{name}': {kind} must be subclasses of {base.__name__}, got {cls!r:.80}")
    if getattr(cls, "PLUGIN_NAME", None) != name:
        got = getattr(cls, "PLUGIN_NAME", None)
        raise PluginError(f"plugin '{name}': {cls.__name__}.PLUGIN_NAME must be '{name}', got {got!r}")
    config = getattr(cls, "Config", None)
    if not (
        isinstance(config, type) and issubclass(config, BaseModel) and config.model_config.get("extra") == "forbid"
    ):
        raise PluginError(f"plugin '{name}': {cls.__name__}.Config must be a pydantic model with extra='forbid'")
    if cls.__abstractmethods__:
        lacking = ", ".join(sorted(cls.__abstractmethods__))
        raise PluginError(f"plugin '{name}': {cls.__name__} must implement {lacking}")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def _describe(distribution: Distribution | None) -> str:
    return f"{distribution.name} {distribution.version}" if distribution is not None else "unknown"


def _missing_module(entry: EntryPoint, error: ModuleNotFoundError) -> PluginError:
    """Return the error that says what to install, from the extra with the plugin's name."""
    if error.name is not None and error.name.partition(".")[0] == entry.module.partition(".")[0]:
        return PluginError(f"plugin '{entry.name}' cannot be imported: its module '{error.name}' is missing")
    extra = re.sub("[-_.]", "[-_.]", entry.name)  # build backends write foo_bar as foo-bar
    marker = re.compile(rf"extra == ['\"]{extra}['\"]")
    missing = [
        match[0]
        for requirement in (entry.dist.requires or [] if entry.dist is not None else [])
        if marker.search(requirement) and (match := _DISTRIBUTION_NAME.match(requirement))
        if not any(distributions(name=match[0]))
    ]
    if entry.dist is None or not missing:
        return PluginError(f"plugin '{entry.name}' cannot be imported: no module named '{error.name}'")
    packages = ", ".join(f"'{package}'" for package in missing)
    word = "package" if len(missing) == 1 else "packages"
    mend = f"pip install '{entry.dist.name}[{entry.name}]'"
    return ExtraMissingError(f"plugin '{entry.name}' needs the Python {word} {packages}: {mend}")
