"""`reservd events`: what it reads and writes in a real store on SQLite and on PostgreSQL."""

import getpass
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from reservd.errors import FailureReason
from reservd.plugin.examples import example_request
from reservd.reserve.replenishment.event import tell_change
from reservd.reserve.replenishment.states import Replenishment
from reservd.store.database import Database
from reservd.store.outbox import OutboxEvent, Outcome, add_events, record_outcomes
from reservd.store.tables import events
from reservd.wire.events import DeliveryState, EventView
from support.commands import ESCAPE, SHOWN_ESCAPE, Command, Store


def test_events_lists_the_newest_first_with_what_became_of_them(command: Command, store: Store) -> None:
    result = command("events")
    assert (result.code, result.err) == (0, "")
    assert result.rows == [
        ["Time", "Mode", "Type", "Sequence", "Reminder", "ID", "Deliveries"],
        ["2026-03-01 12:04:00Z", "alpha", "reserve_adequate", "4", "no", "cccc0004", "no sink"],
        ["2026-03-01 12:03:00Z", "alpha", "reserve_unknown", "3", "no", "cccc0003", "ops silenced"],
        [
            *["2026-03-01 12:01:00Z", "beta", "reserve_critical", "1", "no", "bbbb0001"],
            "desk pending, ops dead (1 try: rejected), pager dead (9 tries: unreachable)",
        ],
        ["2026-03-01 12:02:00Z", "alpha", "reserve_low", "2", "yes", "aaaa0002", "ops dead (1 try: rejected)"],
        [
            *["2026-03-01 12:01:00Z", "alpha", "reserve_low", "1", "no", "aaaa0001"],
            "desk delivered (2 tries), ops delivered, pager pending (3 tries: timeout)",
        ],
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--limit", 2], ["cccc0004", "cccc0003"]),
        (["--mode", "beta"], ["bbbb0001"]),
        (["--type", "reserve_low"], ["aaaa0002", "aaaa0001"]),
        (["--type", "reserve_low", "--mode", "alpha", "--limit", 1], ["aaaa0002"]),
    ],
)
def test_events_lists_those_that_were_asked_for(
    command: Command, store: Store, options: list[object], expected: list[str]
) -> None:
    assert [row[5] for row in command("events", *options).rows[1:]] == expected


def test_events_prints_json_with_messages_as_they_are_sent(command: Command, store: Store) -> None:
    """With the names of the API."""
    listed = command("events", "--json").json
    assert [EventView.model_validate(each).event.id for each in listed] == [each["event"]["id"] for each in listed]
    assert [each["event"]["id"][:8] for each in listed] == [
        *["cccc0004", "cccc0003", "bbbb0001", "aaaa0002", "aaaa0001"]
    ]
    message, deliveries = listed[-1]["event"], listed[-1]["deliveries"]
    assert (message["type"], message["subject"], message["sequence"]) == ("reservd.reserve_low.v1", "alpha", "1")
    assert (message["data"]["reserve_balance"], message["data"]["target_reserve"]) == ("40000.25", "50000")
    assert message["data"]["superseded"] is True
    assert listed[0]["event"]["data"]["superseded"] is False
    assert deliveries[2] == {
        "sink": "pager",
        "state": "pending",
        "attempts": 3,
        "tried_at": "2026-03-01T13:00:00+00:00",
        "reason": "timeout",
        "detail": "no answer within 10 s",
    }


def test_events_says_so_when_there_are_none(command: Command, store: Store) -> None:
    assert command("events", "--mode", "beta", "--type", "reserve_low").out == "no events\n"
    assert command("events", "--mode", "beta", "--type", "reserve_low", "--json").json == []


