from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from reservd.plugin import Account
from reservd.plugin.evm import EvmEndpoint
from reservd_evm.config import EvmAccount, EvmAsset, EvmBalanceConfig
from reservd_evm.source import EvmSource

CHECKSUMMED = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
PLUGIN = Path(__file__).parents[2] / "plugins" / "reservd_evm"


def options(**changes: Any) -> dict[str, Any]:
    usual = {
        "rpc_url": "http://127.0.0.1:8545",
        "chain_id": 1,
        "assets": {"ETH": {"native": True}, "USDT": {"token": CHECKSUMMED}},
        "accounts": {"hot": OTHER},
    }
    return {key: value for key, value in (usual | changes).items() if value is not None}


def several(*endpoints: Any, **changes: Any) -> dict[str, Any]:
    return {"rpc_url": None, "rpc_urls": list(endpoints)} | changes


def test_sample_is_accepted() -> None:
    sample = yaml.safe_load((PLUGIN / "sample.yaml").read_text(encoding="utf-8"))
    context = {"environ": {"ETHEREUM_RPC_URL": "https://eth.example/key"}}
    config = EvmBalanceConfig.model_validate(sample["balance_sources"]["treasury"]["options"], context=context)
    assert [endpoint.name for endpoint in config.endpoints] == ["own-node", "provider"]
    assert config.tags == ("latest", "finalized")
    assert config.assets["ETH"].keep == Decimal("0.05")
    assert config.assets_of("hot") == ("ETH", "USDT")
    assert config.assets_of("cold") == ("USDT",)


def test_readme_names_every_option() -> None:
    readme = (PLUGIN / "README.md").read_text(encoding="utf-8")
    for name in [name for part in (EvmBalanceConfig, EvmEndpoint, EvmAsset, EvmAccount) for name in part.model_fields]:
        assert f"| `{name}` |" in readme


def test_accounts_have_their_chain_and_lower_case_address_and_tokens_go_by_theirs() -> None:
    source = EvmSource(
        "treasury",
        EvmBalanceConfig.model_validate(
            options(
                accounts={
                    "hot": OTHER,
                    "cold": {
                        "address": CHECKSUMMED.lower(),
                        "assets": ["USDT"],
                    },
                }
            )
        ),
    )
    ether, tether = {"ETH": "native"}, {"USDT": f"erc20:{source.config.assets['USDT'].token}"}
    assert source.accounts == {
        "hot": Account("hot", "eip155:1", OTHER.lower(), frozenset({"ETH", "USDT"}), ether | tether),
        "cold": Account("cold", "eip155:1", CHECKSUMMED.lower(), frozenset({"USDT"}), tether),
    }


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 10),
        ({"endpoint_timeout": 4}, 4),
        (several("http://a.example", "http://b.example", "http://c.example", timeout=6), 2),
        (several("http://a.example", "http://b.example", "http://c.example", timeout=6, quorum=2), 3),
    ],
)
def test_tries_of_all_endpoints_fit_into_the_timeout(changes: dict[str, Any], seconds: float) -> None:
    config = EvmBalanceConfig.model_validate(options(**changes))
    assert config.seconds_per_endpoint == seconds
    assert config.seconds_per_endpoint * config.tries <= config.timeout


