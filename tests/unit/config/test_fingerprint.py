"""The hash of a mode's configuration: it changes with the rules and contains no secret."""

from collections.abc import Callable
from typing import Any

import pytest

from reservd.config.fingerprint import Fingerprints, without_secrets
from reservd.config.load import Config

VAULT = "vault: {plugin: static, options: {balances: [{asset: USDT, amount: 100}]}}"
BANK = (
    'vault: {plugin: http_json, options: {url: "URL", headers: {X-Key: "KEY"}, '
    "balances: [{asset: USDT, amount: $.free}]}}"
)
NAV = "nav: {plugin: static, options: {amount: 1000}}"
SUM = (
    "nav: {plugin: portfolio, options: {currency: USDT, balances: [{source: vault}], "
    "prices: {ETH: {source: market, max_age: 60}}}}"
)
MARKET = "price_sources:\n  market: {plugin: static, options: {prices: {ETH/USDT: 3000}}}\n"


def fingerprint(config: Config) -> str:
    instances: dict[str, Any] = {
        "balance_sources": config.balance_sources,
        "equity_sources": config.equity_sources,
        "price_sources": config.price_sources,
    }
    return Fingerprints(instances).of(config.modes["pure_lending"], ["vault"], "nav")


@pytest.fixture
def bank(folder: Any) -> Callable[..., str]:
    """The hash of a mode whose balance is read from a URL, with a key."""

    def read(url: str, key: str = "a-key-to-all") -> str:
        folder.main(VAULT, BANK.replace("URL", url).replace("KEY", key))
        return fingerprint(folder.load())

    return read


def test_hash_is_the_same_whenever_the_same_is_configured(folder: Any) -> None:
    first = fingerprint(folder.load())
    assert fingerprint(folder.load()) == first
    assert len(bytes.fromhex(first)) == 32
    folder.mode("reserve_ratio: 0.05", "reserve_ratio: 0.050", more="reserve_critical_threshold: 0.5\nleverage: 3\n")
    assert fingerprint(folder.load()) == first, "a written-out default and a key of the strategy change nothing"


def test_hash_is_the_same_when_what_the_mode_is_not_made_of_changes(folder: Any) -> None:
    first = fingerprint(folder.load())
    folder.main("ops: {plugin: log}", "ops: {plugin: log}\n  pager: {plugin: log}")
    folder.write("modes/b.yaml", (folder.path / "modes/a.yaml").read_text().replace("pure_lending", "other"))
    folder.write("modes/b.yaml", (folder.path / "modes/b.yaml").read_text() + "reserve_allocation: pro_rata\n")
    assert fingerprint(folder.load()) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: folder.mode("reserve_ratio: 0.05", "reserve_ratio: 0.06"),
        lambda folder: folder.mode(more="reserve_low_threshold: 0.9\n"),
        lambda folder: folder.main(more="defaults: {reserve_critical_threshold: 0.4}\n"),
        lambda folder: folder.main("amount: 100}", "amount: 101}"),
        lambda folder: folder.main("amount: 1000}", "amount: 1001}"),
    ],
)
def test_hash_is_another_when_a_rule_or_a_source_changes(folder: Any, change: Callable[[Any], None]) -> None:
    first = fingerprint(folder.load())
    change(folder)
    assert fingerprint(folder.load()) != first


def test_hash_is_another_when_what_the_equity_builds_on_changes(folder: Any) -> None:
    folder.main(NAV, SUM, more=MARKET)
    first = fingerprint(folder.load())
    folder.main(NAV, SUM, more=MARKET.replace("3000", "3001"))
    assert fingerprint(folder.load()) != first


def test_hash_tells_hosts_apart_and_no_secrets(bank: Callable[..., str]) -> None:
    first = bank("https://bank.example/v1?token=s3cret")
    assert bank("https://user:pass@bank.example/v1?token=0ther") == first
    assert bank("https://bank.example/v1?token=s3cret", key="another-key") == first
    assert bank("https://bank.example:8443/v1?token=s3cret") != first
    assert bank("https://fraud.example/v1?token=s3cret") != first


def test_nothing_secret_goes_into_the_hash(folder: Any) -> None:
    url = "https://jane:hunter2@bank.example/v1?token=s3cret"
    folder.main(VAULT, BANK.replace("URL", url).replace("KEY", "a-key-to-all"))
    text = str(without_secrets(folder.load().balance_sources["vault"].config))
    assert "https://bank.example'" in text
    assert "$.free" in text
    assert not [word for word in ("jane", "hunter2", "v1", "s3cret", "a-key-to-all") if word in text]