def test_what_tells_of_a_refill_is_listed_on_request_and_seen_to_as_every_dead_letter(
    command: Command, store: Store
) -> None:
    now = datetime(2026, 3, 1, 13, tzinfo=UTC)
    request = example_request("alpha")
    record = Replenishment(request=request, state="failed", changed_at=now, deadline=now, detail="no liquidity")
    event = tell_change(record, None, "eeee0001-change", 7)

    async def fail(database: Database) -> None:
        async with database.write() as connection:
            await add_events(connection, [OutboxEvent(99, event, {"ops": DeliveryState.PENDING})])
            dead = Outcome("ops", 99, DeliveryState.DEAD, 1, now, FailureReason.REJECTED, "HTTP 410")
            await record_outcomes(connection, [dead])

    store.do(fail)
    assert "replenishment_changed" not in command("events").out
    (listed,) = command("events", "--type", "replenishment_changed").rows[1:]
    assert listed[2:] == ["replenishment_changed", "7", "no", "eeee0001", "ops dead (1 try: rejected)"]
    (first, *_) = command("events", "dead-letters", "--json").json
    assert first["event"]["source"] == "/reservd/modes/alpha/replenishments"
    assert first["event"]["data"]["state"] == "failed"
    shown = command("events", "show", "eeee").out
    assert "failed: no liquidity" in shown
    assert request.id in shown
    said = "event eeee0001-change (replenishment_changed of alpha, sequence 7) goes to ops again\n"
    assert command("events", "redeliver", "eeee").out == said
    assert [(request.position, request.sink) for request in store.redelivery_requests()] == [(99, "ops")]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--mode", "alhpa"], 1, "mode 'alhpa' is not configured and has no events; did you mean alpha?"),
        (["--type", "reserve_lwo"], 2, "must be one of reserve_low, reserve_critical, "),
        (["--limit", "0"], 2, "--limit"),
        (["--limit", "5", "dead-letters"], 2, "must stand after 'dead-letters'"),
        (["--json", "show", "aaaa0001"], 2, "must stand after 'show'"),
        (["show", "dddd"], 1, "reservd: no event in the store has the id 'dddd'"),
        (["show", ""], 1, "must not be empty"),
        (["show", "aaaa"], 1, "several events have an id that begins with 'aaaa': aaaa0001-low, aaaa0002-low\n"),
        (["show", ESCAPE], 1, f"has the id '{SHOWN_ESCAPE}'"),
        (["dead-letters", "--sink", "pagre"], 1, "event sink 'pagre' is not configured; did you mean pager?"),
        (["redeliver", "dddd"], 1, "no event in the store has the id 'dddd'"),
        (["redeliver", "aaaa"], 1, "several events have an id that begins with 'aaaa'"),
        (["redeliver", "aaaa0001", "--sink", "pagre"], 1, "did you mean pager?"),
        (
            ["redeliver", "aaaa0002", "--sink", "pager"],
            1,
            "was not for the sink 'pager'; it was for: ops",
        ),
        (["redeliver", "cccc0004", "--sink", "ops"], 1, "it was for: none"),
    ],
)
def test_events_refuses_in_one_line_and_writes_nothing(
    command: Command, store: Store, arguments: list[str], code: int, line: str
) -> None:
    result = command("events", *arguments)
    assert (result.code, result.out) == (code, "")
    assert line in result.err
    assert len(result.err.splitlines()) == (1 if code == 1 else 4), "one line, preceded by the usage if that is wrong"
    assert (store.redelivery_requests(), store.silences()) == ([], [])


def test_event_is_shown_whole(command: Command, store: Store) -> None:
    result = command("events", "show", "aaaa0001")
    assert (result.code, result.err) == (0, "")
    rows = result.rows
    assert rows[:9] == [
        ["Event", "aaaa0001-low"],
        ["Type", "reserve_low"],
        ["Mode", "alpha"],
        ["Sequence", "1"],
        ["Incident", "inc-1"],
        ["Decided", "2026-03-01 12:01:00Z"],
        ["Reminder", "no"],
        ["Superseded", "yes: a later change is known"],
        ["Reason", "an example"],
    ]
    assert rows[10:14] == [
        ["Sink", "State", "Tries", "Last try", "Last failure"],
        ["desk", "delivered", "2", "2026-03-01 13:00:00Z"],
        ["ops", "delivered", "1", "2026-03-01 13:00:00Z"],
        ["pager", "pending", "3", "2026-03-01 13:00:00Z", "timeout: no answer within 10 s"],
    ]
    message = json.loads(result.out[result.out.index("{") :])
    assert message == command("events", "show", "aaaa0001-low", "--json").json["event"]
    assert message["data"]["shortfall"] == "9999.75"


