"""Withdrawals and replenishments over the API: keys, roles, races, and what must not be done."""

import itertools
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from support.api import CALM, ApiDaemon, Reply, call, write_api_config
from support.nursery import Nursery
from support.polling import wait_until
from support.scrape import page
from support.world import World

ALPHA = "/api/v1/modes/alpha/withdrawals"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    with ApiDaemon(tmp_path_factory.mktemp("api"), refilled=["alpha"], interval=CALM) as running:
        wait_until(
            lambda: running.get("/api/v1/modes/alpha/withdrawal-speed").json["speed"] == "fast", "the first snapshot"
        )
        yield running


def ask(daemon: ApiDaemon, amount: str, key: str) -> Reply:
    return daemon.post(ALPHA, {"amount": amount}, token="treasury", key=key)


def ask_once(daemon: ApiDaemon, amount: str, key: str) -> Reply:
    return daemon.post_once(ALPHA, {"amount": amount}, token="treasury", key=key)


def test_withdrawal_is_decided_once_under_a_key_and_goes_its_way(daemon: ApiDaemon) -> None:
    key, first = daemon.hold("alpha", "5.50", "story")
    assert (first.status, first.json["speed"], first.json["state"]) == (201, "fast", "held")
    assert first.json["from_reserve"] == "5.50"
    again = ask(daemon, "5.5", key)
    assert (again.status, again.json["id"]) == (200, first.json["id"])
    other = ask(daemon, "6", key)
    assert (other.status, other.problem) == (422, "idempotency-key-reused")
    place = f"/api/v1/withdrawals/{first.json['id']}"
    wait_until(lambda: daemon.get("/api/v1/modes/alpha").json["held"] == "5.50", "the hold to be shown")
    assert daemon.post(f"{place}/paying", token="alpha-bot").json["state"] == "paying"
    for told in ({}, {"block": True}, {"block": "5"}, {"paid_at": "2026-03-01T12:00:00"}):
        assert daemon.post(f"{place}/settle", told, token="alpha-bot").problem == "invalid"
    paid = {"paid_at": datetime.now(UTC).isoformat()}
    assert daemon.post(f"{place}/settle", paid, token="alpha-bot").json["state"] == "settled"
    assert daemon.post(f"{place}/cancel", token="alpha-bot").problem == "conflict"
    assert daemon.get(place).json["state"] == "settled"
    assert [each["id"] for each in daemon.get(f"{ALPHA}?state=settled").json["items"]] == [first.json["id"]]


def test_who_waits_for_money_is_told_its_place_and_when_the_money_is_expected(daemon: ApiDaemon) -> None:
    # More than there is, each: how much of it is paid from the reserve depends on the last check.
    made = [ask(daemon, amount, f"queue-{amount}").json for amount in ("200", "130", "120")]
    first, second = (Decimal(each["unwound"]) for each in made[:2])
    assert [each["place"] for each in made] == [1, 2, 3]
    assert [Decimal(each["ahead"]) for each in made] == [0, first, first + second]
    daemon.post(f"/api/v1/withdrawals/{made[0]['id']}/cancel", token="treasury")
    assert daemon.get(f"/api/v1/withdrawals/{made[0]['id']}").json["place"] is None
    next_one = daemon.get(f"/api/v1/withdrawals/{made[1]['id']}").json
    assert (next_one["place"], next_one["ahead"]) == (1, "0")
    assert next_one["expected_at"] is not None
    listed = daemon.get(f"{ALPHA}?state=held&limit=2").json["items"]
    assert [each["place"] for each in listed] == [2, 1]
    for each in made[1:]:
        daemon.post(f"/api/v1/withdrawals/{each['id']}/cancel", token="treasury")


def test_withdrawals_come_page_by_page(daemon: ApiDaemon) -> None:
    made = [ask(daemon, "0.01", f"page-{number}").json["id"] for number in range(3)]
    first = daemon.get(f"{ALPHA}?limit=2").json
    assert [each["id"] for each in first["items"]] == [made[2], made[1]]
    second = daemon.get(f"{ALPHA}?limit=1&cursor={first['next_cursor']}").json
    assert second["items"][0]["id"] == made[0]
    for each in made:
        daemon.post(f"/api/v1/withdrawals/{each}/cancel", token="treasury")


