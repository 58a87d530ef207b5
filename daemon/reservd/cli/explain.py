"""What `reservd check --explain` shows: where amounts came from, how old they are, and the reason for each status."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from reservd.cli.amounts import show_amount, show_needed
from reservd.cli.table import STATUS_STYLES, make_table, visible
from reservd.reserve.explanation import Explanation
from reservd.reserve.models import AccountPart
from reservd.reserve.readings import Component

_INDENT = (0, 0, 0, 2)


def print_explanation(console: Console, explanation: Explanation) -> None:
    """Print what a check of a mode was made of."""
    status = str(explanation.snapshot.status)
    mode = visible(explanation.snapshot.strategy_mode, "bold")
    console.print(Text.assemble(mode, ": ", Text(status, STATUS_STYLES[status])))
    for heading, line in _lines(explanation):
        console.print(Text(f"  {heading:<10}").append(visible(line)), soft_wrap=True)
    console.print(Padding(_accounts(explanation), _INDENT, expand=False))
    if explanation.equity.components:
        console.print(Padding(_components(explanation), _INDENT, expand=False))


def plain_explanation(explanation: Explanation) -> dict[str, Any]:
    """Return the same for JSON, as the API has it."""
    from reservd.web.api.explanations import show_explanation

    return show_explanation(explanation).model_dump(mode="json")


def _lines(explanation: Explanation) -> Iterator[tuple[str, str]]:
    snapshot = explanation.snapshot
    currency = snapshot.share_class
    yield "why", explanation.why
    equity = explanation.equity
    if equity.problem:
        yield "equity", f"? from {equity.source}: {equity.problem}"
    else:
        age = _age(equity.observed_at, snapshot.timestamp)
        yield "equity", f"{show_amount(snapshot.total_equity)} {currency} from {equity.source}, {age} old"
    if snapshot.target_reserve is not None:
        low, critical = show_needed(explanation.low_below), show_needed(explanation.critical_below)
        below = f"low below {low}, critical below {critical}"
        target = show_needed(snapshot.target_reserve)
        owed = f" less {show_amount(explanation.owed)} of accepted withdrawals" if explanation.owed else ""
        yield "target", f"{target} {currency}, {snapshot.reserve_ratio} of the equity{owed}; {below}"
    yield "reserve", _reserve(explanation)
    if snapshot.held:
        yield "held", f"{show_needed(snapshot.held)} {currency} for accepted withdrawals"
    if snapshot.shortfall:
        yield "shortfall", f"{show_needed(snapshot.shortfall)} {currency}"
    # What an account or the equity lacks stands beside it.
    said = {f"{part.account}: {part.problem}" for part in snapshot.accounts}
    said.add(f"{equity.source}: {equity.problem}")
    for line in snapshot.missing:
        if line not in said:
            yield "missing", line


def _reserve(explanation: Explanation) -> str:
    snapshot = explanation.snapshot
    if snapshot.bounds is None:
        return f"{show_amount(snapshot.reserve_balance)} {snapshot.share_class}"
    lower, upper = snapshot.bounds
    if lower is None and upper is None:
        return f"? {snapshot.share_class}: nothing is certain"
    least = show_amount(lower) if lower is not None else "anything"
    most = f"to {show_amount(upper)}" if upper is not None else "up"
    return f"not certain: from {least} {most} {snapshot.share_class}"


def _accounts(explanation: Explanation) -> Table:
    table = make_table("Account", "Asset")
    for heading in ("Amount", "Locked", "Held", "Part"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Split", no_wrap=True)
    for heading in ("Age", "Block"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Why")
    for part in explanation.snapshot.accounts:
        table.add_row(
            visible(part.account),
            visible(part.asset),
            show_amount(part.amount),
            _locked(part),
            "-" if part.held == 0 else show_needed(part.held),
            show_amount(part.part),
            _split(part),
            _age(part.observed_at, explanation.snapshot.timestamp),
            str(part.block) if part.block is not None else "-",
            visible("; ".join(filter(None, (part.note, part.problem)))),
        )
    return table


def _components(explanation: Explanation) -> Table:
    table = make_table("Equity part")
    for heading in ("Amount", "Age", "Price", "Price's age"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, component in explanation.equity.components.items():
        known = component if isinstance(component, Component) else None
        amount = component.amount if isinstance(component, Component) else component
        price = known.price if known is not None else None
        table.add_row(
            visible(name),
            show_amount(amount),
            _age(known.observed_at if known is not None else None, explanation.snapshot.timestamp),
            visible(f"{price.value.normalize():f} {price.quote}/{price.base}") if price is not None else "-",
            _age(price.observed_at if price is not None else None, explanation.snapshot.timestamp),
        )
    return table


def _locked(part: AccountPart) -> str:
    if part.amount is None:
        return "-"
    return (show_amount(part.locked) if part.locked else "-") if part.locked is not None else "?"


def _split(part: AccountPart) -> str:
    return str(part.method) if part.method is not None else "not shared"


def _age(observed_at: datetime | None, now: datetime) -> str:
    return f"{(now - observed_at).total_seconds():,.0f} s" if observed_at is not None else "-"
