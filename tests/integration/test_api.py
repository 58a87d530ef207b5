"""The API of a running daemon, as its callers see it: reads, problems, pages of results, access."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reservd import __version__
from support.api import CALM, TOKENS, ApiDaemon, call, write_tokens
from support.polling import wait_until


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    with ApiDaemon(tmp_path_factory.mktemp("api"), interval=CALM) as running:
        running.bring("beta", "low")
        running.bring("beta", "critical")
        wait_until(lambda: len(running.get("/api/v1/events?mode=beta").json["items"]) == 2, "both events to be stored")
        yield running


def test_modes_tell_how_the_reserves_stand(daemon: ApiDaemon) -> None:
    alpha, beta = daemon.get("/api/v1/modes").json["items"]
    assert (alpha["mode"], alpha["status"], alpha["incident"]) == ("alpha", "adequate", None)
    assert (alpha["reserve_balance"], alpha["target_reserve"], alpha["utilization"]) == ("110", "100.0", "1.1")
    assert (beta["status"], beta["incident"]["severity"]) == ("critical", "critical")
    assert beta["shortfall"] == "51.0"
    (low,) = daemon.get("/api/v1/events?type=reserve_low").json["items"]
    assert beta["incident"]["opened_at"] == low["event"]["data"]["timestamp"]
    assert (beta["in_flight"], beta["inaction"]) == ({"requests": 0, "awaiting_approval": 0, "amount": "0"}, None)


def test_mode_tells_its_policy(daemon: ApiDaemon) -> None:
    found = daemon.get("/api/v1/modes/alpha").json
    assert found["policy"]["reserve_ratio"] == "0.1"
    assert found["policy"]["event_sinks"] == ["ops"]


def test_modes_come_page_by_page(daemon: ApiDaemon) -> None:
    first = daemon.get("/api/v1/modes?limit=1").json
    second = daemon.get(f"/api/v1/modes?limit=1&cursor={first['next_cursor']}").json
    assert [each["mode"] for page in (first, second) for each in page["items"]] == ["alpha", "beta"]
    assert second["next_cursor"] is None


def test_modes_are_filtered_by_status(daemon: ApiDaemon) -> None:
    assert [each["mode"] for each in daemon.get("/api/v1/modes?status=critical").json["items"]] == ["beta"]
    assert daemon.get("/api/v1/modes?status=unknown").json["items"] == []


def test_events_come_newest_first_page_by_page(daemon: ApiDaemon) -> None:
    types: list[str] = []
    cursor = ""
    while True:
        page = daemon.get(f"/api/v1/events?mode=beta&limit=1{cursor}").json
        types += [each["event"]["data"]["event_type"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert types == ["reserve_critical", "reserve_low"]


def test_events_are_filtered_by_type_and_found_by_id(daemon: ApiDaemon) -> None:
    [low] = daemon.get("/api/v1/events?type=reserve_low").json["items"]
    assert low["event"]["data"]["superseded"] is True
    wait_until(
        lambda: daemon.get(f"/api/v1/events/{low['event']['id']}").json["deliveries"][0]["state"] == "delivered",
        "the event to be delivered",
    )
    assert daemon.get("/api/v1/events?mode=nobody").json["items"] == []


def test_event_tells_what_its_check_was_made_of(daemon: ApiDaemon) -> None:
    [low] = daemon.get("/api/v1/events?type=reserve_low").json["items"]
    assert "explanation" not in low, "lists do not contain it"
    found = daemon.get(f"/api/v1/events/{low['event']['id']}").json["explanation"]
    data = low["event"]["data"]
    assert (found["status"], found["confirmed"], found["strategy_mode"]) == ("low", "low", "beta")
    assert (found["reserve_balance"], found["timestamp"]) == (data["reserve_balance"], data["timestamp"])
    assert sum(Decimal(account["part"]) for account in found["accounts"]) == Decimal(data["reserve_balance"])
    assert all(Decimal(account["age_seconds"]) >= 0 for account in found["accounts"])
    assert Decimal(found["equity"]["amount"]) == Decimal(data["total_equity"])
    assert len(bytes.fromhex(found["configuration"])) == 32
    assert found["version"] == __version__


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("/api/v1/modes/nobody", 404, "not-found"),
        ("/api/v1/events/nothing", 404, "not-found"),
        ("/api/v1/withdrawals/nothing", 404, "not-found"),
        ("/api/v1/replenishments/nothing", 404, "not-found"),
        ("/api/v1/nothing", 404, "blank"),
        ("/api/v1/modes?limit=0", 422, "invalid"),
        ("/api/v1/modes?limit=501", 422, "invalid"),
        ("/api/v1/modes?limit=x", 422, "invalid"),
        ("/api/v1/modes?status=fine", 422, "invalid"),
        ("/api/v1/modes?cursor=%00", 422, "invalid"),
        ("/api/v1/events?cursor=99999999999999999999", 422, "invalid"),
        ("/api/v1/events?type=reserve_gone", 422, "invalid"),
        ("/api/v1/events/" + "a" * 65, 422, "invalid"),
        ("/api/v1/modes/alpha/withdrawal-speed?amount=0", 422, "invalid"),
        ("/api/v1/modes/alpha/withdrawal-speed?amount=NaN", 422, "invalid"),
        ("/api/v1/modes/alpha/withdrawal-speed?amount=1e99", 422, "invalid"),
        ("/api/v1/modes/nobody/withdrawal-speed", 404, "not-found"),
        ("/api/v1/modes/alpha/replenishments?cursor=yesterday", 422, "invalid"),
    ],
)
def test_error_is_a_problem_when_a_request_does_not_hold(
    daemon: ApiDaemon, path: str, status: int, problem: str
) -> None:
    reply = daemon.get(path)
    assert (reply.status, reply.problem) == (status, problem)
    assert reply.json["detail"]


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/api/v1/modes/alpha/withdrawals", "GET, POST"),
        ("/api/v1/modes/alpha/replenishments", "GET, POST"),
        ("/api/v1/withdrawals/x/settle", "POST"),
        ("/metrics", "GET, HEAD"),
        ("/-/reload", "POST"),
    ],
)
def test_method_that_is_not_there_is_answered_with_those_that_are(daemon: ApiDaemon, path: str, allow: str) -> None:
    reply = call(daemon.address, "DELETE", path)
    assert (reply.status, reply.headers["allow"]) == (405, allow)


def test_method_that_is_not_there_is_a_problem(daemon: ApiDaemon) -> None:
    reply = daemon.post("/api/v1/modes")
    assert (reply.status, reply.problem, reply.headers["allow"]) == (405, "blank", "GET")


def test_withdrawal_speed_follows_the_amount(daemon: ApiDaemon) -> None:
    """With 110 and a floor of 50, 60 can be paid at once; a critical mode pays slowly."""

    def quote(amount: str) -> Any:
        """Ask until the reserve is known: on a busy machine a check may find nothing in time, or the store be late."""
        found: list[Any] = []

        def is_known() -> bool:
            found.append(daemon.get(f"/api/v1/modes/alpha/withdrawal-speed?amount={amount}").json)
            return bool(found[-1]["status"] != "unknown")

        wait_until(is_known, "the reserve to be known")
        return found[-1]

    assert quote("60")["speed"] == "fast"
    medium = quote("70.5")
    assert (medium["speed"], medium["from_reserve"], medium["unwound"]) == ("medium", "60.00", "10.50")
    assert daemon.get("/api/v1/modes/beta/withdrawal-speed?amount=1").json["speed"] == "slow"


def test_openapi_document_is_there_without_pages_that_load_from_elsewhere(daemon: ApiDaemon) -> None:
    document = daemon.get("/api/v1/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert "Problem" in document["components"]["schemas"]
    assert daemon.get("/docs").status == 404
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), (method, path)
            if method == "post":
                assert {"401", "403", "503"} <= set(operation["responses"]), path
                assert operation["security"], path


def test_token_is_refused_when_it_is_nobodys(daemon: ApiDaemon) -> None:
    """Even where no token is needed."""
    for token in ("rsv_nobody", "x" * 5000, "\xe9\xe9", "reader"):
        reply = daemon.get("/api/v1/modes", token=token)
        if token == "reader":
            assert reply.status == 200
            continue
        assert (reply.status, reply.problem) == (401, "unauthorized")
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert token not in daemon.process.log()


def test_reads_need_a_token_when_they_are_not_open(tmp_path: Path) -> None:
    with ApiDaemon(tmp_path, open_reads=False) as daemon:
        for path in ("/api/v1/modes", "/api/v1/events", "/api/v1/events/stream", "/"):
            assert daemon.get(path).problem == "unauthorized"
        for name in TOKENS:
            assert daemon.get("/api/v1/modes", token=name).status == 200
        # Access for Prometheus and health checks is controlled by the web config file.
        assert daemon.get("/metrics").status == 200
        assert daemon.get("/-/healthy").status == 200


def test_token_that_is_taken_out_is_refused_at_once_and_failures_are_rate_limited(tmp_path: Path) -> None:
    with ApiDaemon(tmp_path) as daemon:
        assert daemon.get("/api/v1/modes", token="admin").status == 200
        write_tokens(tmp_path / "tokens.yaml", ["treasury"])
        assert daemon.get("/api/v1/modes", token="admin").status == 401
        (tmp_path / "tokens.yaml").write_text("tokens: [broken")
        assert daemon.get("/api/v1/modes", token="treasury").status == 200
        statuses = [daemon.get("/api/v1/modes", token=f"rsv_{number}").status for number in range(12)]
        assert statuses == [401] * 9 + [429] * 3
        # Not even a correct one is checked; requests without one may go on reading.
        late = daemon.get("/api/v1/modes", token="treasury")
        assert (late.problem, int(late.headers["retry-after"]) > 0) == ("too-many-failures", True)
        assert daemon.get("/api/v1/modes").status == 200
        log = daemon.process.log()
        assert "tokens.unreadable" in log
        assert "audit.refused" in log


def test_status_page_shows_every_mode_and_needs_nothing_else(daemon: ApiDaemon) -> None:
    reply = daemon.get("/")
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "<script" not in reply.text
    assert "http://" not in reply.text
    assert reply.text.index('scope="row">beta') < reply.text.index('scope="row">alpha')  # the worst first
    assert "critical" in reply.text
    assert '<meta http-equiv="refresh"' in reply.text


def test_status_page_never_shows_less_than_what_lacks(daemon: ApiDaemon) -> None:
    daemon.world.amounts["beta"] = "48.9999999999"
    try:
        wait_until(lambda: "48.999999 USDT" in daemon.get("/").text, "the balance, rounded down")
        assert "51.000001 USDT" in daemon.get("/").text
    finally:
        daemon.bring("beta", "critical")
