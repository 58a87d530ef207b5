"""Problems are reported as file:line:column: key: what must hold, and what was got."""

import re
from typing import Any

import pytest

from reservd.config.load import load_config
from reservd.errors import ConfigError


def test_configuration_loads_when_nothing_is_wrong(folder: Any) -> None:
    config = folder.load()
    assert list(config.modes) == ["pure_lending"]
    assert (list(config.balance_sources), list(config.equity_sources)) == (["vault"], ["nav"])
    assert (list(config.event_sinks), list(config.replenishers)) == (["ops"], [])
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "reserve_ratio: 0.05",
            "reserve_ration: 0.05",
            "modes/a.yaml:3:1: reserve_ration: unknown key; did you mean reserve_ratio?",
        ),
        (
            "reserve_ratio: 0.05",
            "reserve_ratio: 0.05\nreserve_currency: USDC",
            "modes/a.yaml:4:19: reserve_currency: must equal share_class (USDT), got 'USDC'",
        ),
        (
            "reserve_ratio: 0.05",
            "reserve_ratio: 0.05\nreserve_low_threshold: 0.5\nreserve_critical_threshold: 0.7",
            "modes/a.yaml:5:29: reserve_critical_threshold: must be below reserve_low_threshold (0.5), got 0.7",
        ),
        (
            "reserve_ratio: 0.05",
            "reserve_ratio: 0.05\nreserve_low_threshold: 0.4",
            (
                "modes/a.yaml:4:24: reserve_critical_threshold: must be below reserve_low_threshold (0.4), "
                "got 0.5 by default"
            ),
        ),
        ("share_class: USDT", "share_class: [", "must be YAML: while parsing a flow sequence, did not find expected"),
        ("mode: pure_lending", "mode: pure lending", "must consist of letters, digits, '_', '-' and '.', not of dots"),
        (
            "mode: pure_lending",
            "mode: ..",
            "must consist of letters, digits, '_', '-' and '.', not of dots alone, got '..'",
        ),
        ("share_class: USDT\n", "", "modes/a.yaml:1:1: share_class: is required"),
        ("reserve_ratio: 0.05\n", "", "modes/a.yaml:1:1: reserve_ratio: is required"),
        ("reserve_ratio: 0.05", "reserve_ratio: 5", "modes/a.yaml:3:16: reserve_ratio: must be at most 1, got 5"),
        ("reserve_ratio: 0.05", "reserve_ratio: -0.1", "reserve_ratio: must be at least 0, got -0.1"),
        ("reserve_ratio: 0.05", "reserve_ratio: .nan", "reserve_ratio: must be a finite number, got NaN"),
        ("reserve_ratio: 0.05", "reserve_ratio: .inf", "reserve_ratio: must be a finite number, got Infinity"),
        ("reserve_ratio: 0.05", "reserve_ratio: 'nan'", "reserve_ratio: must be a finite number, got 'nan'"),
        ("reserve_ratio: 0.05", "reserve_ratio: true", "reserve_ratio: must be a number, got true"),
        ("reserve_ratio: 0.05", "reserve_ratio: 5%", "reserve_ratio: must be a number, got '5%'"),
        ("reserve_ratio: 0.05", "reserve_ratio: [0.05]", "reserve_ratio: must be a number"),
        ("reserve_ratio: 0.05", "reserve_ratio:", "reserve_ratio: must be a number, got nothing"),
        ("reserve_ratio: 0.05", "reserve_ratio: 1e-99", "reserve_ratio: must be below 1e60 with at most 60 decimals"),
        ("[vault]", "vault", "modes/a.yaml:4:26: reserve_balance_sources: must be a list, got text"),
        ("[vault]", "[5]", "reserve_balance_sources[0]: must be text, got 5 (text that looks like this needs quotes)"),
        ("[vault]", "['']", "modes/a.yaml:4:27: reserve_balance_sources[0]: must not be empty"),
        ("[vault]", "[]", "modes/a.yaml:4:26: reserve_balance_sources: must name a balance source"),
        ("reserve_balance_sources: [vault]\n", "", "modes/a.yaml:1:1: reserve_balance_sources: must name a balance"),
        ("reserve_equity_source: nav\n", "", "modes/a.yaml:1:1: reserve_equity_source: must name an equity source"),
        (
            "reserve_equity_source",
            "reserve_equity_sources",
            "modes/a.yaml:5:1: reserve_equity_sources: unknown key; did you mean reserve_equity_source?",
        ),
        ("reserve_equity_source: nav", "reserve_equity_source: [nav]", "must be text, got a list"),
        (
            "[vault]",
            "[valt]",
            ":4:27: reserve_balance_sources[0]: must name a balance source, got 'valt'; did you mean vault?",
        ),
        (
            "[vault]",
            "[vault/mian]",
            (
                "modes/a.yaml:4:27: reserve_balance_sources[0]: must name an account of 'vault', got 'mian'; "
                "did you mean main?"
            ),
        ),
        ("nav", "nva", "reserve_equity_source: must name an equity source, got 'nva'; did you mean nav?"),
        ("[ops]", "[ops, opz]", "reserve_event_sinks[1]: must name an event sink, got 'opz'; did you mean ops?"),
        ("[ops]", "[ops]\nreserve_replenisher: x", "reserve_replenisher: must name a replenisher, got 'x'"),
        (
            "share_class: USDT",
            "share_class: ETH",
            "reserve_balance_sources[0]: must hold ETH, but no account of 'vault' does (it holds USDT)",
        ),
        ("[vault]", "[vault, vault]", "reserve_balance_sources[1]: must not count an account twice: vault/main USDT"),
    ],
)
def test_mode_file_gives_one_clear_line_when_one_thing_is_wrong(folder: Any, old: str, new: str, line: str) -> None:
    folder.mode(old, new)
    (problem,) = folder.problems()
    assert line in problem
    assert re.match(r"modes/a\.yaml:\d+:\d+: ", problem)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("reserve_confirmations", "1.5", "must be a whole number, got 1.5"),
        ("reserve_confirmations", "true", "must be a whole number, got true"),
        ("reserve_confirmations", "two", "must be a whole number, got 'two'"),
        ("reserve_confirmations", "0", "must be at least 1, got 0"),
        ("reserve_low_threshold", "0", "must be above 0, got 0"),
        ("reserve_recovery_margin", "2", "must be at most 1, got 2"),
        ("reserve_max_jump", "-1", "must be above 0, got -1"),
        ("reserve_monitoring_interval", "0", "must be above 0, got 0"),
        ("reserve_monitoring_interval", "1e9", "must be at most 2678400, got 1E+9"),
        ("reserve_max_staleness", "29", "must be at least reserve_monitoring_interval (30), got 29"),
        ("reserve_event_repeat_interval", "daily", "must be a number, got 'daily'"),
        (
            "reserve_refill_level",
            "1",
            "must be at least reserve_low_threshold plus reserve_recovery_margin (1.02), got 1",
        ),
        ("reserve_asset_aliases", "{USDC: ETH}", "USDC must stand for share_class (USDT)"),
        ("reserve_asset_aliases", "[USDC]", "must be a mapping, got a list"),
        ("reserve_event_sinks", "5", "must be a list, got 5"),
        ("asset", "[ETH]", "must be text, got a list"),
        ("reserve_balance_sources", f"[{', '.join(['vault/main'] * 1001)}]", "must have at most 1000 entries"),
        ("mode", "a" * 101, "must have at most 100 characters, got"),
    ],
)
def test_key_is_refused_when_its_value_cannot_be_meant(folder: Any, key: str, value: str, rule: str) -> None:
    others = {"reserve_event_sinks": "[ops]", "reserve_balance_sources": "[vault]", "mode": "pure_lending"}
    if key in others:
        folder.mode(f"{key}: {others[key]}", f"{key}: {value}")
    else:
        folder.mode(more=f"{key}: {value}\n")
    (problem,) = folder.problems()
    assert f": {key}: {rule}" in problem


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("modes: modes/*.yaml\n", "", "reservd.yaml:1:1: modes: is required"),
        ("modes/*.yaml", "[]", "reservd.yaml:1:8: modes: must not be empty"),
        ("modes/*.yaml", "[modes/*.yaml, modes/*.yml]", "reservd.yaml:1:23: modes[1]: must match a mode file, got"),
        ("modes/*.yaml", "nothing.yaml", "reservd.yaml:1:8: modes: must match a mode file, got 'nothing.yaml'"),
        ("balance_sources", "balance_source", "reservd.yaml:2:1: balance_source: unknown key; did you mean balance_s"),
        (
            "plugin: log",
            "plugin: lgo",
            "reservd.yaml:7:17: event_sinks.ops.plugin: no plugin 'lgo' is installed; did you mean 'log'?",
        ),
        (
            "plugin: log",
            "plugin: static",
            "event_sinks.ops.plugin: plugin 'static' has no event_sinks (it has balance_",
        ),
        ("{plugin: log}", "{plugn: log}", "reservd.yaml:7:9: event_sinks.ops.plugn: unknown key; did you mean plugin?"),
        ("{plugin: log}", "{}", "reservd.yaml:7:8: event_sinks.ops.plugin: is required"),
        ("{plugin: log}", "", "event_sinks.ops: must be a mapping of plugin and options, got nothing"),
        (
            "{plugin: log}",
            "log",
            "event_sinks.ops: must be a mapping of plugin and options, got text",
        ),
        (
            "options: {amount: 1000}",
            "amount: 1000",
            "reservd.yaml:5:25: equity_sources.nav.amount: unknown key; the plugin's own keys belong under options",
        ),
        (
            "{amount: 1000}",
            "{amount: 1000, since: 2026}",
            "equity_sources.nav.options.since: unknown key (known: amount, modes, currency)",
        ),
        ("{amount: 1000}", "{amonut: 1000}", "equity_sources.nav.options.amonut: unknown key; did you mean amount?"),
        ("{amount: 1000}", "1000", "reservd.yaml:5:34: equity_sources.nav.options: must be a mapping, got 1000"),
        (
            "amount: 100}",
            "amount: lots}",
            "reservd.yaml:3:70: balance_sources.vault.options.balances[0].amount: must be a number, got 'lots'",
        ),
        ("  nav:", "  vault:", "reservd.yaml:5:3: equity_sources.vault: must not be named as a balance source is"),
        (
            "  nav:",
            "  n v:",
            "equity_sources.n v: must consist of letters, digits, '_', '-' and '.', not of dots alone, got 'n v'",
        ),
    ],
)
def test_main_file_gives_one_clear_line_when_one_thing_is_wrong(folder: Any, old: str, new: str, line: str) -> None:
    folder.main(old, new)
    if "  nav:" in old:
        folder.mode("nav", new.strip(" :"))
    (problem,) = folder.problems()
    assert line in problem


