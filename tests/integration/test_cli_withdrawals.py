"""`reservd withdrawals`, on a real store on SQLite and on PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reservd.reserve.holds import Hold, cancel, mark_paying, settle
from reservd.store.database import Database
from reservd.store.holds import save_holds
from reservd.store.orders import Order, OrderSubject, answer_order, load_waiting_orders
from reservd.wire.withdrawals import WithdrawalView
from support.commands import ESCAPE, SHOWN_ESCAPE, Command, Store
from support.holds import make_hold

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)


def hold_of(position: int, name: str, *amounts: object, at: datetime = NOW, mode: str = "alpha") -> Hold:
    return replace(make_hold(position, *amounts, mode=mode, at=at, key=f"payout-{position}"), id=name)


def keep(store: Store, *holds: Hold) -> None:
    async def save(database: Database) -> None:
        async with database.write() as connection:
            await save_holds(connection, holds)

    store.do(save)


def waiting(store: Store) -> list[Order]:
    async def load(database: Database) -> list[Order]:
        async with database.read() as connection:
            return await load_waiting_orders(connection, OrderSubject.WITHDRAWAL, 100)

    found: list[Order] = store.do(load)
    return found


def answer(store: Store, order: Order, refusal: str | None) -> None:
    async def write(database: Database) -> None:
        async with database.write() as connection:
            await answer_order(connection, order.id, NOW, refusal)

    store.do(write)


@pytest.fixture
def kept(store: Store) -> None:
    keep(
        store,
        hold_of(1, "aaaa0001-one", "12.5"),
        mark_paying(hold_of(2, "aaaa0002-two", 20, 30)),
        settle(hold_of(3, "bbbb0003-three", 7, at=NOW - HOUR), NOW, block=9),
        cancel(hold_of(4, "bbbb0004-four", 1), NOW),
        hold_of(5, "cccc0005-five", 4, at=NOW - 40 * 24 * HOUR, mode="beta"),
    )


def test_withdrawals_are_listed_newest_first(command: Command, kept: None) -> None:
    rows = command("withdrawals", "list").rows
    amounts = ["Amount", "Held", "Awaited"]
    assert rows[0] == ["Time", "Mode", "State", "Speed", *amounts, "Queue", "Expected", "Currency", "ID"]
    assert [row[1:] for row in rows[1:]] == [
        ["beta", "held, overdue", "fast", "4.00", "4.00", "0.00", "USDT", "cccc0005"],
        ["alpha", "cancelled", "fast", "1.00", "0.00", "0.00", "USDT", "bbbb0004"],
        ["alpha", "settled", "fast", "7.00", "0.00", "0.00", "USDT", "bbbb0003"],
        ["alpha", "paying", "medium", "50.00", "20.00", "30.00", "1", "not known", "USDT", "aaaa0002"],
        ["alpha", "held", "fast", "12.50", "12.50", "0.00", "USDT", "aaaa0001"],
    ]


def test_who_waits_is_listed_with_its_place_and_when_its_money_is_expected(command: Command, store: Store) -> None:
    """In the queue of the accounts, whichever modes are paid from them; paid withdrawals are not in the queue."""
    keep(
        store,
        settle(hold_of(1, "gone", 1, 5), NOW, block=9),
        replace(hold_of(2, "first", 0, 30), expected_at=NOW),
        hold_of(3, "fast", 10),
        replace(hold_of(4, "second", 2, 8), arrived=Decimal(3)),
        replace(hold_of(5, "third", 0, 1, mode="beta"), group="alpha"),
        replace(hold_of(6, "alone", 0, 4, mode="gamma"), expected_at=NOW),
    )
    listed = {each["id"]: (each["place"], each["ahead"]) for each in command("withdrawals", "list", "--json").json}
    assert listed == {
        "gone": (None, None),
        "first": (1, "0"),
        "fast": (None, None),
        "second": (2, "30"),
        "third": (3, "35"),
        "alone": (1, "0"),
    }
    rows = command("withdrawals", "list", "--mode", "alpha", "--limit", 3).rows
    moment = f"{NOW:%Y-%m-%d %H:%M:%S}Z"
    assert [row[7:] for row in rows[1:]] == [
        ["2", "not known", "USDT", "second"],
        ["USDT", "fast"],
        ["1", moment, "USDT", "first"],
    ]
    shown = command("withdrawals", "show", "second").out
    assert "queue:        2, 30 USDT ahead" in shown
    assert "expected:     not known" in shown


def test_list_is_cut_and_says_so(command: Command, kept: None) -> None:
    listed = command("withdrawals", "list", "--open", "--mode", "alpha", "--json").json
    assert [(each["id"], each["key"], each["from_reserve"]) for each in listed] == [
        ("aaaa0002-two", "payout-2", "20"),
        ("aaaa0001-one", "payout-1", "12.5"),
    ]
    cut = command("withdrawals", "list", "--limit", 1)
    assert (len(cut.rows), cut.err) == (2, "there are more than 1: see --limit\n")


@pytest.mark.parametrize("options", [[], ["--open", "--mode", "alpha", "--json"], ["--limit", 1]])
def test_withdrawals_are_listed_when_no_command_is_named(command: Command, kept: None, options: list[object]) -> None:
    listed = command("withdrawals", *options)
    assert (listed.code, len(listed.out) > 0) == (0, True)
    assert listed == command("withdrawals", "list", *options)


def test_list_is_empty_when_nothing_was_accepted(command: Command, store: Store) -> None:
    assert command("withdrawals", "list").out == "no withdrawals\n"
    assert command("withdrawals", "list", "--json").json == []


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "aaaa0002",
            ["state:        paying", "unwound:      30 USDT, of which 0 has arrived", "key:          payout-2"],
        ),
        ("bbbb0003", ["state:        settled", "block:        9", "from reserve: 7 USDT"]),
        ("cccc", ["state:        held, overdue", "amount:       4 USDT"]),
    ],
)
def test_withdrawal_is_shown(command: Command, kept: None, name: str, lines: list[str]) -> None:
    shown = command("withdrawals", "show", name).out
    assert [line for line in lines if line not in shown] == []


def test_withdrawal_is_told_in_json_as_the_api_tells_it(command: Command, kept: None) -> None:
    """With its key and the pending orders of operators."""
    told = command("withdrawals", "show", "aaaa0002", "--json").json
    view = WithdrawalView.model_validate(told)
    assert (view.id, view.unwound, view.place) == ("aaaa0002-two", 30, 1)
    assert told == view.model_dump(mode="json") | {"key": "payout-2", "orders": []}


@pytest.mark.parametrize(
    ("arguments", "action", "details"),
    [
        (["paying", "aaaa0001"], "paying", (None, None)),
        (["settle", "aaaa0001", "--block", "17"], "settle", (17, None)),
        (["settle", "aaaa", "--paid-at", NOW.isoformat()], "settle", (None, NOW)),
        (["cancel", "aaaa0001"], "cancel", (None, None)),
    ],
)
def test_order_is_left_for_the_daemon(
    command: Command,
    store: Store,
    arguments: list[str],
    action: str,
    details: tuple[int | None, datetime | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(store, hold_of(1, "aaaa0001-one"))
    monkeypatch.setenv("SUDO_USER", "alice")
    result = command("withdrawals", *arguments, "--reason", f" paid out{ESCAPE}", "--wait", 0)
    said = f"asked the daemon: {action} withdrawal aaaa0001-one of alpha; see reservd withdrawals show aaaa0001\n"
    assert (result.code, result.out, result.err) == (0, said, "")
    (order,) = waiting(store)
    assert (order.subject, order.action, order.target) == ("withdrawal", action, "aaaa0001-one")
    assert (order.asked_by, order.reason) == ("alice", f"paid out{ESCAPE}")
    assert (order.block, order.paid_at) == details
    shown = command("withdrawals", "show", "aaaa0001").out
    assert f"paid out{SHOWN_ESCAPE}" in shown
    assert "waiting for the daemon" in shown


def test_order_stays_when_no_daemon_sees_to_it(command: Command, store: Store) -> None:
    keep(store, hold_of(1, "aaaa0001-one"))
    result = command("withdrawals", "cancel", "aaaa0001", "--wait", 0.2)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "reservd: no daemon answered within 0.2 s: the request is stored, and the next daemon that owns "
        "the store will carry it out\n"
    )
    assert [order.action for order in waiting(store)] == ["cancel"]


def test_refusal_is_shown_with_the_withdrawal(command: Command, store: Store) -> None:
    keep(store, hold_of(1, "aaaa0001-one", "12.5"))
    for _ in range(2):
        command("withdrawals", "settle", "aaaa0001", "--block", 5, "--wait", 0)
    done, refused = waiting(store)
    answer(store, done, None)
    answer(store, refused, f"several venues{ESCAPE}")
    told = command("withdrawals", "show", "aaaa0001", "--json").json
    assert (told["id"], told["amount"], told["key"]) == ("aaaa0001-one", "12.5", "payout-1")
    assert [(each["block"], each["refusal"]) for each in told["orders"]] == [
        (5, None),
        (5, f"several venues{ESCAPE}"),
    ]
    rows = command("withdrawals", "show", "aaaa0001").rows
    assert [row[-1] for row in rows[-2:]] == ["done", f"refused: several venues{SHOWN_ESCAPE}"]
    assert waiting(store) == []


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["show", "zzzz"], 1, "no withdrawal in the store has the id 'zzzz'"),
        (["show", ""], 1, "the id of a withdrawal must not be empty"),
        (["show", "aaaa"], 1, "several withdrawals have an id that begins with 'aaaa': aaaa0001-one, aaaa0002-two"),
        (["list", "--mode", "alhpa"], 1, "mode 'alhpa' is not configured and has no withdrawals; did you mean al"),
        (["--open", "list"], 2, "must stand after 'list'"),
        (["--json", "show", "aaaa0001"], 2, "must stand after 'show'"),
        (["paying", "bbbb0003"], 1, "withdrawal bbbb0003-three must not have ended, is settled"),
        (["cancel", "bbbb0003"], 1, "withdrawal bbbb0003-three must be open to be cancelled, is settled"),
        (["settle", "bbbb0004", "--block", "3"], 1, "withdrawal bbbb0004-four must be open to be settled, is cancel"),
        (["settle", "aaaa0001"], 2, "--block or --paid-at: one of the two is needed"),
        (["settle", "aaaa0001", "--block", "-1"], 2, "must be from 0 to 9223372036854775807, got -1"),
        (["settle", "aaaa0001", "--block", 2**63], 2, "got 9223372036854775808"),
        (["settle", "aaaa0001", "--paid-at", "noon"], 2, "must be a time with its zone, such as"),
        (["settle", "aaaa0001", "--paid-at", "2026-03-01T12:00:00"], 2, "must be a time with its zone, such as"),
        (["settle", "aaaa0001", "--paid-at", "2001-01-01T00:00:00Z"], 2, "paid_at must be between the decision ("),
    ],
)
def test_what_cannot_be_done_is_refused_and_not_ordered(
    command: Command, store: Store, kept: None, arguments: list[str], code: int, line: str
) -> None:
    result = command("withdrawals", *arguments)
    assert (result.code, result.out) == (code, "")
    assert line in " ".join(result.err.replace("│", " ").split())
    assert waiting(store) == []


def test_nothing_is_ordered_when_it_is_so_already(command: Command, store: Store, kept: None) -> None:
    for arguments in (["paying", "aaaa0002"], ["cancel", "bbbb0004"], ["settle", "bbbb0003", "--block", 9]):
        assert command("withdrawals", *arguments).code == 0
    assert waiting(store) == []
