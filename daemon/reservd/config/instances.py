"""Builds the plugin instances that `reservd.yaml` names."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from reservd.config.document import Document
from reservd.config.problems import Problems, explain
from reservd.config.settings import InstanceSettings, Settings
from reservd.errors import PluginError
from reservd.plugin.guard import GuardedPlugin
from reservd.plugin.host import KINDS, PluginHost
from reservd.plugin.interfaces import BalanceSource, Plugin
from reservd.plugin.redact import Redactor
from reservd.reserve.readings import Account

Instances = dict[str, dict[str, Plugin[Any]]]
"""By kind and name."""


def build_instances(
    settings: Settings, main: Document, host: PluginHost, environ: Mapping[str, str], problems: Problems
) -> Instances:
    """Return the instances that can be built. The only I/O is reading the files of their secrets.

    Args:
        settings: The settings.
        main: The file that they are from.
        host: Provides the plugins.
        environ: For `${VAR}` and `$CREDENTIALS_DIRECTORY`.
        problems: Collects the errors of the others.
    """
    builder = _Builder(main, host, environ, problems)
    return {kind: builder.build_all(kind, getattr(settings, kind)) for kind in KINDS}


def configured_names(main: Document) -> dict[str, Any]:
    """Return the names under each kind in the file, including those of broken instances; None if they are not known."""
    # A misspelt key may hold the very names that are looked for.
    absent: dict[str, Any] | None = {} if main.values.keys() <= Settings.model_fields.keys() else None
    return {kind: main.values.get(kind, absent) for kind in KINDS}


class _Builder:
    def __init__(self, main: Document, host: PluginHost, environ: Mapping[str, str], problems: Problems) -> None:
        self._main = main
        self._host = host
        self._context = {"directory": main.path.parent, "environ": environ}
        self._problems = problems

    def build_all(self, kind: str, configured: Mapping[str, InstanceSettings]) -> dict[str, Plugin[Any]]:
        built = {name: self._build(kind, name, instance) for name, instance in configured.items()}
        return {name: plugin for name, plugin in built.items() if plugin is not None}

    def _build(self, kind: str, name: str, instance: InstanceSettings) -> Plugin[Any] | None:
        try:
            cls = self._host.plugin_class(kind, instance.plugin)
        except PluginError as error:
            self._problems.at(self._main, (kind, name, "plugin"), str(error))
            return None
        options: type[BaseModel] = cls.Config
        try:
            config = options.model_validate(instance.options, context=self._context)
        except ValidationError as error:
            self._problems += explain(error, options, self._main, (kind, name, "options"))
            return None
        except Exception as error:  # noqa: BLE001  # the border to plugins; the error's text may hold a secret
            message = f"plugin '{instance.plugin}' failed on its options: {type(error).__name__}"
            self._problems.at(self._main, (kind, name), message)
            return None
        try:
            plugin = cls(name, config)
            GuardedPlugin(plugin)  # a plugin that cannot be guarded would end the daemon at its start
            if isinstance(plugin, BalanceSource):
                _check_accounts(plugin)
                _check_pots(plugin)
        except Exception as error:  # noqa: BLE001  # the border to plugins
            text = Redactor(config)(" ".join(f"{type(error).__name__}: {error}".split()))
            self._problems.at(self._main, (kind, name), f"plugin '{instance.plugin}' failed: {text}")
            return None
        return plugin


def _check_accounts(source: BalanceSource[Any]) -> None:
    """Check the accounts in which references will be looked up.

    Raises:
        TypeError: If they are not a mapping of accounts.
        ValueError: If an account's name differs from its key.
    """
    accounts: object = source.accounts
    if not isinstance(accounts, Mapping):
        raise TypeError(f"accounts must be a mapping, got {type(accounts).__name__}")
    for name, account in accounts.items():
        if not isinstance(account, Account):
            raise TypeError(f"accounts[{name!r}] must be an Account, got {type(account).__name__}")
        if account.name != name:
            raise ValueError(f"accounts[{name!r}] must have its key as its name, got {account.name!r}")


def _check_pots(source: BalanceSource[Any]) -> None:
    """Check the pots, which are compared with those of other sources.

    Raises:
        TypeError: If they are not a mapping.
        ValueError: If they name an account that does not exist.
    """
    pots: object = source.pots
    if not isinstance(pots, Mapping):
        raise TypeError(f"pots must be a mapping, got {type(pots).__name__}")
    for pot, accounts in pots.items():
        for account in accounts:
            if account not in source.accounts:
                raise ValueError(f"pots[{pot!r}] must name accounts of the source, got {account!r}")