def test_many_callers_are_never_promised_more_than_there_is(daemon: ApiDaemon) -> None:
    """Some send the same key at the same time, which is one withdrawal."""
    bursts = itertools.count()

    def promise() -> Decimal:
        burst = next(bursts)

        def ask_for(number: int) -> Reply:
            return ask(daemon, "7", f"race-{burst}-{number % 20}")

        with ThreadPoolExecutor(16) as threads:
            replies = list(threads.map(ask_for, range(40)))
        assert {reply.status for reply in replies} <= {200, 201}
        assert sum(reply.status == 201 for reply in replies) == 20
        by_id = {reply.json["id"]: reply.json for reply in replies}
        assert len(by_id) == 20
        promised = sum(Decimal(each["from_reserve"]) for each in by_id.values())
        # The floor is half of the target, which falls with accepted amounts: 20 times 7 leave an equity of 860.
        assert promised <= 110 - Decimal("0.5") * 86
        for each in by_id:
            assert daemon.post(f"/api/v1/withdrawals/{each}/cancel", token="admin").status == 200
        return promised

    # On a busy machine a check may find nothing in time, and what is accepted then is unwound.
    wait_until(lambda: promise() >= 60, "as much to be promised as there is")


@pytest.mark.parametrize(
    ("token", "status"), [(None, 401), ("reader", 403), ("garbled", 401), ("alpha-bot", 201), ("admin", 201)]
)
def test_withdrawal_needs_a_role_that_may(daemon: ApiDaemon, token: str | None, status: int) -> None:
    reply = daemon.post(ALPHA, {"amount": "0.01"}, token=token, key=f"role-{str(token)[:3]}-{status}")
    assert reply.status == status, reply.text
    if status == 201:
        daemon.post(f"/api/v1/withdrawals/{reply.json['id']}/cancel", token=token)


def test_strategy_acts_for_its_own_modes_only(daemon: ApiDaemon) -> None:
    made = daemon.post("/api/v1/modes/beta/withdrawals", {"amount": "0.01"}, token="treasury", key="b").json
    refused = daemon.post("/api/v1/modes/beta/withdrawals", {"amount": "0.01"}, token="alpha-bot", key="c")
    assert (refused.status, refused.problem) == (403, "forbidden")
    for verb in ("paying", "cancel"):
        assert daemon.post(f"/api/v1/withdrawals/{made['id']}/{verb}", token="alpha-bot").status == 403
    assert daemon.get(f"/api/v1/withdrawals/{made['id']}").json["state"] == "held"
    daemon.post(f"/api/v1/withdrawals/{made['id']}/cancel", token="treasury")


@pytest.mark.parametrize(
    ("body", "key", "status"),
    [
        ({"amount": "1"}, None, 422),
        ({"amount": "1"}, "a b", 422),
        ({"amount": "1"}, "k" * 201, 422),
        ({"amount": 1.5}, "k", 422),
        ({"amount": "0"}, "k", 422),
        ({"amount": "-1"}, "k", 422),
        ({"amount": "Infinity"}, "k", 422),
        ({"amount": "1e61"}, "k", 422),
        ({"amount": "1e3"}, "k", 422),
        ({"amount": "1_000"}, "k", 422),
        ({"amount": " 5"}, "k", 422),
        ({"amount": "\u0665"}, "k", 422),
        ({"amount": "1", "mode": "beta"}, "k", 422),
        ({}, "k", 422),
        (b'{"amount": "1", "amount": "0.01"}', "k", 422),
        (b'{"amount": "0.01", "\\u0061mount": "0.01"}', "k", 422),
        (b"{", "k", 422),
        (b"[" * 60_000, "k", 422),
        (b'{"amount": "1", "\\ud800": 1}', "k", 422),
        (b'{"amount": "1"}' + b" " * 70_000, "k", 413),
        (b"\xff", "k", 422),
    ],
)
def test_withdrawal_is_refused_when_it_does_not_hold(
    daemon: ApiDaemon, body: object, key: str | None, status: int
) -> None:
    reply = daemon.post(ALPHA, body, token="treasury", key=key)
    assert reply.status == status, reply.text
    assert reply.problem


