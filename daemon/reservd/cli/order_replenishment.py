"""`reservd replenishments approve`, `reject`, `cancel` and `request`: rows that the owner of the store picks up."""

from typing import TYPE_CHECKING, Annotated

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from reservd.store.database import Database
    from reservd.store.replenishments import OrderAction

_MAX_REASON = 500

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The request's id, or the beginning of it.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with your name.")]


def approve(replenishment_id: IdArgument, reason: ReasonOption = "", config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let a request go that waits for approval."""
    _order_one("approve", replenishment_id, reason, config)


def reject(replenishment_id: IdArgument, reason: ReasonOption = "", config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Refuse a request that waits for approval, or that its strategy has not accepted yet."""
    _order_one("reject", replenishment_id, reason, config)


def cancel(replenishment_id: IdArgument, reason: ReasonOption = "", config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Give a request up. A strategy that has it already may still act on it."""
    _order_one("cancel", replenishment_id, reason, config)


def request(
    mode: Annotated[str, typer.Argument(metavar="MODE", help="The mode to refill.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="How much, in whole units of its share class.")],
    reason: ReasonOption = "asked for by hand",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Ask a mode's strategy for a refill of so much, unless one is in flight."""
    import asyncio

    from reservd.reserve.amounts import parse_amount

    try:
        wanted = parse_amount(amount)
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="AMOUNT") from None
    if wanted <= 0:
        raise typer.BadParameter(f"must be above 0, got {amount}", param_hint="AMOUNT")
    order_id = asyncio.run(_request(config, mode, wanted, reason))
    typer.echo(f"asked the daemon to request {amount} for {mode}: see reservd replenishments show {order_id[:8]}")


def _order_one(action: str, replenishment_id: str, reason: str, config: "Path") -> None:
    import asyncio

    from reservd.store.replenishments import OrderAction

    whole_id = asyncio.run(_order(config, OrderAction(action), replenishment_id, reason))
    typer.echo(f"asked the daemon to {action} {whole_id}: see reservd replenishments show {whole_id[:8]}")


async def _order(config: "Path", action: "OrderAction", replenishment_id: str, reason: str) -> str:
    from reservd.cli.find_replenishment import find_replenishment
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.errors import ReservdError
    from reservd.reserve.replenishment_states import TRANSITIONS, ReplenishmentState
    from reservd.store.replenishments import OrderAction

    async with open_store(config, load_settings(config)) as database:
        async with database.read() as connection:
            record = await find_replenishment(connection, replenishment_id)
        if action is OrderAction.APPROVE and not record.held_back:
            what = "waits for no approval" if record.open else f"is {record.state}"
            raise ReservdError(f"replenishment {record.id} {what}: it cannot be approved")
        after = {
            OrderAction.REJECT: ReplenishmentState.REJECTED,
            OrderAction.CANCEL: ReplenishmentState.CANCELLED,
        }.get(action)
        if after is not None and after not in TRANSITIONS[record.state]:
            raise ReservdError(f"replenishment {record.id} is {record.state}: it cannot become {after}")
        await _write(database, action, record.id, None, reason)
    return record.id


async def _request(config: "Path", mode: str, amount: "Decimal", reason: str) -> str:
    from reservd.cli.store import open_store
    from reservd.config.load import load_modes, load_settings
    from reservd.config.wording import nearest, show
    from reservd.errors import ConfigError
    from reservd.store.replenishments import OrderAction

    settings, modes = load_settings(config), load_modes(config)
    if mode not in modes:
        raise ConfigError(f"mode {show(mode)} is not configured{nearest(mode, modes)}")
    if modes[mode].reserve_replenisher is None:
        raise ConfigError(f"mode {show(mode)} has no reserve_replenisher: nobody could be asked")
    async with open_store(config, settings) as database:
        return await _write(database, OrderAction.REQUEST, mode, amount, reason)


async def _write(
    database: "Database", action: "OrderAction", target: str, amount: "Decimal | None", reason: str
) -> str:
    import uuid
    from datetime import UTC, datetime

    from reservd.cli.store import login_name, storable
    from reservd.store.replenishments import ReplenishmentOrder, ask_order

    text = storable(reason.strip())[:_MAX_REASON]
    order = ReplenishmentOrder(str(uuid.uuid4()), action, target, amount, text, datetime.now(UTC), login_name())
    async with database.write() as connection:
        await ask_order(connection, order)
    return order.id
