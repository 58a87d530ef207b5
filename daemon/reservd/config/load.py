"""Loads the configuration files into what the daemon runs, and reports every error at once."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reservd.config.document import Document, read_document
from reservd.config.double_counting import find_double_counting, find_unidentified
from reservd.config.instances import Instances, build_instances
from reservd.config.mode import PREFIX, ModeConfig
from reservd.config.modes import ModeFile, ModeLoader, find_ignored_keys
from reservd.config.problems import Problems, explain
from reservd.config.references import connect_configured, referred
from reservd.config.settings import Settings
from reservd.config.wording import nearest
from reservd.errors import ConfigError
from reservd.plugin.host import KINDS, PluginHost
from reservd.plugin.interfaces import BalanceSource, EquitySource, EventSink, PriceSource, Replenisher

_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 0.1, 3600.0
"""Seconds. An interval outside of these is probably given in another unit."""


@dataclass(frozen=True)
class Config:
    """The complete configuration, checked and built. Nothing is opened yet.

    Attributes:
        settings: `reservd.yaml`.
        directory: The folder of that file.
        modes: By name.
        balance_sources: By name, like the following.
        warnings: Settings that are valid but probably mistakes, one line each.
        price_sources: By name.
    """

    settings: Settings
    directory: Path
    modes: Mapping[str, ModeConfig]
    balance_sources: Mapping[str, BalanceSource[Any]]
    equity_sources: Mapping[str, EquitySource[Any]]
    event_sinks: Mapping[str, EventSink[Any]]
    replenishers: Mapping[str, Replenisher[Any]]
    warnings: tuple[str, ...] = ()
    price_sources: Mapping[str, PriceSource[Any]] = field(default_factory=dict)


def load_config(path: Path, host: PluginHost | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read, check and build everything that a configuration file names.

    Args:
        path: `reservd.yaml`.
        host: Provides the plugins; the installed ones unless given.
        environ: For `${VAR}` and `$CREDENTIALS_DIRECTORY`; the process's own unless given.

    Raises:
        ConfigError: With every error, one line each.
    """
    environ = os.environ if environ is None else environ
    problems = Problems()
    main, settings = _read_main(path, environ, problems)
    instances = build_instances(settings, main, host or PluginHost(), environ, problems)
    _check_names(settings, main, problems)
    connect_configured(instances, main, problems)
    _check_pots(instances, main, problems)
    modes = ModeLoader(main, _known_defaults(settings, main, problems), instances, problems)
    files = modes.load(settings.modes)
    _refuse(problems)
    built: Any = instances
    configs = {name: file.config for name, file in files.items()}
    warnings = (
        *modes.overlooked,
        *(line for file in files.values() for line in find_ignored_keys(file.document)),
        *_silences(files.values()),
        *_moot(files.values()),
        *_ill_timed(files.values()),
        *_unrounded(files.values()),
        *_idle(files.values(), main, built),
        *_twice(main, built["balance_sources"]),
    )
    # Many modes share the defaults, so equal warnings are given once.
    return Config(settings, path.parent, configs, **built, warnings=tuple(dict.fromkeys(warnings)))