@pytest.mark.parametrize(
    ("section", "line"),
    [
        (
            "web: {listen_address: localhost}",
            "reservd.yaml:8:23: web.listen_address: must be host:port, got 'localhost'",
        ),
        ("web: {listen_address: ['a:1', 'b']}", "web.listen_address[1]: must be host:port, got 'b'"),
        ("web: {listen_address: 'http://a:1'}", "web.listen_address: must be host:port, got a URL"),
        ("web: {listen_address: 'a:65536'}", "web.listen_address: must have a port of at most 65535, got 'a:65536'"),
        ("web: 5", "web: must be a mapping, got 5"),
        ("log: {level: loud}", "log.level: must be 'debug', 'info', 'warning' or 'error', got 'loud'"),
        (
            "web: {port: 9847}",
            "web.port: unknown key (known: listen_address, tokens_file, open_reads)",
        ),
        ("log: {levle: info}", "reservd.yaml:8:7: log.levle: unknown key; did you mean level?"),
        ("defaults: {reserve_ration: 1}", "defaults.reserve_ration: unknown key; did you mean reserve_ratio?"),
        ("defaults: {reserve_zzz: 1}", "reservd.yaml:8:12: defaults.reserve_zzz: unknown key"),
        ("defaults: {mode: x}", "reservd.yaml:8:12: defaults.mode: unknown key; only reserve_* keys have defaults"),
        ("defaults: [1]", "defaults: must be a mapping, got a list"),
        ("modes: x", "reservd.yaml:8:1: modes: must be given once, is on line 1 already"),
    ],
)
def test_section_gives_one_clear_line_when_one_thing_is_wrong(folder: Any, section: str, line: str) -> None:
    folder.main(more=f"{section}\n")
    (problem,) = folder.problems()
    assert line in problem


