"""Three strategies on one wallet, with the real program: the output of its pages and of `check --explain`."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.commands import Command, without_ages
from support.daemon import ReservdProcess
from support.polling import wait_until
from support.scrape import samples

MAIN = """\
modes: modes/*.yaml
web: {listen_address: 127.0.0.1:0}
defaults:
  reserve_ratio: 0.1
  reserve_balance_sources: [treasury]
  reserve_equity_source: nav
  reserve_event_sinks: [journal]
balance_sources:
  treasury: {plugin: static, options: {balances: [{asset: USDT, amount: 6000}]}}
  desk: {plugin: static, options: {balances: [{asset: USDT, amount: 4000}]}}
  gone: {plugin: http_json, options: {url: "http://127.0.0.1:1/", balances: [{asset: USDT, amount: $.x}]}}
equity_sources:
  nav: {plugin: static, options: {amount: 50000}}
  lost: {plugin: http_json, options: {url: "http://127.0.0.1:1/", equity: $.x, currency: $.y}}
event_sinks:
  journal: {plugin: jsonl, options: {path: events.jsonl}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration of three modes with targets of 5,000 on a wallet of 6,000."""
    (tmp_path / "reservd.yaml").write_text(MAIN)
    (tmp_path / "modes").mkdir()
    for mode in "abc":
        add(tmp_path, mode, f"mode: {mode}\nshare_class: USDT\n")
    return tmp_path


def add(folder: Path, mode: str, keys: str) -> None:
    """Add keys to a mode's file."""
    with (folder / "modes" / f"{mode}.yaml").open("a") as file:
        file.write(keys)


def explained(command: Command, *modes: str) -> dict[str, Any]:
    return {each["strategy_mode"]: each for each in json.loads(command("check", "--json", "--explain", *modes).out)}


def test_three_modes_on_one_wallet_are_each_told_a_third(folder: Path) -> None:
    with ReservdProcess(folder / "reservd.yaml") as daemon:

        def balances() -> list[float]:
            return list(samples(daemon.address, "reservd_reserve_balance").values())

        wait_until(lambda: len(balances()) == 3, "the first cycle on the page")
        assert balances() == [2000, 2000, 2000]
        assert list(samples(daemon.address, "reservd_reserve_shortfall").values()) == [3000, 3000, 3000]


def test_check_of_one_mode_leaves_to_the_others_what_is_theirs(folder: Path, command: Command) -> None:
    result = command("check", "b")
    assert result.rows[1][:4] == ["b", "critical", "2,000.00", "5,000.00"]
    assert (len(result.rows), result.code) == (2, 2)


def test_explanation_says_where_each_amount_came_from(folder: Path, command: Command) -> None:
    add(folder, "b", "reserve_balance_sources: [treasury, desk]\n")
    result = command("check", "--explain", "b")
    lines = result.out.splitlines()
    assert result.code == 1
    assert without_ages(lines[:5]) == [
        "b: low",
        "  why       4,545.4545 of 5,000 USDT is 0.909 of the target, below 1.0 (low); 454.54546 USDT short",
        "  equity    50,000.00 USDT from nav, 0 s old",
        "  target    5,000.00 USDT, 0.1 of the equity; low below 5,000.00, critical below 2,500.00",
        "  reserve   4,545.454545 USDT",
    ]
    assert [without_ages(row) for row in result.rows[6:9]] == [
        ["Account", "Asset", "Amount", "Locked", "Held", "Part", "Split", "Age", "Block", "Why"],
        ["desk/main", "USDT", "4,000.00", "-", "-", "4,000.00", "not shared", "0 s", "-"],
        ["treasury/main", "USDT", "6,000.00", "-", "-", "545.454545", "pro_rata", "0 s", "-"],
    ]


def test_explanation_says_what_is_missing(folder: Path, command: Command) -> None:
    add(folder, "b", "reserve_balance_sources: [treasury, gone]\n")
    add(folder, "c", "reserve_equity_source: lost\n")
    result = command("check", "--explain")
    assert result.code == 3
    assert "  equity    ? from lost: unreachable: " in result.out
    assert "  reserve   not certain: from 0.00 to " in result.out
    assert "  missing   what c needs from shared accounts: lost: unreachable: " in result.out
    assert any(row[0] == "gone/main" and row[-1].startswith("unreachable") for row in result.rows)
    assert "  missing   gone/main" not in result.out, "it is listed with the account"


def test_explanation_in_json_has_the_same_in_full(folder: Path, command: Command) -> None:
    add(folder, "c", "reserve_equity_source: lost\n")
    found = explained(command, "a", "c")
    assert list(found) == ["a", "c"]
    a, c = found["a"], found["c"]
    assert (a["low_below"], a["critical_below"], a["bounds"]) == ("5000.00", "2500.00", {"lower": "0", "upper": "3000"})
    assert a["why"].startswith("between 0 and 3,000 of 5,000 USDT")
    (account,) = a["accounts"]
    assert (account["account"], account["amount"], account["part"]) == ("treasury/main", "6000", None)
    assert (account["method"], account["held"], account["block"]) == ("pro_rata", "0", None)
    assert account["problem"].startswith("what c needs from shared accounts: lost: unreachable")
    assert float(account["age_seconds"]) >= 0
    assert (a["equity"]["source"], a["equity"]["problem"]) == ("nav", "")
    assert (c["equity"]["observed_at"], c["equity"]["age_seconds"], c["low_below"]) == (None, None, None)
    assert c["equity"]["problem"].startswith("unreachable")


def test_explanation_shows_what_the_equity_is_made_of(folder: Path, command: Command) -> None:
    main = MAIN.replace("  gone:", "  cold: {plugin: static, options: {balances: [{asset: ETH, amount: 2}]}}\n  gone:")
    parts = "balances: [{source: cold}], equity: [{source: nav, currency: USDT}]"
    prices = "prices: {ETH: {source: fixed, max_age: 60}}"
    nav = f"  sum: {{plugin: portfolio, options: {{currency: USDT, {parts}, {prices}}}}}\n  lost:"
    fixed = "price_sources:\n  fixed: {plugin: static, options: {prices: {ETH/USDT: 3000}}}\n"
    (folder / "reservd.yaml").write_text(main.replace("  lost:", nav) + fixed)
    add(folder, "a", "reserve_equity_source: sum\n")
    result = command("check", "--explain", "a")
    shown = [without_ages(row) for row in result.rows if row[0] == "Equity part" or row[0].startswith(("cold", "nav"))]
    assert shown == [
        ["Equity part", "Amount", "Age", "Price", "Price's age"],
        ["cold/main ETH", "6,000.00", "0 s", "3000 USDT/ETH", "0 s"],
        ["nav", "50,000.00", "0 s", "-", "-"],
    ]
    components = explained(command, "a")["a"]["equity"]["components"]
    cold, nav = components["cold/main ETH"], components["nav"]
    assert (cold["amount"], nav["amount"], nav["price"]) == ("6000", "50000", None)
    assert {key: cold["price"][key] for key in ("base", "quote", "value")} == {
        "base": "ETH",
        "quote": "USDT",
        "value": "3000",
    }
