"""`reservd withdrawals paying`, `settle` and `cancel`: rows that the owner of the store picks up."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption
from reservd.cli.orders import DEFAULT_WAIT, Instruction, ReasonOption, WaitOption

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from reservd.reserve.holds import Hold

_MAX_BLOCK = 2**63 - 1

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The withdrawal's id, or the beginning of it.")]


def paying(
    withdrawal_id: IdArgument,
    reason: ReasonOption = "",
    wait: WaitOption = DEFAULT_WAIT,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Note that the payment of a withdrawal was sent.

    What is held for it stays held until it is settled.
    """
    from reservd.reserve.holds import mark_paying

    _order(Instruction("paying", withdrawal_id, reason, wait, config), mark_paying)


def settle(
    withdrawal_id: IdArgument,
    block: Annotated[
        int | None,
        typer.Option(
            "--block",
            metavar="NUMBER",
            help="The block that the payment is in, where all accounts of the mode are on one chain.",
        ),
    ] = None,
    paid_at: Annotated[
        str | None,
        typer.Option(
            "--paid-at",
            metavar="TIME",
            help="When it took effect, such as 2026-03-01T12:00:00Z; `now` for this moment.",
        ),
    ] = None,
    reason: ReasonOption = "",
    wait: WaitOption = DEFAULT_WAIT,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Note that the client was paid, and when the money left.

    One of --block and --paid-at tells when. What is held is taken off readings that are older, which still show
    the money, and off none later.
    """
    from datetime import UTC, datetime
    from functools import partial

    from reservd.reserve.holds import settle as settled

    if block is not None and not 0 <= block <= _MAX_BLOCK:
        raise typer.BadParameter(f"must be from 0 to {_MAX_BLOCK}, got {block}", param_hint="--block")
    if block is None and paid_at is None:
        raise typer.BadParameter("one of the two is needed", param_hint="--block or --paid-at")
    now = datetime.now(UTC)
    paid = _moment(paid_at, now) if paid_at is not None else None
    change = partial(settled, now=now, block=block, paid_at=paid)
    _order(Instruction("settle", withdrawal_id, reason, wait, config), change, block=block, paid_at=paid)


def cancel(
    withdrawal_id: IdArgument,
    reason: ReasonOption = "",
    wait: WaitOption = DEFAULT_WAIT,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Note that nothing was paid and nothing will be.

    What was held for it is free again.
    """
    from datetime import UTC, datetime
    from functools import partial

    from reservd.reserve.holds import cancel as cancelled

    change = partial(cancelled, now=datetime.now(UTC))
    _order(Instruction("cancel", withdrawal_id, reason, wait, config), change)


def _moment(text: str, now: "datetime") -> "datetime":
    from datetime import UTC, datetime

    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        rule = "must be a time with its zone, such as 2026-03-01T12:00:00Z, or now"
        raise typer.BadParameter(f"{rule}, got {text!r}", param_hint="--paid-at")
    return moment.astimezone(UTC)


def _order(instruction: Instruction, change: "Callable[[Hold], Hold]", **details: Any) -> None:
    """Have the daemon change a withdrawal as `change` would; what that refuses is not ordered at all."""
    import asyncio

    done, hold = asyncio.run(_ask(instruction, change, details))
    name = f"withdrawal {hold.id} of {hold.mode}"
    if done:
        typer.echo(f"{name} is {hold.state}")
    else:
        typer.echo(f"asked the daemon: {instruction.action} {name}; see reservd withdrawals show {hold.id[:8]}")


async def _ask(
    instruction: Instruction, change: "Callable[[Hold], Hold]", details: dict[str, Any]
) -> "tuple[bool, Hold]":
    from reservd.cli.find_by_id import find_withdrawal
    from reservd.cli.orders import give_order
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.store.orders import OrderSubject

    config = instruction.config
    async with open_store(config, load_settings(config)) as database:
        async with database.read() as connection:
            hold = await find_withdrawal(connection, instruction.target)
        try:
            after = change(hold)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        if after == hold:
            return True, hold
        instruction = instruction._replace(target=hold.id)
        order = await give_order(database, OrderSubject.WITHDRAWAL, instruction, **details)
        async with database.read() as connection:
            return order.answered_at is not None, await find_withdrawal(connection, hold.id)