def test_event_is_shown_with_the_check_that_led_to_it(command: Command, store: Store) -> None:
    result = command("events", "show", "aaaa0001")
    lines = result.out.splitlines()
    begin = lines.index("The check that led to it:")
    assert lines[begin + 1 : begin + 5] == [
        "alpha: low",
        "  why       40,000.25 of 50,000 USDT is 0.8 of the target",
        "  equity    1,000,000.00 USDT from nav, 60 s old",
        "  target    50,000.00 USDT, 0.05 of the equity; low below 50,000.00, critical below 25,000.00",
    ]
    shown = [row for row in result.rows if row[0].startswith(("wallet/", "vault", "made by"))]
    assert shown == [
        ["wallet/main", "USDT", "40,000.25", "5.00", "-", "40,000.25", "not shared", "60 s", "19000001", "in orders"],
        ["wallet/cold", "USDT", "?", "-", "-", "?", "not shared", "-", "-", f"rejected: {SHOWN_ESCAPE}"],
        ["vault", "1,000,000.00", "60 s", "2500.5 USDT/ETH", "60 s"],
        ["made by reservd 0.1.0, configuration " + "c0ffee" * 10 + "0000"],
    ]
    assert "The check that led to it" not in command("events", "show", "bbbb0001").out, "it was not kept"


def test_event_is_shown_with_its_check_in_json(command: Command, store: Store) -> None:
    found = command("events", "show", "aaaa0001", "--json").json["explanation"]
    assert (found["status"], found["confirmed"], found["configuration"]) == ("low", "low", "c0ffee" * 10 + "0000")
    assert found["accounts"][0] == {
        "account": "wallet/main",
        "asset": "USDT",
        "amount": "40000.25",
        "locked": "5",
        "note": "in orders",
        "held": "0",
        "part": "40000.25",
        "method": None,
        "observed_at": "2026-03-01T12:00:00Z",
        "age_seconds": "60.000",
        "block": 19_000_001,
        "problem": "",
    }
    assert found["equity"]["components"]["vault"]["price"] == {
        "base": "ETH",
        "quote": "USDT",
        "value": "2500.5",
        "observed_at": "2026-03-01T12:00:00Z",
        "age_seconds": "60.000",
    }
    assert command("events", "show", "bbbb0001", "--json").json["explanation"] is None


def test_event_is_shown_when_no_sink_was_to_hear_of_it(command: Command, store: Store) -> None:
    assert "It was not for any sink." in command("events", "show", "cccc0004").out


def test_dead_letters_are_listed_with_why(command: Command, store: Store) -> None:
    rows = command("events", "dead-letters").rows
    assert rows[0] == ["Time", "Mode", "Type", "Sequence", "Sink", "Tries", "ID", "Last failure"]
    shown = [(row[4], row[6], row[7]) for row in rows[1:]]
    assert shown == [
        ("ops", "bbbb0001", f"rejected: {SHOWN_ESCAPE}"),
        ("pager", "bbbb0001", "unreachable"),
        ("ops", "aaaa0002", "rejected: HTTP 410"),
    ]
    assert [row[4] for row in command("events", "dead-letters", "--sink", "pager").rows[1:]] == ["pager"]
    (letter,) = command("events", "dead-letters", "--sink", "pager", "--json").json
    assert letter["event"]["id"] == "bbbb0001-critical"
    assert letter["event"]["data"]["total_equity"] == "1000000"
    assert [(each["sink"], each["state"]) for each in letter["deliveries"]] == [("pager", "dead")]
    assert command("events", "dead-letters", "--sink", "desk").out == "no dead letters\n"


def test_event_that_cannot_be_read_hides_no_other(command: Command, store: Store) -> None:
    """It is damaged, or from another version."""

    async def damage(database: Database) -> None:
        async with database.write() as connection:
            await connection.execute(update(events).where(events.c.id == "aaaa0002-low").values(event="{}"))

    store.do(damage)
    assert [row[5] for row in command("events").rows[1:]] == ["cccc0004", "cccc0003", "bbbb0001", "aaaa0001"]
    assert ["-", "alpha", "unreadable", "-", "ops", "1", "aaaa0002", "rejected: HTTP 410"] in command(
        "events", "dead-letters"
    ).rows
    letters = command("events", "dead-letters", "--json").json
    assert [each["event"]["id"][:4] for each in letters] == ["bbbb", "bbbb", "aaaa"]
    assert letters[-1]["event"] == {"id": "aaaa0002-low", "subject": "alpha"}
    assert letters[-1]["unreadable"] is True
    assert letters[-1]["deliveries"][0]["detail"] == "HTTP 410"
    assert "unreadable" not in letters[0]
    for action in ("show", "redeliver"):
        result = command("events", action, "aaaa0002")
        assert (result.code, result.out) == (1, "")
        assert "this version of reservd cannot read the event aaaa0002-low" in result.err


