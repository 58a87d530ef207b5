"""`reservd replenishments`, on a real store on SQLite and on PostgreSQL."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reservd.plugin.examples import example_request
from reservd.reserve.replenishment.event import ReplenishmentChange, tell_change
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from reservd.store.database import Database
from reservd.store.orders import Order, OrderSubject, load_waiting_orders
from reservd.store.replenishments import save_changes
from reservd.store.schema import prepare
from reservd.wire.replenishments import ReplenishmentDetail
from support.commands import ESCAPE, SHOWN_ESCAPE, Command, Store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def keep(store: Store, *records: Replenishment) -> None:
    async def save(database: Database) -> None:
        await prepare(database)
        changes = [
            ReplenishmentChange(record, tell_change(record, None, f"e{number}", number))
            for number, record in enumerate(records, 1)
        ]
        async with database.write() as connection:
            await save_changes(connection, changes)

    store.do(save)


def orders(store: Store) -> list[Order]:
    async def load(database: Database) -> list[Order]:
        async with database.read() as connection:
            return await load_waiting_orders(connection, OrderSubject.REPLENISHMENT, 100)

    found: list[Order] = store.do(load)
    return found


def record_of(replenishment_id: str, minutes: int = 0, **changes: Any) -> Replenishment:
    at = NOON + timedelta(minutes=minutes)
    request = example_request("alpha", request_id=replenishment_id).model_copy(update={"requested_at": at})
    return Replenishment(**{"request": request, "changed_at": at, "deadline": at + timedelta(hours=1), **changes})


@pytest.fixture
def kept(store: Store) -> None:
    keep(
        store,
        record_of("aaaa0001-one", needs_approval=True),
        record_of(
            "aaaa0002-two", 1, state=ReplenishmentState.ACCEPTED, heard=True, arrived=Decimal("7.500000000000000000")
        ),
        record_of("bbbb0003-three", 2, state=ReplenishmentState.EXPIRED, detail=ESCAPE),
    )


def test_requests_are_listed_newest_first(command: Command, kept: None) -> None:
    rows = command("replenishments", "list").rows
    assert rows[0] == ["Time", "Mode", "State", "Urgency", "Amount", "Arrived", "ID", "Why"]
    assert [(row[2], row[5], row[6], row[7]) for row in rows[1:]] == [
        ("expired", "0", "bbbb0003", SHOWN_ESCAPE),
        ("accepted", "7.5", "aaaa0002", "an example"),
        ("requested, unapproved", "0", "aaaa0001", "an example"),
    ]
    listed = command("replenishments", "list", "--open", "--limit", "1", "--json").json
    assert [(each["id"], each["request"]["id"]) for each in listed] == [("aaaa0002-two", "aaaa0002-two")]
    assert command("replenishments", "list", "--mode", "beta").out == "no replenishments\n"


@pytest.mark.parametrize("options", [[], ["--open", "--json"]])
def test_requests_are_listed_when_no_command_is_named(command: Command, kept: None, options: list[object]) -> None:
    listed = command("replenishments", *options)
    assert (listed.code, len(listed.out) > 0) == (0, True)
    assert listed == command("replenishments", "list", *options)


def test_options_of_the_list_are_refused_before_a_command(command: Command, store: Store) -> None:
    result = command("replenishments", "--mode", "alpha", "approve", "aaaa0001")
    assert (result.code, result.out) == (2, "")
    assert "must stand after 'approve'" in result.err


def test_amounts_are_shown_without_the_zeros_of_their_token(command: Command, kept: None) -> None:
    """A node reports 18 decimals; nobody can read `35000.000000000000000000` at a glance."""
    shown = command("replenishments", "show", "aaaa0002").out
    assert "arrived:     7.5 USDT\n" in shown


def test_request_is_shown_with_its_changes(command: Command, kept: None) -> None:
    shown = command("replenishments", "show", "bbbb").out
    assert "state:       expired" in shown
    assert SHOWN_ESCAPE in shown


def test_request_is_told_in_json_as_the_api_tells_it(command: Command, kept: None) -> None:
    """With the pending orders of operators."""
    told = command("replenishments", "show", "bbbb", "--json").json
    view = ReplenishmentDetail.model_validate(told)
    assert view.changes is not None
    assert [(each.state, each.detail) for each in view.changes] == [("expired", ESCAPE)]
    assert told == view.model_dump(mode="json") | {"orders": []}


@pytest.mark.parametrize("action", ["approve", "reject", "cancel"])
def test_order_is_left_for_the_daemon(
    command: Command, store: Store, kept: None, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    result = command("replenishments", action, "aaaa0001", "--reason", "looked at it", "--wait", 0)
    assert (result.code, result.out.split(":")[0]) == (0, f"asked the daemon to {action} aaaa0001-one")
    (order,) = orders(store)
    assert (order.action, order.target, order.reason, order.asked_by) == (
        action,
        "aaaa0001-one",
        "looked at it",
        "alice",
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["show", "zzzz"], "no replenishment in the store has the id 'zzzz'"),
        (["show", ""], "the id of a replenishment must not be empty"),
        (["show", "aaaa"], "several replenishments have an id that begins with 'aaaa': aaaa0001-one, aaaa0002-two"),
        (["approve", "aaaa0002"], "replenishment aaaa0002-two does not wait for approval: it cannot be approved"),
        (["approve", "bbbb"], "replenishment bbbb0003-three is expired: it cannot be approved"),
        (["reject", "aaaa0002"], "replenishment aaaa0002-two is accepted: it cannot become rejected"),
        (["cancel", "bbbb"], "replenishment bbbb0003-three is expired: it cannot become cancelled"),
        (["request", "alhpa", "5"], "mode 'alhpa' is not configured; did you mean alpha?"),
        (["request", "alpha", "5"], "mode 'alpha' has no reserve_replenisher to ask"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    command: Command, store: Store, kept: None, arguments: list[str], line: str
) -> None:
    result = command("replenishments", *arguments)
    assert (result.code, result.out) == (1, "")
    assert line in result.err
    assert orders(store) == []


@pytest.mark.parametrize(("action", "target"), [("approve", "cccc"), ("cancel", "dddd"), ("reject", "eeee")])
def test_what_was_done_before_may_be_ordered_again_as_by_the_api(
    command: Command, store: Store, action: str, target: str
) -> None:
    """An operator who got no answer may repeat an order."""
    keep(
        store,
        record_of("cccc0004-four", needs_approval=True, approved_by="ann"),
        record_of("dddd0005-five", state=ReplenishmentState.CANCELLED),
        record_of("eeee0006-six", state=ReplenishmentState.REJECTED),
    )
    assert command("replenishments", action, target, "--wait", 0).code == 0
    assert [order.action for order in orders(store)] == [action]


@pytest.mark.parametrize("amount", ["0", "much", "nan"])
def test_amount_is_refused_when_it_is_none(command: Command, store: Store, amount: str) -> None:
    assert command("replenishments", "request", "alpha", amount).code == 2


def test_refill_is_asked_for_by_hand(command: Command, store: Store, kept: None, store_config: Path) -> None:
    with (store_config.parent / "modes" / "alpha.yaml").open("a") as file:
        file.write("reserve_replenisher: unwinder\n")
    with store_config.open("a") as file:
        file.write("replenishers:\n  unwinder: {plugin: paper, options: {treasury: t}}\n")
    result = command("replenishments", "request", "alpha", "12.5", "--wait", 0)
    assert (result.code, result.err) == (0, "")
    (order,) = orders(store)
    assert (order.action, order.target, order.amount) == ("request", "alpha", Decimal("12.5"))