@pytest.mark.parametrize(
    ("body", "headers", "told"),
    [
        (
            {"amount": "1"},
            {"Content-Type": "text/plain"},
            "body: must be a JSON object, sent with Content-Type: application/json",
        ),
        ([], {}, "body: must be a JSON object, sent with Content-Type: application/json"),
        ({"amount": "0"}, {}, "body.amount: must be above 0"),
    ],
)
def test_caller_learns_what_to_change_when_a_body_cannot_be_used(
    daemon: ApiDaemon, body: object, headers: dict[str, str], told: str
) -> None:
    reply = daemon.post(ALPHA, body, token="treasury", key="k", headers=headers)
    assert (reply.status, reply.json["detail"]) == (422, told)


def test_every_write_is_in_the_audit_log_without_tokens(daemon: ApiDaemon) -> None:
    ask(daemon, "0.01", "audited")
    daemon.post(ALPHA, {"amount": "1"}, key="nobodys")

    def written() -> list[str]:
        return [line for line in daemon.process.log().splitlines() if "audit.written" in line]

    wait_until(lambda: any("nobodys" in line for line in written()), "the audit line")
    done = next(line for line in written() if '"key": "audited"' in line)
    assert '"who": "treasury"' in done
    assert '"outcome": "done"' in done
    assert '"outcome": "refused"' in next(line for line in written() if "nobodys" in line)
    assert "rsv_" not in daemon.process.log()


def test_replenishment_is_not_asked_for_when_the_mode_has_no_replenisher(daemon: ApiDaemon) -> None:
    reply = daemon.post("/api/v1/modes/beta/replenishments", {"amount": "5"}, token="treasury", key="r")
    assert (reply.status, reply.problem, reply.json["reason"]) == (409, "not-requested", "no_replenisher")


def test_replenishment_goes_its_way_as_the_strategy_reports(tmp_path: Path) -> None:
    with ApiDaemon(tmp_path, refilled=["alpha"]) as daemon:
        _tell_a_refill(daemon)


def _tell_a_refill(daemon: ApiDaemon) -> None:
    place = "/api/v1/modes/alpha/replenishments"
    made = daemon.post(place, {"amount": "5"}, token="alpha-bot", key="refill")
    assert made.status == 201, made.text
    request_id = made.json["id"]
    assert made.json["request"]["id"] == request_id
    again = daemon.post(place, {"amount": "5"}, token="alpha-bot", key="refill")
    assert again.json["id"] == request_id
    assert daemon.post(place, {"amount": "6"}, token="alpha-bot", key="refill").problem == "idempotency-key-reused"
    one = f"/api/v1/replenishments/{request_id}"
    in_flight = {"requests": 1, "awaiting_approval": 0, "amount": "5"}
    wait_until(lambda: daemon.get("/api/v1/modes/alpha").json["in_flight"] == in_flight, "the request in flight")
    report = {"reference": "tx 1", "reason": "unwinding"}
    assert daemon.post(f"{one}/progress", report, token="alpha-bot").json["state"] == "in_progress"
    assert daemon.post(f"{one}/approve", token="alpha-bot").problem == "forbidden"
    assert daemon.post(f"{one}/cancel", token="reader").problem == "forbidden"
    cancelled = daemon.post(f"{one}/cancel", {"reason": "enough"}, token="treasury")
    assert (cancelled.json["state"], cancelled.json["by"]) == ("cancelled", "treasury")
    assert daemon.post(f"{one}/settle", token="alpha-bot").problem == "conflict"
    whole = daemon.get(one).json
    assert whole["state"] == "cancelled"
    told = [(each["state"], each["by"], each["detail"]) for each in whole["changes"]]
    assert told[0] == ("requested", "alpha-bot", "")
    assert told[-2:] == [("in_progress", "alpha-bot", "unwinding"), ("cancelled", "treasury", "enough")]
    assert whole["changes"][-1]["at"] == whole["changed_at"]
    wait_until(lambda: daemon.get("/api/v1/modes/alpha").json["inaction"] == "adequate", "the next check to report it")
    assert daemon.get("/api/v1/modes/alpha").json["in_flight"]["requests"] == 0
    assert request_id in [each["id"] for each in daemon.get(f"{place}?limit=5").json["items"]]


