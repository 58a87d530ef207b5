"""From files to what the daemon runs, every error reported at once."""

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from reservd.config.accounts import AccountKey, find_shared, resolve_holdings
from reservd.config.document import Document, Loc, read_document
from reservd.config.mode import OWN_KEYS, PREFIX, ModeConfig
from reservd.config.problems import explain, nearest, show
from reservd.config.settings import InstanceSettings, Settings
from reservd.errors import ConfigError, PluginError
from reservd.plugin.host import KINDS, PluginHost
from reservd.plugin.interfaces import BalanceSource, EquitySource, EventSink, Plugin, Replenisher


@dataclass(frozen=True)
class Config:
    """All that was configured, checked and built; nothing is opened yet.

    Attributes:
        settings: `reservd.yaml`.
        modes: By name.
        balance_sources: By name, like the following.
        warnings: What is allowed and most likely not meant, one line each.
    """

    settings: Settings
    modes: Mapping[str, ModeConfig]
    balance_sources: Mapping[str, BalanceSource[Any]]
    equity_sources: Mapping[str, EquitySource[Any]]
    event_sinks: Mapping[str, EventSink[Any]]
    replenishers: Mapping[str, Replenisher[Any]]
    warnings: tuple[str, ...] = ()


@dataclass
class _ModeFile:
    document: Document
    config: ModeConfig


