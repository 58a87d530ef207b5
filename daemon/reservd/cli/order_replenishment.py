"""`reservd replenishments approve`, `reject`, `cancel` and `request`: rows that the owner of the store picks up."""

from typing import TYPE_CHECKING, Annotated

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption
from reservd.cli.orders import DEFAULT_WAIT, Instruction, ReasonOption, WaitOption

if TYPE_CHECKING:
    from decimal import Decimal

    from reservd.reserve.replenishment.states import Replenishment
    from reservd.store.orders import Order

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The request's id, or the beginning of it.")]


def approve(
    replenishment_id: IdArgument,
    reason: ReasonOption = "",
    wait: WaitOption = DEFAULT_WAIT,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Approve a request that waits for it."""
    _order_one(Instruction("approve", replenishment_id, reason, wait, config))


def reject(
    replenishment_id: IdArgument,
    reason: ReasonOption = "",
    wait: WaitOption = DEFAULT_WAIT,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Refuse a request that its strategy has not accepted.

    One that waits for approval is such a one.
    """
    _order_one(Instruction("reject", replenishment_id, reason, wait, config))


def cancel(
    replenishment_id: IdArgument,
    reason: ReasonOption = "",
    wait: WaitOption = DEFAULT_WAIT,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Give up a request. A strategy that already has it may still act on it."""
    _order_one(Instruction("cancel", replenishment_id, reason, wait, config))


def request(
    mode: Annotated[str, typer.Argument(metavar="MODE", help="The mode to refill.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="How much, in whole units of its share class.")],
    reason: ReasonOption = "requested by an operator",
    wait: WaitOption = DEFAULT_WAIT,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Ask a mode's strategy for a refill of an exact amount.

    None is made while another is in flight.
    """
    import asyncio

    from reservd.cli.options import parse_positive

    wanted = parse_positive(amount)
    order, record = asyncio.run(_request(Instruction("request", mode, reason, wait, config), wanted))
    if record is not None:
        typer.echo(_told(record))
    else:
        typer.echo(f"asked the daemon to request {amount} for {mode}: see reservd replenishments show {order.id[:8]}")


def _order_one(instruction: Instruction) -> None:
    import asyncio

    order, record = asyncio.run(_order(instruction))
    if order.answered_at is not None:
        typer.echo(_told(record))
    else:
        typer.echo(
            f"asked the daemon to {instruction.action} {record.id}: see reservd replenishments show {record.id[:8]}"
        )


def _told(record: "Replenishment") -> str:
    from reservd.cli.table import printable

    waits = ", waits for approval" if record.held_back else ""
    why = f": {printable(record.detail)}" if record.detail else ""
    return f"replenishment {record.id} of {record.request.strategy_mode} is {record.state}{waits}{why}"


async def _order(instruction: Instruction) -> "tuple[Order, Replenishment]":
    from reservd.cli.find_by_id import find_replenishment
    from reservd.cli.orders import give_order
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.reserve.replenishment.states import ReplenishmentState, advance, check_approval
    from reservd.store.orders import OrderAction, OrderSubject

    config, action = instruction.config, OrderAction(instruction.action)
    leads_to = {OrderAction.REJECT: ReplenishmentState.REJECTED, OrderAction.CANCEL: ReplenishmentState.CANCELLED}
    async with open_store(config, load_settings(config)) as database:
        async with database.read() as connection:
            record = await find_replenishment(connection, instruction.target)
        # What the daemon would refuse is not ordered at all; what was done before may be ordered again.
        if action is OrderAction.APPROVE:
            check_approval(record)
        else:
            advance(record, leads_to[action], record.changed_at)
        order = await give_order(database, OrderSubject.REPLENISHMENT, instruction._replace(target=record.id))
        async with database.read() as connection:
            return order, await find_replenishment(connection, record.id)


async def _request(instruction: Instruction, amount: "Decimal") -> "tuple[Order, Replenishment | None]":
    from reservd.cli.modes import require_known_mode
    from reservd.cli.orders import give_order
    from reservd.cli.store import open_store
    from reservd.config.load import load_modes, load_settings
    from reservd.config.wording import show
    from reservd.errors import ConfigError
    from reservd.store.orders import OrderSubject
    from reservd.store.replenishments import load_replenishment

    config, mode = instruction.config, instruction.target
    settings, modes = load_settings(config), load_modes(config)
    require_known_mode(mode, modes)
    if modes[mode].reserve_replenisher is None:
        raise ConfigError(f"mode {show(mode)} has no reserve_replenisher to ask")
    async with open_store(config, settings) as database:
        order = await give_order(database, OrderSubject.REPLENISHMENT, instruction, amount=amount)
        async with database.read() as connection:
            return order, await load_replenishment(connection, order.id)