def test_strategy_cannot_get_round_the_approval(tmp_path: Path) -> None:
    """A strategy cannot report on an unapproved request; it can only be approved, rejected or cancelled."""
    more = {"reserve_refill_approval_above": 1, "reserve_max_jump": 1000}
    with ApiDaemon(tmp_path, refilled=["alpha"], refill=more) as daemon:
        place = "/api/v1/modes/alpha/replenishments"
        wait_until(lambda: daemon.get("/api/v1/modes/alpha").json["status"] == "adequate", "the first snapshot")
        daemon.world.amounts["alpha"] = "20"
        wait_until(lambda: daemon.get(place).json["items"], "the request that waits for approval")
        (held_back,) = daemon.get(place).json["items"]
        one = f"/api/v1/replenishments/{held_back['request']['id']}"
        for verb in ("accept", "progress", "settle", "fail"):
            refused = daemon.post(f"{one}/{verb}", {"reason": "done"}, token="alpha-bot")
            assert (refused.status, refused.problem) == (409, "conflict"), verb
        assert daemon.get(one).json["state"] == "requested"
        assert daemon.post(f"{one}/approve", token="treasury").json["approved_by"] == "treasury"
        accepted = daemon.post(f"{one}/accept", token="alpha-bot")
        assert accepted.json["state"] == "accepted"


def test_writes_are_refused_when_the_daemon_stands_by(tmp_path: Path) -> None:
    with World("alpha", "beta") as world, Nursery(tmp_path / "log") as nursery:
        config = write_api_config(world, tmp_path, f"sqlite:///{tmp_path}/store.db")
        nursery.start(config)
        owner = nursery.address(1)
        wait_until(lambda: "owns the store" in page(owner, "/-/ready")[1], "the owner to be ready")
        nursery.start(config)
        standby = nursery.address(2)
        wait_until(lambda: "stands by" in page(standby, "/-/ready")[1], "the other daemon to stand by")
        for path in (ALPHA, "/api/v1/modes/alpha/replenishments"):
            reply = call(standby, "POST", path, {"amount": "1"}, token="treasury", key="k")
            assert (reply.status, reply.problem) == (503, "standby")
        assert call(standby, "GET", "/api/v1/events").status == 200
        assert "stands by" in call(standby, "GET", "/").text


def test_nothing_is_promised_when_the_store_is_gone(tmp_path: Path) -> None:
    """Another program locks the store: requests are refused meanwhile, and accepted afterwards."""
    store = tmp_path / "store.db"
    with ApiDaemon(tmp_path, f"sqlite:///{store}") as daemon:
        held = ask(daemon, "1", "before").json["id"]
        with closing(sqlite3.connect(store, isolation_level=None)) as other:
            wait_until(lambda: is_locked_by(other), "the store to be locked")
            wait_until(lambda: ask_once(daemon, "1", "after").status == 503, "the store to be down")
            reply = ask_once(daemon, "1", "after")
            assert reply.problem == "store-gone"
            assert reply.headers["retry-after"]
            assert str(store) not in reply.text
            refused = daemon.post_once(f"/api/v1/withdrawals/{held}/cancel", token="treasury")
            assert refused.problem == "store-gone"
            assert daemon.get("/api/v1/modes/alpha").status == 200
            other.execute("ROLLBACK")
        assert ask(daemon, "1", "after").status in {200, 201}


def test_refill_is_not_said_to_be_asked_for_when_the_store_is_gone_and_is_made_once_when_it_is_back(
    tmp_path: Path,
) -> None:
    """The first caller finds out that the store does not answer: what is only in memory may be lost."""
    store, path = tmp_path / "store.db", "/api/v1/modes/alpha/replenishments"
    with ApiDaemon(tmp_path, f"sqlite:///{store}", refilled=["alpha"]) as daemon:

        def request() -> Reply:
            return daemon.post_once(path, {"amount": "5"}, token="treasury", key="once")

        assert ask(daemon, "1", "before").status in {200, 201}
        with closing(sqlite3.connect(store, isolation_level=None)) as other:
            wait_until(lambda: is_locked_by(other), "the store to be locked")
            for _ in range(2):
                refused = request()
                assert (refused.status, refused.problem) == (503, "store-gone")
                assert refused.headers["retry-after"]
            other.execute("ROLLBACK")
        wait_until(lambda: request().status == 201, "the same key to be accepted")
        assert len(daemon.get(path).json["items"]) == 1


def is_locked_by(connection: sqlite3.Connection) -> bool:
    """Try to take the lock that every writer needs."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True
