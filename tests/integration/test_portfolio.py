"""A portfolio as an operator configures it: with files, the command line and the daemon."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from support.daemon import PROGRAM, ReservdProcess
from support.polling import wait_until
from support.scrape import sample

MAIN = """\
modes: fund.yaml
web: {listen_address: 127.0.0.1:0}
balance_sources:
  treasury:
    plugin: static
    options:
      balances:
        - {asset: USDT, amount: 110}
        - {account: cold, asset: ETH, amount: 0.2, locked: 0.1}
equity_sources:
  vault: {plugin: static, options: {amount: 90, currency: USDC}}
  nav:
    plugin: portfolio
    options:
      currency: USDT
      balances: [{source: treasury}]
      equity: [{source: vault, currency: USDC}]
      prices:
        ETH:
          source: market
          max_age: 60
          second: {source: other, max_age: 60}
          max_deviation: 0.01
        USDC: {source: market, max_age: 60}
price_sources:
  market: {plugin: static, options: {prices: {ETH/USDT: 3000, USDC/USDT: "0.9995"}}}
  other: {plugin: static, options: {prices: {ETH/USDT: 3010}}}
"""
MODE = """\
mode: fund
share_class: USDT
reserve_ratio: 0.1
reserve_balance_sources: [treasury/main]
reserve_equity_source: nav
reserve_max_skew: 60
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "fund.yaml").write_text(MODE)
    (tmp_path / "reservd.yaml").write_text(MAIN)
    return tmp_path / "reservd.yaml"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)


def test_check_tells_the_equity_that_is_composed(config: Path) -> None:
    done = run("check", "--config", config, "--json")
    assert done.returncode == 0, done.stderr
    (snapshot,) = json.loads(done.stdout)
    assert snapshot["total_equity"].rstrip("0") == "1099.955"
    assert (snapshot["status"], snapshot["missing"]) == ("adequate", [])


def test_check_is_unknown_when_two_prices_disagree(config: Path) -> None:
    config.write_text(MAIN.replace("3010", "3031"))
    done = run("check", "--config", config)
    assert done.returncode == 3
    assert "two sources disagree by more than 0.01: 3000 and 3031" in " ".join(done.stdout.split())


def test_check_config_says_where_a_reference_is_wrong(config: Path) -> None:
    assert run("check-config", "--config", config).returncode == 0
    config.write_text(MAIN.replace("source: other", "source: othr"))
    done = run("check-config", "--config", config)
    assert done.returncode == 1
    assert "prices.ETH.second.source: must name a price source, got 'othr'; did you mean other?" in done.stderr


def test_schema_knows_portfolios_and_prices(config: Path) -> None:
    schema = json.loads(run("schema").stdout)
    jsonschema.validate(yaml.safe_load(config.read_text()), schema)
    wrong = yaml.safe_load(MAIN.replace("max_deviation", "max_deviatoin"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_daemon_shows_the_equity_and_each_source_behind_it(config: Path) -> None:
    with ReservdProcess(config) as daemon:
        labels = {"mode": "fund", "share_class": "USDT"}
        # The page is updated within a second after a cycle.
        wait_until(
            lambda: sample(daemon.address, "reservd_total_equity", **labels) == 1099.955, "the equity to be shown"
        )
        for source in ("treasury", "vault", "nav", "market", "other"):
            assert sample(daemon.address, "reservd_source_up", source=source) == 1