def load_settings(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check only `reservd.yaml`: no mode file, no plugin, and no secret of a plugin's options.

    This is for commands beside the daemon, whose user need not have the daemon's permissions.

    Raises:
        ConfigError: With every error in it, one line each.
    """
    problems = Problems()
    _, settings = _read_main(path, environ, problems)
    _refuse(problems)
    return settings


def load_modes(path: Path, environ: Mapping[str, str] | None = None) -> Mapping[str, ModeConfig]:
    """Read and check the mode files, by mode, without building what they name.

    Raises:
        ConfigError: With every error in them or in `reservd.yaml`, one line each.
    """
    problems = Problems()
    main, settings = _read_main(path, environ, problems)
    nothing: Instances = {kind: {} for kind in KINDS}
    modes = ModeLoader(main, _known_defaults(settings, main, problems), nothing, problems).load(settings.modes)
    _refuse(problems)
    return {name: file.config for name, file in modes.items()}


def _read_main(path: Path, environ: Mapping[str, str] | None, problems: Problems) -> tuple[Document, Settings]:
    main = read_document(path)
    problems += main.problems
    return main, _read_settings(main, os.environ if environ is None else environ, problems)


def _refuse(problems: Problems) -> None:
    if problems:
        raise ConfigError(tuple(dict.fromkeys(problems)))


def _read_settings(main: Document, environ: Mapping[str, str], problems: Problems) -> Settings:
    """Return the settings without their invalid parts, so that all others are checked as well."""
    context = {"directory": main.path.parent, "environ": environ}
    try:
        return Settings.model_validate(main.values, context=context)
    except ValidationError as error:
        problems += explain(error, Settings, main)
        values = {key: dict(value) if isinstance(value, dict) else value for key, value in main.values.items()}
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            part, *rest = detail["loc"]
            if part in KINDS and rest and isinstance(values.get(str(part)), dict):
                values[str(part)].pop(rest[0], None)
            else:
                values.pop(str(part), None)
        return Settings.model_validate({"modes": "-", **values}, context=context).model_copy(
            update={} if "modes" in values else {"modes": ()}
        )


def _check_names(settings: Settings, main: Document, problems: Problems) -> None:
    """Refuse two sources with the same name: metrics identify sources by name."""
    for name in settings.equity_sources:
        if name in settings.balance_sources:
            problems.at(main, ("equity_sources", name), "must not be named as a balance source is", key=True)
    for name in settings.price_sources:
        if name in settings.balance_sources or name in settings.equity_sources:
            problems.at(main, ("price_sources", name), "must not be named as another source is", key=True)


def _check_pots(instances: Instances, main: Document, problems: Problems) -> None:
    """Refuse a source that counts money that another source counts."""
    built: Any = instances
    for name, message in find_double_counting(built["balance_sources"]):
        problems.at(main, ("balance_sources", name), message, key=True)


def _known_defaults(settings: Settings, main: Document, problems: Problems) -> dict[str, Any]:
    """Return those `defaults` that are keys of mode files."""
    known = [name for name in ModeConfig.model_fields if name.startswith(PREFIX)]
    for key in settings.defaults:
        if key not in known:
            why = nearest(key, known) if key.startswith(PREFIX) else f"; only {PREFIX}* keys have defaults"
            problems.at(main, ("defaults", key), f"unknown key{why}", key=True)
    return {key: value for key, value in settings.defaults.items() if key in known}


def _silences(files: Iterable[ModeFile]) -> list[str]:
    """Return a warning for each mode that is not called low while its reserve is below its target."""
    lines = Problems()
    for file in files:
        low = file.config.reserve_low_threshold
        if low < 1:
            message = f"a reserve between {low} and 1 of its target does not count as low"
            lines.at(file.document, ("reserve_low_threshold",), message)
    return lines


def _moot(files: Iterable[ModeFile]) -> list[str]:
    """Return a warning for each mode whose limit on skew has no effect."""
    lines = Problems()
    for file in files:
        staleness, skew = file.config.policy.max_staleness.total_seconds(), file.config.reserve_max_skew
        if skew is not None and skew > staleness:
            message = f"{skew} has no effect: it is above reserve_max_staleness ({staleness:g})"
            lines.at(file.document, ("reserve_max_skew",), message)
    return lines


def _ill_timed(files: Iterable[ModeFile]) -> list[str]:
    """Return a warning for each mode with an unusual interval, or that a single failed check makes unknown."""
    lines = Problems()
    for file in files:
        interval, staleness = file.config.interval_seconds, file.config.policy.max_staleness.total_seconds()
        at = file.document, ("reserve_monitoring_interval",)
        if interval < _SHORTEST_INTERVAL:
            lines.at(*at, f"{interval:g} reads every source {1 / interval:,.0f} times a second")
        if interval > _LONGEST_INTERVAL:
            lines.at(*at, f"{interval:g} leaves a shortfall unnoticed for {interval / 3600:,.1f} hours")
        if staleness < 2 * interval:
            message = (
                f"{staleness:g} is less than two intervals of {interval:g}: one failed check makes the mode unknown"
            )
            lines.at(file.document, ("reserve_max_staleness",), message)
    return lines


def _unrounded(files: Iterable[ModeFile]) -> list[str]:
    """Return a warning for each mode whose refills are requested with more decimals than the currency may have."""
    lines = Problems()
    for file in files:
        if file.config.reserve_replenisher is not None and file.config.reserve_refill_decimals is None:
            message = "refill amounts are not rounded: set reserve_refill_decimals to the decimals of the token"
            lines.at(file.document, ("reserve_replenisher",), message)
    return lines


def _idle(files: Iterable[ModeFile], main: Document, instances: Instances) -> list[str]:
    """Return a warning for each instance that neither a mode nor another instance names."""
    configs = [file.config for file in files]
    referred_to = referred(instances)
    used: dict[str, set[str | None]] = {
        "balance_sources": {ref.partition("/")[0] for config in configs for ref in config.reserve_balance_sources},
        "equity_sources": {config.reserve_equity_source for config in configs},
        "event_sinks": {name for config in configs for name in config.reserve_event_sinks},
        "replenishers": {config.reserve_replenisher for config in configs},
        "price_sources": set(),
    }
    lines = Problems()
    for kind, names in used.items():
        for name in instances[kind]:
            if name not in names and name not in referred_to[kind]:
                who = "no equity source" if kind == "price_sources" else "no mode"
                lines.at(main, (kind, name), f"{who} names it", key=True)
    return lines


def _twice(main: Document, sources: Mapping[str, Any]) -> list[str]:
    """Return a warning for each balance source whose money another source may count, too."""
    lines = Problems()
    for name, message in find_unidentified(sources):
        lines.at(main, ("balance_sources", name), message, key=True)
    return lines