def test_secrets_may_be_in_files_and_variables(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://a.example/key")
    (tmp_path / "ws").write_text("wss://a.example/key")
    changes = several({"url_file": "url"}, "https://${HOST}/key") | {"ws_url_file": "ws"}
    config = EvmBalanceConfig.model_validate(
        options(**changes), context={"directory": tmp_path, "environ": {"HOST": "b.example"}}
    )
    urls = [endpoint.url.get_secret_value() for endpoint in config.endpoints]
    assert urls == ["https://a.example/key", "https://b.example/key"]
    assert config.ws_url is not None
    assert config.ws_url.get_secret_value() == "wss://a.example/key"
    assert "key" not in repr(config)


def test_blocks_a_second_apart_are_all_followed_and_faster_ones_only_when_told_so() -> None:
    assert EvmSource("a", EvmBalanceConfig.model_validate(options())).seconds_between_changes == 1
    fast = EvmBalanceConfig.model_validate(options(wake_interval="0.25"))
    assert EvmSource("a", fast).seconds_between_changes == 0.25


@pytest.mark.parametrize("address", [OTHER, OTHER.lower(), "0x" + OTHER[2:].upper()])
def test_address_is_accepted_when_its_checksum_holds_or_is_absent(address: str) -> None:
    assert EvmBalanceConfig.model_validate(options(accounts={"hot": address})).accounts["hot"].address == OTHER.lower()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accounts": {"hot": OTHER.replace("C5", "c5")}}, "EIP-55 checksum"),
        ({"accounts": {"hot": OTHER[:-1]}}, "0x and 40 hexadecimal digits"),
        ({"accounts": {"hot": OTHER[2:]}}, "0x and 40 hexadecimal digits"),
        ({"accounts": {"hot": "vitalik.eth"}}, "0x and 40 hexadecimal digits"),
        ({"accounts": {"hot": "0x" + "0" * 40}}, "zero address"),
        ({"accounts": {"hot": 0x70997970C51812}}, "must be an address, or a mapping"),
        ({"accounts": {"a": OTHER, "b": OTHER.lower()}}, "'a' and 'b' are both 0x7099"),
        ({"accounts": {}}, "at least 1"),
        ({"accounts": {"hot": {"address": OTHER, "assets": ["USDC"]}}}, "'hot' must be among ETH, USDT, got 'USDC'"),
        ({"accounts": {"hot": {"address": OTHER, "assets": []}}}, "at least 1"),
        ({"assets": {}}, "at least 1"),
        ({"assets": {"ETH": {}}}, "either 'native: true' or 'token"),
        ({"assets": {"ETH": {"native": True, "token": OTHER}}}, "either 'native: true' or 'token"),
        ({"assets": {"ETH": {"native": True, "decimals": 18}}}, "decimals must be left out of the native coin"),
        ({"assets": {"A": {"native": True}, "B": {"native": True}}}, "'A' and 'B' are both the native coin"),
        ({"assets": {"A": {"token": OTHER}, "B": {"token": OTHER.lower()}}}, "'A' and 'B' are both 0x7099"),
        ({"assets": {"A": {"token": OTHER, "decimals": 61}}}, "less than or equal to 60"),
        ({"assets": {"A": {"token": OTHER, "keep": "-1"}}}, "greater than or equal to 0"),
        ({"assets": {"A": {"token": OTHER, "keep": "NaN"}}}, "finite"),
        ({"chain_id": None}, "chain_id"),
        ({"batch_size": 0}, "greater than 0"),
        ({"rpc_url": "ws://127.0.0.1:8545"}, "http:// or https://"),
        ({"rcp_url": "http://127.0.0.1"}, "rcp_url"),
        ({"rpc_url": None}, "either rpc_url or rpc_urls"),
        ({"rpc_urls": ["http://a.example:8545"]}, "either rpc_url or rpc_urls"),
        (several(), "at least 1"),
        (several("http://a.example:8545", "http://a.example:8545"), "must not hold the same url twice"),
        (several(*({"name": "x", "url": f"http://{host}.example:8545"} for host in "ab")), "the same name twice"),
        (several(7), "must be a URL, or a mapping of url and name"),
        (several("http://a.example", "http://b.example", quorum=3), "at most the number of endpoints (2), got 3"),
        ({"quorum": 0}, "greater than 0"),
        ({"quorum_max_lag": -1}, "greater than or equal to 0"),
        (
            several("http://a.example", "http://b.example", endpoint_timeout=6),
            "at most 5 s, so that 2 tries end within",
        ),
        ({"endpoint_timeout": 11}, "at most 10 s, so that 1 tries"),
        ({"block": "pending"}, "'latest', 'safe' or 'finalized'"),
        ({"believe_drops_from": "safe"}, "must not be older than block (latest), got safe"),
        ({"max_block_age": 0}, "greater than 0"),
        ({"ws_url": "http://127.0.0.1:8545"}, "ws:// or wss://"),
        ({"ws_url": "ws://"}, "ws:// or wss://"),
        ({"wake_interval": 0}, "greater than 0"),
        ({"concurrency": 0}, "greater than 0"),
    ],
)
def test_config_is_refused_with_what_must_hold(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        EvmBalanceConfig.model_validate(options(**changes))
    assert message in str(refused.value)
    assert "8545" not in str(refused.value)
