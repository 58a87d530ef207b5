"""Instances of plugins, built from their options; a mistake of a plugin is reported in one line."""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from reservd.config.load import load_config
from reservd.errors import ConfigError
from reservd.plugin.host import PluginHost

PLUGIN = """
from datetime import UTC, datetime
from decimal import Decimal

from pydantic import SecretStr, field_validator

from reservd.plugin import Account, Balance, BalanceSource, PluginConfig, Reading, Secret, hookimpl


class Options(PluginConfig):
    token: Secret = SecretStr("hidden-token")
    limit: int | str | None = None
    limits: dict[str, int] | list[int] | None = None
    timeout: float | None = None
    region: str | None = None

    @field_validator("region")
    @classmethod
    def _known(cls, value):
        return value if value is None else {}[value]


class Source(BalanceSource[Options]):
    PLUGIN_NAME = "broken"
    Config = Options

    def __init__(self, name, config):
        super().__init__(name, config)
        CONSTRUCTOR

    @property
    def accounts(self):
        ACCOUNTS

    @property
    def pots(self):
        POTS

    async def fetch_balances(self):
        return Reading([Balance("main", "USDT", Decimal(1), datetime.now(UTC))])


@hookimpl
def reservd_register_balance_sources():
    return [Source]
"""

Problems = Callable[..., list[str]]


@pytest.fixture
def problems(folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Problems:
    """Return the problems of a configuration whose vault uses a plugin with this code."""

    def found(
        constructor: str = "pass", accounts: str = "return {}", options: str = "{}", pots: str = "return {}"
    ) -> list[str]:
        code = PLUGIN.replace("CONSTRUCTOR", constructor).replace("ACCOUNTS", accounts).replace("POTS", pots)
        name = f"broken_{abs(hash((constructor, accounts, options, pots)))}"
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        entries = [EntryPoint("broken", name, "reservd"), EntryPoint("static", "reservd_static", "reservd")]
        host = PluginHost([*entries, EntryPoint("log", "reservd_log", "reservd")])
        old = "{plugin: static, options: {balances: [{asset: USDT, amount: 100}]}}"
        folder.main(old, f"{{plugin: broken, options: {options}}}")
        with pytest.raises(ConfigError) as raised:
            load_config(folder.path / "reservd.yaml", host, {})
        return [line.replace(f"{folder.path}/", "") for line in raised.value.problems]

    return found


def test_plugin_costs_one_line_when_it_cannot_be_built(problems: Problems) -> None:
    assert problems('raise RuntimeError("no\\nluck")') == [
        "reservd.yaml:3:10: balance_sources.vault: plugin 'broken' failed: RuntimeError: no luck"
    ]


def test_secret_is_hidden_when_the_error_of_a_plugin_holds_it(problems: Problems) -> None:
    (line,) = problems("raise RuntimeError('refused ' + config.token.get_secret_value())")
    assert line.endswith("RuntimeError: refused **********")


def test_plugin_costs_one_line_when_it_breaks_on_its_options(problems: Problems) -> None:
    assert problems(options="{region: hidden}") == [
        "reservd.yaml:3:10: balance_sources.vault: plugin 'broken' failed on its options: KeyError"
    ]


def test_plugin_costs_one_line_when_its_deadline_is_none(problems: Problems) -> None:
    """It is reported when the configuration is loaded, before a daemon uses it."""
    (line,) = problems(options="{timeout: -1}")
    assert line.startswith("reservd.yaml:3:10: balance_sources.vault: plugin 'broken' failed: ValueError")
    assert line.endswith("the option timeout must be seconds above 0, got -1.0")


@pytest.mark.parametrize(
    ("accounts", "why"),
    [
        ("return {'main': 'USDT'}", "TypeError: accounts['main'] must be an Account, got str"),
        (
            "return {'main': Account('x', 'v', 'a')}",
            "ValueError: accounts['main'] must have its key as its name, got 'x'",
        ),
        ("return None", "TypeError: accounts must be a mapping, got NoneType"),
        (
            "return {'main': Account('main', 'v', 'a', ['USDT'])}",
            "TypeError: assets of account 'main' must be a frozenset, got list",
        ),
        ("raise KeyError('unplanned')", "KeyError: 'unplanned'"),
    ],
)
def test_plugin_costs_one_line_when_its_accounts_are_rubbish(problems: Problems, accounts: str, why: str) -> None:
    assert problems(accounts=accounts) == [f"reservd.yaml:3:10: balance_sources.vault: plugin 'broken' failed: {why}"]


@pytest.mark.parametrize(
    ("pots", "why"),
    [
        ("return ['vault']", "TypeError: pots must be a mapping, got list"),
        ("return {'vault': ['other']}", "ValueError: pots['vault'] must name accounts of the source, got 'other'"),
    ],
)
def test_plugin_costs_one_line_when_its_pots_are_rubbish(problems: Problems, pots: str, why: str) -> None:
    accounts = "return {'main': Account('main', 'v', 'a', frozenset({'USDT'}))}"
    assert problems(accounts=accounts, pots=pots) == [
        f"reservd.yaml:3:10: balance_sources.vault: plugin 'broken' failed: {why}"
    ]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("{limit: [1]}", "options.limit: must be a whole number or be text, got a list"),
        ("{limits: {a: x}}", "options.limits.a: must be a whole number, got 'x'"),
        ("{token: [1]}", "options.token: must be text"),
        ("{tokn: 1}", "options.tokn: unknown key; did you mean token?"),
        ("{tokenfile: 1}", "options.tokenfile: unknown key; did you mean token_file?"),
    ],
)
def test_line_says_what_holds_when_an_option_may_be_several_things(problems: Problems, options: str, line: str) -> None:
    assert any(found.endswith(f"balance_sources.vault.{line}") for found in problems(options=options))
