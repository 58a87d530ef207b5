"""What is asked of the node: the balance of one asset of one account, by itself or inside Multicall3."""

from typing import NamedTuple

from eth_utils.abi import function_signature_to_4byte_selector as selector

from reservd_evm.answers import WORD_BYTES, Outcome, parse_data, parse_quantity, parse_word
from reservd_evm.config import EvmConfig
from reservd_evm.rpc import RpcCall

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
"""Where Multicall3 is on every chain that has it."""

_BALANCE_OF = selector("balanceOf(address)")
_ETH_BALANCE = selector("getEthBalance(address)")
_DECIMALS = selector("decimals()")


class Query(NamedTuple):
    """The balance of one asset of one account.

    Attributes:
        account: The account's name.
        asset: The asset's name.
        address: The account's address.
        token: The token's address; None for the native coin.
    """

    account: str
    asset: str
    address: str
    token: str | None

    def call(self, block: object) -> RpcCall:
        """Return the JSON-RPC call that reads the balance at a block."""
        if self.token is None:
            return RpcCall("eth_getBalance", (self.address, block))
        return contract_call(self.token, self._data(_BALANCE_OF), block)

    def parse(self, answer: object) -> Outcome:
        """Return the units that the answer to `call` says."""
        return parse_quantity(answer) if self.token is None else parse_word(parse_data(answer))

    def inner_call(self) -> tuple[str, bytes]:
        """Return the contract and the call data that read the balance from inside Multicall3."""
        if self.token is None:
            return MULTICALL3, self._data(_ETH_BALANCE)
        return self.token, self._data(_BALANCE_OF)

    def _data(self, function: bytes) -> bytes:
        return function + bytes.fromhex(self.address[2:]).rjust(WORD_BYTES, b"\0")


def plan_queries(config: EvmConfig) -> tuple[Query, ...]:
    """Return what one reading asks for."""
    return tuple(
        Query(name, asset, account.address, config.assets[asset].token)
        for name, account in config.accounts.items()
        for asset in config.assets_of(name)
    )


def contract_call(contract: str, data: bytes, block: object) -> RpcCall:
    """Return the JSON-RPC call that runs a contract's function at a block.

    Args:
        contract: Its address.
        data: The function's selector and its encoded arguments.
        block: A tag, a number, or what EIP-1898 allows.
    """
    return RpcCall("eth_call", ({"to": contract, "data": "0x" + data.hex()}, block))


def decimals_call(token: str) -> RpcCall:
    """Return the JSON-RPC call that reads a token's decimals."""
    return contract_call(token, _DECIMALS, "latest")