def test_dead_letters_say_that_there_are_more_when_there_are(command: Command, store: Store) -> None:
    result = command("events", "dead-letters", "--limit", "2")
    assert len(result.rows) == 3
    assert result.err == "there are more than 2: see --limit\n"
    assert command("events", "dead-letters", "--limit", "3").err == ""


@pytest.mark.parametrize("arguments", [["events"], ["events", "show", "bbbb"], ["events", "dead-letters"]])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_terminal_is_safe_from_what_others_wrote(
    command: Command, store: Store, arguments: list[str], options: list[str]
) -> None:
    result = command(*arguments, *options)
    assert result.code == 0
    assert [character for character in result.out if character != "\n" and not character.isprintable()] == []


def test_redeliver_asks_for_the_sinks_where_an_event_is_dead(command: Command, store: Store) -> None:
    result = command("events", "redeliver", "bbbb")
    assert (result.code, result.err) == (0, "")
    assert result.out == "event bbbb0001-critical (reserve_critical of beta, sequence 1) goes to ops, pager again\n"
    requests = store.redelivery_requests()
    assert {(request.position, request.sink) for request in requests} == {(3, "ops"), (3, "pager")}
    assert {request.asked_by for request in requests} == {getpass.getuser()}
    assert all(abs(datetime.now(UTC) - request.asked_at) < timedelta(hours=1) for request in requests)


@pytest.mark.parametrize("sink", ["ops", "pager"])
def test_redeliver_asks_for_the_sinks_that_are_named_whatever_became_of_it_there(
    command: Command, store: Store, sink: str
) -> None:
    assert command("events", "redeliver", "aaaa0001", "--sink", sink, "--sink", sink).code == 0
    assert [(request.position, request.sink) for request in store.redelivery_requests()] == [(1, sink)]


def test_redeliver_says_so_when_nothing_is_to_be_done(command: Command, store: Store) -> None:
    nothing = command("events", "redeliver", "aaaa0001")
    assert (nothing.code, nothing.err) == (0, "")
    assert nothing.out == (
        "nothing to do: no sink has event aaaa0001 as a dead letter: "
        "desk delivered (2 tries), ops delivered, pager pending (3 tries: timeout)\n"
    )
    stale = command("events", "redeliver", "aaaa0002")
    assert stale.out == "nothing to do: event aaaa0002 is a reminder that is out of date: it is not sent\n"
    assert store.redelivery_requests() == []


def test_redeliver_asks_once_when_it_is_asked_twice(command: Command, store: Store) -> None:
    command("events", "redeliver", "bbbb", "--sink", "ops")
    again = command("events", "redeliver", "bbbb")
    assert again.out.splitlines() == [
        "event bbbb0001-critical (reserve_critical of beta, sequence 1) goes to pager again",
        "nothing to do: event bbbb0001 goes to ops already",
    ]
    assert sorted(request.sink for request in store.redelivery_requests()) == ["ops", "pager"]


def test_redeliver_does_nothing_while_the_mode_is_silenced(command: Command, store: Store) -> None:
    store.silence(mode="beta")
    result = command("events", "redeliver", "bbbb")
    assert result.out.startswith("nothing to do: a silence is on for beta until ")
    assert store.redelivery_requests() == []


def test_redeliver_leaves_out_a_sink_that_is_not_configured_any_more(
    command: Command, store: Store, store_config: Path
) -> None:
    store_config.write_text(store_config.read_text().replace("  pager: {plugin: log}\n", ""))
    result = command("events", "redeliver", "bbbb")
    assert result.out.splitlines()[1] == "nothing to do: event sink pager is not configured any more"
    assert [request.sink for request in store.redelivery_requests()] == ["ops"]
