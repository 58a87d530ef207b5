"""A strategy that lends in an ERC-4626 vault, and withdraws from it when its reserve falls.

python strategy.py vault_lending.yaml --url http://127.0.0.1:9847 --token-file token --memory memory.json
"""

import argparse
import asyncio
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import structlog
import yaml
from vault import NotMinedError, Position, TransactionError, VaultPosition

from reservd import BaseStrategyManager
from reservd.client import AsyncClient, RemoteReserveManager, StrategyMemory
from reservd.plugin.evm import EvmConfig

log = structlog.get_logger("vault_strategy")

_REMEMBERED = 100


class VaultStrategy(BaseStrategyManager):
    """Withdraws what is requested: in steps when there is time, at once in an emergency.

    Args:
        config: The strategy's own file; `step` is the most that one step of a fast withdrawal takes.
        position: The vault position that the money is in.
        reserve_manager: Passes on the daemon's requests.
        memory: Requests that were already acted on.
    """

    def __init__(
        self,
        config: dict[str, Any],
        position: VaultPosition,
        reserve_manager: RemoteReserveManager,
        memory: StrategyMemory,
    ) -> None:
        super().__init__(config, None, position, None, reserve_manager, memory=memory)
        self._position = position
        self._step = Decimal(str(config["step"]))
        self._withdrawn: dict[str, Decimal] = {}
        # Two withdrawals at a time would both count on the same liquidity of the vault.
        self._one_at_a_time = asyncio.Lock()

    async def request_fast_execution(self) -> None:
        """Withdraw in steps, to move the vault no more than necessary."""
        await self._refill(self._step)

    async def request_emergency_execution(self) -> None:
        """Withdraw everything at once."""
        await self._refill(None)

    async def _refill(self, step: Decimal | None) -> None:
        async with self._one_at_a_time:
            missing = self._outstanding()
            while missing > 0:
                wanted = missing if step is None else min(step, missing)
                withdrawn = await self._withdraw(wanted)
                if withdrawn == 0:
                    return
                missing -= withdrawn
            await self.report_settled(reason="all of it is in the wallet")

    def _outstanding(self) -> Decimal:
        """Return what remains to be withdrawn, less what the replaced request has brought."""
        amount, request = self.occasion.amount or Decimal(0), self.occasion.request
        earlier = None if request is None else request.replaces
        return amount - self._withdrawn.get(earlier or "", Decimal(0))

    async def _withdraw(self, wanted: Decimal) -> Decimal:
        """Withdraw an amount, or as much as the vault has, and report it; return how much arrived for certain."""
        quote = await self._position.quote(wanted)
        request = self.occasion.request
        if request is not None and request.max_loss is not None and quote.loss > request.max_loss:
            await self.report_failed(f"it would lose {quote.loss:.4f}, and may lose {request.max_loss}")
            return Decimal(0)
        if quote.units == 0:
            await self.report_failed(f"the vault pays nothing out now; {wanted} {self.share_class} are missing")
            return Decimal(0)
        try:
            transaction = await self._position.withdraw(quote.units)
        except NotMinedError as error:
            # It may still be mined, and shows in the reserve then. Reported as failed, it would be requested again.
            await self.report_progress(reason=str(error))
            return Decimal(0)
        except TransactionError as error:
            await self.report_failed(str(error))
            return Decimal(0)
        self._note(quote.amount)
        log.info("vault.withdrawn", amount=str(quote.amount), transaction=transaction)
        await self.report_progress(reference=transaction, reason=f"{quote.amount} {self.share_class} withdrawn")
        return quote.amount

    def _note(self, amount: Decimal) -> None:
        occasion = self.occasion.id
        self._withdrawn[occasion] = self._withdrawn.pop(occasion, Decimal(0)) + amount
        if len(self._withdrawn) > _REMEMBERED:
            self._withdrawn.pop(next(iter(self._withdrawn)))


async def run(arguments: argparse.Namespace) -> None:
    """Listen to the daemon until SIGTERM or SIGINT."""
    config = yaml.safe_load(arguments.config.read_text())
    position, chain = Position.model_validate(config["position"]), EvmConfig.model_validate(config["chain"])
    memory = StrategyMemory(arguments.memory)
    async with (
        VaultPosition(position, chain) as vault,
        AsyncClient(arguments.url, token_file=arguments.token_file) as client,
    ):
        manager = RemoteReserveManager(client, memory)
        strategy = VaultStrategy(config, vault, manager, memory)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, manager.stop_monitoring)
        log.info("strategy.started", mode=strategy.mode)
        await manager.start_monitoring()
        await strategy.idle()  # wait until running withdrawals are reported
        log.info("strategy.stopped")


def main() -> None:
    """Run the strategy with the arguments of the command line."""
    parser = argparse.ArgumentParser(description="Takes money out of an ERC-4626 vault when the reserve falls.")
    parser.add_argument("config", type=Path, help="the strategy's own file, which the daemon reads too")
    parser.add_argument("--url", action="append", required=True, help="where the daemon is; repeatable")
    parser.add_argument("--token-file", type=Path, required=True, help="a token for this mode")
    parser.add_argument("--memory", type=Path, required=True, help="what was acted on is kept here")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
