"""Operators' commands and the store that they work on."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from reservd.errors import FailureReason
from reservd.plugin.examples import example_event
from reservd.reserve.amounts import ZERO
from reservd.reserve.explanation import EquityInput, Explanation
from reservd.reserve.models import AccountPart, EventType, ReserveEvent, ReserveStatus
from reservd.reserve.readings import Component, Price
from reservd.store.database import Database, parse_url
from reservd.store.operators import Redelivery, Silence, add_silence, load_redeliveries, load_silences
from reservd.store.outbox import OutboxEvent, Outcome, add_events, record_outcomes
from reservd.store.schema import prepare
from reservd.wire.events import DeliveryState
from support.reserve import make_policy, make_snapshot

MAIN = """\
modes: modes/*.yaml
{store}
balance_sources:
  wallet: {{plugin: http_json, options: {{url: "${{UNSET}}", balances: [{{asset: USDT, amount: $.x}}]}}}}
equity_sources:
  nav: {{plugin: static, options: {{amount: 1000}}}}
event_sinks:
  ops: {{plugin: webhook, options: {{url: "${{UNSET_TOO}}", secret_file: only-for-the-daemon}}}}
  pager: {{plugin: log}}
  desk: {{plugin: log}}
"""
"""A configuration with secrets that are not available to whoever runs the commands."""

MODE = """\
mode: {name}
share_class: USDT
reserve_ratio: 0.05
reserve_balance_sources: [wallet]
reserve_equity_source: nav
reserve_event_sinks: [{sinks}]
"""

ESCAPE = "\x1b]0;owned\x07\u202egone"
"""A text that would change the title of the terminal and the direction of writing."""
SHOWN_ESCAPE = r"\x1b]0;owned\x07\u202egone"

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Result(NamedTuple):
    """The output of a command and its exit code."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a printed table, including its headings."""
        return [re.split(r" {2,}", line.strip()) for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        """The printed JSON of a command that succeeded."""
        assert self.err == ""
        return json.loads(self.out)


Command = Callable[..., Result]


def write_config(folder: Path, store: str) -> Path:
    """Write a configuration with the modes `alpha` and `beta` and the sinks `ops`, `pager` and `desk`.

    Args:
        folder: The folder to write to.
        store: The URL of its store; empty for none.
    """
    (folder / "modes").mkdir(exist_ok=True)
    for name in ("alpha", "beta"):
        (folder / "modes" / f"{name}.yaml").write_text(MODE.format(name=name, sinks="ops, pager, desk"))
    path = folder / "reservd.yaml"
    path.write_text(MAIN.format(store=f'store: {{url: "{store}"}}' if store else ""))
    return path


class Store:
    """The store of a test, used from outside any event loop."""

    def __init__(self, url: str) -> None:
        self._url = url

    def do(self, work: Callable[[Database], Coroutine[Any, Any, Any]]) -> Any:
        """Run a function on the store and return its result."""

        async def done() -> Any:
            database = Database(parse_url(self._url, Path()))
            try:
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(done())

    def fill(self) -> None:
        """Add four events of `alpha`, of which the second is a reminder, and one of `beta`."""
        self.do(_fill)

    def redelivery_requests(self) -> list[Redelivery]:
        """Return the requests for redelivery."""

        async def load(database: Database) -> list[Redelivery]:
            async with database.read() as connection:
                return await load_redeliveries(connection, 100)

        found: list[Redelivery] = self.do(load)
        return found

    def silences(self, since: datetime = _NOON) -> list[Silence]:
        """Return the silences that end after a time."""

        async def load(database: Database) -> list[Silence]:
            async with database.read() as connection:
                return await load_silences(connection, since)

        found: list[Silence] = self.do(load)
        return found

    def silence(self, mode: str = "alpha", **fields: Any) -> None:
        """Silence a mode for an hour from now; `fields` replace the defaults."""
        now = datetime.now(UTC)
        whole = {
            "id": mode,
            "begins_at": now,
            "ends_at": now + timedelta(hours=1),
            "reason": "r",
            "made_by": "somebody",
        }

        async def add(database: Database) -> None:
            async with database.write() as connection:
                await add_silence(connection, Silence(mode=mode, **(whole | fields)))

        self.do(add)


def _event(event_id: str, kind: EventType, mode: str, sequence: int, **changes: object) -> ReserveEvent:
    moment = _NOON + timedelta(minutes=sequence)
    fields = {"id": event_id, "strategy_mode": mode, "sequence": sequence, "timestamp": moment, **changes}
    return example_event(kind).data.model_copy(update=fields)


def _explanation() -> Explanation:
    """Return the explanation of a check that found `alpha` low, a minute after noon."""
    moment = _NOON + timedelta(minutes=1)
    policy = make_policy(mode="alpha", ratio=Decimal("0.05"))
    snapshot = make_snapshot(policy, "40000.25", equity=1_000_000)
    amount = Decimal("40000.25")
    hot = AccountPart("wallet/main", "USDT", amount, ZERO, amount, None, _NOON, 19_000_001, "", Decimal(5), "in orders")
    gone = AccountPart("wallet/cold", "USDT", None, problem=f"rejected: {ESCAPE}")
    price = Price("ETH", "USDT", Decimal("2500.5"), _NOON)
    parts = {"vault": Component(Decimal(1_000_000), _NOON, price)}
    return Explanation(
        snapshot._replace(timestamp=moment, accounts=(hot, gone)),
        "40,000.25 of 50,000 USDT is 0.8 of the target",
        ReserveStatus.LOW,
        moment,
        EquityInput("nav", Decimal(1_000_000), _NOON, components=parts),
        low_below=Decimal(50_000),
        critical_below=Decimal(25_000),
        version="0.1.0",
        configuration="c0ffee" * 10 + "0000",
    )


async def _fill(database: Database) -> None:
    await prepare(database)
    three = dict.fromkeys(("desk", "ops", "pager"), DeliveryState.PENDING)
    added = [
        OutboxEvent(1, _event("aaaa0001-low", EventType.LOW, "alpha", 1), three, _explanation()),
        OutboxEvent(
            2, _event("aaaa0002-low", EventType.LOW, "alpha", 2, reminder=True), {"ops": DeliveryState.PENDING}
        ),
        OutboxEvent(3, _event("bbbb0001-critical", EventType.CRITICAL, "beta", 1, reason=ESCAPE), three),
        OutboxEvent(4, _event("cccc0003-unknown", EventType.UNKNOWN, "alpha", 3), {"ops": DeliveryState.SILENCED}),
        OutboxEvent(5, _event("cccc0004-adequate", EventType.ADEQUATE, "alpha", 4), {}),
    ]
    later = _NOON + timedelta(hours=1)
    outcomes = [
        Outcome("ops", 1, DeliveryState.DELIVERED, 1, later),
        Outcome("pager", 1, DeliveryState.PENDING, 3, later, FailureReason.TIMEOUT, "no answer within 10 s"),
        Outcome("desk", 1, DeliveryState.DELIVERED, 2, later),
        Outcome("ops", 2, DeliveryState.DEAD, 1, later, FailureReason.REJECTED, "HTTP 410"),
        Outcome("ops", 3, DeliveryState.DEAD, 1, later, FailureReason.REJECTED, ESCAPE),
        Outcome("pager", 3, DeliveryState.DEAD, 9, later, FailureReason.UNREACHABLE),
    ]
    async with database.write() as connection:
        await add_events(connection, added)
        await record_outcomes(connection, outcomes)


def without_ages(shown: Iterable[str]) -> list[str]:
    """Return the output of a command with all ages as if new, since they depend on the speed of the machine."""
    return [re.sub(r"\b\d+ s\b", "0 s", cell) for cell in shown]