def test_keys_of_an_instance_are_named_when_its_plugin_stands_under_another_one(folder: Any) -> None:
    """A hint that `type` belongs under the options would be misleading."""
    folder.main("{plugin: static, options: {amount: 1000}}", "{type: static, options: {amount: 1000}}")
    assert folder.problems() == [
        "reservd.yaml:5:8: equity_sources.nav.plugin: is required",
        "reservd.yaml:5:9: equity_sources.nav.type: unknown key (known: plugin, options)",
    ]


def test_all_errors_of_all_files_are_said_at_once(folder: Any) -> None:
    folder.main(
        "{plugin: log}",
        "{plugin: log, option: 1}\n  pager: {plugin: pagr}\nweb: {listen_address: nowhere}\n"
        "defaults: {reserve_max_jump: 0}\nmods: x",
    )
    folder.mode("reserve_ratio: 0.05", "reserve_ratio: 7\nreserve_ratio: 8")
    folder.write("modes/b.yaml", "mode: b\nshare_class: USDT\nreserve_ratio: 0.05\nreserve_event_sinks: [pager, x]\n")
    folder.write("modes/c.yaml", "no mapping")
    assert folder.problems() == [
        "reservd.yaml:9:23: web.listen_address: must be host:port, got 'nowhere'",
        "reservd.yaml:7:22: event_sinks.ops.option: unknown key; did you mean options?",
        "reservd.yaml:11:1: mods: unknown key; did you mean modes?",
        "reservd.yaml:8:19: event_sinks.pager.plugin: no plugin 'pagr' is installed; did you mean 'paper'?",
        "modes/a.yaml:4:1: reserve_ratio: must be given once, is on line 3 already",
        "modes/a.yaml:3:16: reserve_ratio: must be at most 1, got 7",
        "reservd.yaml:10:30: reserve_max_jump: must be above 0, got 0",
        "modes/b.yaml:1:1: reserve_balance_sources: must name a balance source",
        "modes/b.yaml:1:1: reserve_equity_source: must name an equity source",
        "modes/b.yaml:4:30: reserve_event_sinks[1]: must name an event sink, got 'x'",
        "modes/c.yaml:1:1: must be a YAML mapping, got plain text",
    ]


def test_nothing_else_is_said_when_the_main_file_is_no_mapping(folder: Any) -> None:
    folder.write("reservd.yaml", "- modes")
    assert folder.problems() == ["reservd.yaml:1:1: must be a YAML mapping, got a list"]


def test_main_file_is_named_when_it_is_not_there(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file or directory$"):
        load_config(tmp_path / "nowhere.yaml")


def test_mode_is_refused_when_another_file_has_its_name(folder: Any) -> None:
    folder.write("modes/b.yaml", (folder.path / "modes/a.yaml").read_text())
    (problem,) = folder.problems()
    assert problem == "modes/b.yaml:1:7: mode: must be unique, is at modes/a.yaml:1:7 already, got 'pure_lending'"


def test_references_are_not_called_unknown_when_their_section_is_misspelt(folder: Any) -> None:
    """The instances exist under a misspelt section: only that is reported."""
    folder.main("event_sinks", "event_sink")
    assert folder.problems() == ["reservd.yaml:6:1: event_sink: unknown key; did you mean event_sinks?"]