@dataclass
class _Loader:
    main: Document
    host: PluginHost
    environ: Mapping[str, str]
    problems: list[str] = field(default_factory=list)
    instances: dict[str, dict[str, Plugin[Any]]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    modes: dict[str, _ModeFile] = field(default_factory=dict)

    def problem(self, document: Document, loc: Loc, message: str, *, key: bool = False) -> None:
        name = ".".join(map(str, loc))
        self.problems.append(f"{document.where(loc, key=key)}: {name}: {message}")

    def settings(self) -> Settings | None:
        try:
            return Settings.model_validate(self.main.values)
        except ValidationError as error:
            self.problems += explain(error, Settings, lambda _: self.main)
            return None

    def build(self, kind: str, name: str, instance: InstanceSettings) -> None:
        """Build one plugin instance. No I/O but reading the files of its secrets."""
        try:
            cls = self.host.plugin_class(kind, instance.plugin)
        except PluginError as error:
            self.problem(self.main, (kind, name, "plugin"), str(error))
            return
        context = {"directory": self.main.path.parent, "environ": self.environ}
        options: type[BaseModel] = cls.Config
        try:
            config = options.model_validate(instance.options, context=context)
        except ValidationError as error:
            self.problems += explain(error, options, lambda _: self.main, (kind, name, "options"))
            return
        try:
            self.instances[kind][name] = cls(name, config)
        except Exception as error:  # noqa: BLE001  # the border to plugins
            self.problem(self.main, (kind, name), f"plugin '{instance.plugin}' broke: {type(error).__name__}: {error}")

    def mode_files(self, patterns: Iterable[str]) -> list[Path]:
        found: dict[Path, None] = {}
        for index, pattern in enumerate(patterns):
            matches = sorted(glob.glob(str(self.main.path.parent / pattern), recursive=True))  # noqa: PTH207  # absolute patterns too
            if not matches:
                self.problem(self.main, ("modes", index), f"must match a mode file, got {pattern!r}")
            found.update(dict.fromkeys(map(Path, matches)))
        return list(found)

    def mode(self, path: Path, defaults: Mapping[str, Any]) -> None:
        try:
            document = read_document(path, OWN_KEYS, PREFIX)
        except ConfigError as error:
            self.problems += error.problems
            return

        def document_of(loc: Loc) -> Document:
            from_defaults = loc and loc[0] in defaults and not document.has(loc[:1])
            return _Shifted(self.main) if from_defaults else document

        try:
            config = ModeConfig.model_validate({**defaults, **document.values})
        except ValidationError as error:
            self.problems += explain(error, ModeConfig, document_of)
            return
        if config.mode in self.modes:
            first = self.modes[config.mode].document.where(("mode",))
            self.problem(document, ("mode",), f"must be unique, is at {first} already, got {show(config.mode)}")
            return
        self.modes[config.mode] = _ModeFile(document, config)
        self.check_references(document, config)

    def check_references(self, document: Document, config: ModeConfig) -> None:
        """Check what the mode names, but its balance sources, against what there is."""
        if not config.reserve_balance_sources:
            self.problem(document, ("reserve_balance_sources",), "must name at least one balance source")
        single = (
            ("reserve_equity_source", config.reserve_equity_source, "equity_sources", "an equity source"),
            ("reserve_replenisher", config.reserve_replenisher, "replenishers", "a replenisher"),
        )
        for key, name, kind, what in single:
            if name is not None:
                self.check_reference(document, (key,), name, kind, what)
        if config.reserve_equity_source is None:
            self.problem(document, ("reserve_equity_source",), "must name an equity source")
        for index, name in enumerate(config.reserve_event_sinks):
            self.check_reference(document, ("reserve_event_sinks", index), name, "event_sinks", "an event sink")

    def check_reference(self, document: Document, loc: Loc, name: str, kind: str, what: str) -> None:
        known = self.main.values.get(kind) or {}
        if name not in known:
            self.problem(document, loc, f"must name {what}{nearest(name, known)}, got {show(name)}")

    def check_accounts(self) -> None:
        """Check that each mode's accounts exist and that no two count the same money."""
        sources = {
            name: source
            for name, source in self.instances["balance_sources"].items()
            if isinstance(source, BalanceSource)
        }
        configured = self.main.values.get("balance_sources") or {}
        owners: dict[AccountKey, tuple[str, str]] = {}
        for name, file in self.modes.items():
            holdings, problems = resolve_holdings(file.config, sources)
            for index, message in problems:
                reference = file.config.reserve_balance_sources[index].partition("/")[0]
                if reference not in configured or reference in sources:  # else it is broken, and that is said already
                    self.problem(file.document, ("reserve_balance_sources", index), message)
            for message in find_shared(holdings, name, owners):
                self.problem(file.document, ("reserve_balance_sources",), message)


class _Shifted(Document):
    """The main file, seen as if its `defaults` were a mode file."""

    def __init__(self, main: Document) -> None:
        super().__init__(main.path)
        self._main = main

    def where(self, loc: Loc = (), *, key: bool = False) -> str:
        return self._main.where(("defaults", *loc), key=key)


def load_config(path: Path, host: PluginHost | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read, check and build all that a configuration file names.

    Args:
        path: `reservd.yaml`.
        host: Where plugins come from; the installed ones unless given.
        environ: For `${VAR}` and `$CREDENTIALS_DIRECTORY`; the process's own unless given.

    Raises:
        ConfigError: With everything that is wrong, one line each.
    """
    main = read_document(path)
    loader = _Loader(main, host or PluginHost(), os.environ if environ is None else environ)
    settings = loader.settings()
    if settings is None:
        raise ConfigError(_unique(loader.problems))
    for kind in KINDS:
        for name, instance in getattr(settings, kind).items():
            loader.build(kind, name, instance)
    for name in settings.equity_sources.keys() & settings.balance_sources.keys():
        # Metrics tell sources apart by their names.
        loader.problem(main, ("equity_sources", name), "must not be named as a balance source is", key=True)
    for key in settings.defaults:
        if not key.startswith(PREFIX) or key not in ModeConfig.model_fields:
            hint = nearest(key, (name for name in ModeConfig.model_fields if name.startswith(PREFIX)))
            loader.problem(main, ("defaults", key), f"unknown key{hint}", key=True)
    defaults = {key: value for key, value in settings.defaults.items() if key in ModeConfig.model_fields}
    for file in loader.mode_files(settings.modes):
        loader.mode(file, defaults)
    loader.check_accounts()
    if loader.problems:
        raise ConfigError(_unique(loader.problems))
    instances: Any = loader.instances
    modes = {name: file.config for name, file in loader.modes.items()}
    return Config(settings, modes, **instances, warnings=_warnings(loader))


def _warnings(loader: _Loader) -> tuple[str, ...]:
    lines = []
    for file in loader.modes.values():
        low = file.config.reserve_low_threshold
        if low < 1:
            place = file.document.where(("reserve_low_threshold",))
            lines.append(f"{place}: reserve_low_threshold: nothing is said between {low} and 1 of the target")
    used: dict[str, set[str | None]] = {
        "balance_sources": {
            ref.partition("/")[0] for f in loader.modes.values() for ref in f.config.reserve_balance_sources
        },
        "equity_sources": {f.config.reserve_equity_source for f in loader.modes.values()},
        "event_sinks": {name for f in loader.modes.values() for name in f.config.reserve_event_sinks},
        "replenishers": {f.config.reserve_replenisher for f in loader.modes.values()},
    }
    for kind, names in used.items():
        idle = [name for name in loader.instances[kind] if name not in names]
        lines += [f"{loader.main.where((kind, name), key=True)}: {kind}.{name}: no mode names it" for name in idle]
    return tuple(lines)


def _unique(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
