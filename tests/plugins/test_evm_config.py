from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from reservd.plugin import Account
from reservd_evm.config import AccountOptions, AssetOptions, EvmConfig
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


def test_sample_is_accepted() -> None:
    sample = yaml.safe_load((PLUGIN / "sample.yaml").read_text(encoding="utf-8"))
    config = EvmConfig.model_validate(sample["balance_sources"]["treasury"]["options"])
    assert config.assets["ETH"].keep == Decimal("0.05")
    assert config.assets_of("hot") == ("ETH", "USDT")
    assert config.assets_of("cold") == ("USDT",)


def test_readme_names_every_option() -> None:
    readme = (PLUGIN / "README.md").read_text(encoding="utf-8")
    for name in [name for part in (EvmConfig, AssetOptions, AccountOptions) for name in part.model_fields]:
        assert f"| `{name}` |" in readme


def test_accounts_have_their_chain_and_lower_case_address() -> None:
    source = EvmSource(
        "treasury",
        EvmConfig.model_validate(
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
    assert source.accounts == {
        "hot": Account("hot", "eip155:1", OTHER.lower(), frozenset({"ETH", "USDT"})),
        "cold": Account("cold", "eip155:1", CHECKSUMMED.lower(), frozenset({"USDT"})),
    }


@pytest.mark.parametrize("address", [OTHER, OTHER.lower(), "0x" + OTHER[2:].upper()])
def test_address_is_accepted_when_its_checksum_holds_or_is_absent(address: str) -> None:
    assert EvmConfig.model_validate(options(accounts={"hot": address})).accounts["hot"].address == OTHER.lower()


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
    ],
)
def test_config_is_refused_with_what_must_hold(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        EvmConfig.model_validate(options(**changes))
    assert message in str(refused.value)
    assert "8545" not in str(refused.value)
