"""A real Aave v3 market on a test's own node, deployed by transactions.

    market = AaveMarket(chain)
    usdc = market.list_reserve("USDC", decimals=6, price=10**8)
    market.supply(holder, usdc, 1_000_000)

Amounts are in the smallest unit, prices in 1e-8 dollars a whole token.
"""

import json
from collections.abc import Mapping

from eth_abi import encode
from eth_utils import function_signature_to_4byte_selector as selector

from support.chain import Anvil
from support.contracts import _MODULES, Artifact
from support.solidity import ask, compiled, transact

RAY = 10**27
_ARTIFACTS = "@aave/core-v3/artifacts/contracts"
_LOGIC = "protocol/libraries/logic"
_RESERVE = (
    "(address,address,address,uint8,address,address,address,address,string,string,string,string,string,string,bytes)"
)
_NONE = "0x" + 40 * "0"
_PROXIED_POOL = "0x" + 40 * "9"


class AaveMarket:
    """A market, without reserves at first; the node's first account administers it.

    Attributes:
        pool: The address of its Pool.
        configurator: The address of its PoolConfigurator.
        oracle: The address of its price oracle, whose prices anyone may set.
        threshold: The liquidation threshold of each reserve, in basis points.
    """

    threshold = 8000

    def __init__(self, chain: Anvil) -> None:
        """Deploy it."""
        self.chain = chain
        admin = chain.accounts[0]
        names = "Borrow", "Supply", "EMode", "Bridge", "Liquidation", "Pool", "Configurator", "FlashLoan"
        self._libraries: dict[str, str] = {}
        for name in names:
            self._libraries[f"{name}Logic"] = self._deploy(f"{_LOGIC}/{name}Logic")
        provider = self._deploy("protocol/configuration/PoolAddressesProvider", "test", admin)
        transact(chain, provider, "setACLAdmin(address)", admin)
        acl = self._deploy("protocol/configuration/ACLManager", provider)
        transact(chain, provider, "setACLManager(address)", acl)
        transact(chain, acl, "addPoolAdmin(address)", admin)
        transact(chain, acl, "addEmergencyAdmin(address)", admin)
        self.oracle = self._deploy("mocks/oracle/PriceOracle")
        transact(chain, provider, "setPriceOracle(address)", self.oracle)
        data_provider = self._deploy("misc/AaveProtocolDataProvider", provider)
        transact(chain, provider, "setPoolDataProvider(address)", data_provider)
        transact(chain, provider, "setPoolImpl(address)", self._deploy("protocol/pool/Pool", provider))
        self._provider = provider
        self.pool: str = ask(chain, provider, "getPool()", returns="address")
        configurator = self._deploy("protocol/pool/PoolConfigurator")
        transact(chain, provider, "setPoolConfiguratorImpl(address)", configurator)
        self.configurator: str = ask(chain, provider, "getPoolConfigurator()", returns="address")
        rates = 8 * RAY // 10, 0, 4 * RAY // 100, 6 * RAY // 10, RAY // 100, RAY // 10, RAY // 100, 0, 2 * RAY // 10
        self._strategy = self._deploy("protocol/pool/DefaultReserveInterestRateStrategy", provider, *rates)
        kinds = "AToken", "StableDebtToken", "VariableDebtToken"
        self._implementations = [self._deploy(f"protocol/tokenization/{kind}", self.pool) for kind in kinds]

    def list_reserve(self, symbol: str, *, decimals: int, price: int) -> str:
        """Deploy a token, list it as a reserve that may be supplied, borrowed and used as collateral; return it."""
        token = self.chain.deploy_token(decimals=decimals, symbol=symbol, supply=10**40)
        names = [symbol] * 6
        treasury = self.chain.accounts[1]
        reserve = (*self._implementations, decimals, self._strategy, token, treasury, _NONE, *names, b"")
        data = selector(f"initReserves({_RESERVE}[])") + encode([f"{_RESERVE}[]"], [[reserve]])
        self.chain._send([{"to": self.configurator, "data": "0x" + data.hex(), "gas": hex(10_000_000)}])
        risk = 7500, self.threshold, 10500
        self.configures("configureReserveAsCollateral(address,uint256,uint256,uint256)", token, *risk)
        self.configures("setReserveBorrowing(address,bool)", token, True)
        self.configures("setReserveStableRateBorrowing(address,bool)", token, True)
        self.set_price(token, price)
        return token

    def set_price(self, token: str, price: int) -> None:
        """Set the oracle's price of a token or another priced address."""
        transact(self.chain, self.oracle, "setAssetPrice(address,uint256)", token, price)

    def reads_feeds(self, **feeds: str) -> None:
        """Use Aave's own oracle from now on.

        Args:
            feeds: The feed of each token; other prices come from the former oracle.
        """
        whole = self._deploy(
            "misc/AaveOracle", self._provider, list(feeds), list(feeds.values()), self.oracle, _NONE, 10**8
        )
        transact(self.chain, self._provider, "setPriceOracle(address)", whole)

    def configures(self, function: str, *arguments: object) -> None:
        """Send a transaction of the administrator to the configurator."""
        transact(self.chain, self.configurator, function, *arguments)

    def supply(self, holder: str, token: str, units: int) -> None:
        """Give a holder tokens and supply them, as collateral."""
        self.chain.transfer(token, holder, units)
        transact(self.chain, token, "approve(address,uint256)", self.pool, units, sender=holder)
        self.does(holder, "supply(address,uint256,address,uint16)", token, units, holder, 0)

    def borrow(self, holder: str, token: str, units: int, *, stable: bool = False) -> None:
        """Borrow tokens, by default at the variable rate."""
        self.does(holder, "borrow(address,uint256,uint256,uint16,address)", token, units, 1 if stable else 2, 0, holder)

    def withdraw(self, holder: str, token: str, units: int) -> None:
        """Withdraw supplied tokens."""
        self.does(holder, "withdraw(address,uint256,address)", token, units, holder)

    def does(self, holder: str, function: str, *arguments: object) -> None:
        """Send a transaction of a holder to the pool."""
        transact(self.chain, self.pool, function, *arguments, sender=holder)

    def health_factor(self, holder: str) -> float:
        """Return an account's health factor, as the pool reports it."""
        types = "(uint256,uint256,uint256,uint256,uint256,uint256)"
        return float(ask(self.chain, self.pool, "getUserAccountData(address)", holder, returns=types)[5]) / 1e18

    def becomes_newer(self) -> None:
        """Make the pool also report what pools since v3.2 report: virtual balances and e-mode bit maps."""
        newer = self.chain.deploy(compiled("NewerPool.sol", "NewerPool"))
        self.chain.rpc("anvil_setCode", _PROXIED_POOL, self.chain.rpc("eth_getCode", self.pool, "latest"))
        self.chain.rpc("anvil_setCode", self.pool, self.chain.rpc("eth_getCode", newer, "latest"))
        transact(self.chain, self.pool, "standBefore(address)", _PROXIED_POOL)

    def _deploy(self, path: str, *arguments: object) -> str:
        """Deploy a compiled contract, linked with the libraries that are deployed so far."""
        name = path.rpartition("/")[2]
        artifact = Artifact(f"{_ARTIFACTS}/{path}.sol/{name}.json")
        code = _linked(artifact, self._libraries) + encode(artifact.constructor_types, arguments)
        receipt = self.chain._send([{"data": "0x" + code.hex(), "gas": hex(12_000_000)}])[0]
        return str(receipt["contractAddress"])


def _linked(artifact: Artifact, libraries: Mapping[str, str]) -> bytes:
    """Return the deployment code of a contract with the addresses of its libraries."""
    content = json.loads((_MODULES / artifact.path).read_text(encoding="utf-8"))
    digits = content["bytecode"].removeprefix("0x")
    for names in content["linkReferences"].values():
        for name, places in names.items():
            for place in places:
                start, end = 2 * place["start"], 2 * (place["start"] + place["length"])
                digits = digits[:start] + libraries[name].removeprefix("0x") + digits[end:]
    return bytes.fromhex(digits)
