"""`reservd status` and `withdrawals quote` ask a running daemon."""

import asyncio
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.api import CALM, ApiDaemon, write_api_config
from support.commands import Command, Result
from support.daemon import ReservdProcess
from support.polling import wait_until
from support.ports import kept_port
from support.terminal import LEAVES_SCREEN, Terminal
from support.tls import TlsListener, make_certificate
from support.world import World

STANDS = re.compile(r"beta +critical +━+╸?─+ +49\.0% +49 +100 +USDT .* critical \d+ (s|min) +\d+ s")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    """A daemon that watches `alpha`, of which 5 are held, and `beta`, which is critical."""
    with ApiDaemon(tmp_path_factory.mktemp("status"), refilled=["beta"], interval=CALM) as running:
        running.bring("beta", "low")
        running.bring("beta", "critical")
        running.hold("alpha", "5", "held")
        # What is held is told at once, and the balance from the next check that finds one.
        wait_until(lambda: running.get("/api/v1/modes/alpha").json["reserve_balance"] == "105", "the hold to be shown")
        yield running


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    """A daemon that answers nothing without a token."""
    with ApiDaemon(tmp_path_factory.mktemp("closed"), open_reads=False) as running:
        yield running


@pytest.fixture(autouse=True)
def no_access_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RESERVD_URL", "RESERVD_TOKEN", "RESERVD_TOKEN_FILE", "RESERVD_CA_FILE"):
        monkeypatch.delenv(name, raising=False)


def url(daemon: ApiDaemon) -> str:
    return f"http://{daemon.address}"


# status


def test_status_shows_the_worst_first_with_all_that_is_known(command: Command, daemon: ApiDaemon) -> None:
    results: list[Result] = []

    def all_is_read() -> bool:
        """Otherwise lines at the end say what the last check did not find in time, on a busy machine."""
        results.append(command("status", "--url", url(daemon)))
        assert (results[-1].code, results[-1].err) == (0, "")
        return len(results[-1].out.splitlines()) == 3

    wait_until(all_is_read, "a check that finds everything")
    heading, beta, alpha = results[-1].out.splitlines()
    columns = ["Mode", "Status", "Coverage", "Balance", "Target", "Runway", "Held", "Refill", "Incident", "Age"]
    assert heading.split() == columns
    assert STANDS.match(beta), beta
    assert re.search(r"USDT +- +- +(none: \w|\d)", beta), "what is in flight, or why nothing is"
    assert re.match(r"alpha +adequate +━{10} 105\.\d% +105 +99\.5 +USDT +- +5 +-", alpha), alpha


def test_status_tells_programs_what_the_api_does(command: Command, daemon: ApiDaemon) -> None:
    (alpha,) = command("status", "alpha", "alpha", "--json", "--url", url(daemon)).json
    assert (alpha["mode"], alpha["reserve_balance"], alpha["held"]) == ("alpha", "105", "5")
    assert alpha.keys() == daemon.get("/api/v1/modes/alpha").json.keys() - {"policy"}


def test_daemon_is_found_where_the_configuration_makes_it_listen(command: Command, tmp_path: Path) -> None:
    with kept_port() as port:
        (tmp_path / "reservd.yaml").write_text(f"modes: none.yaml\nweb: {{listen_address: '0.0.0.0:{port}'}}\n")
        result = command("status")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"reservd: 127.0.0.1:{port} does not answer: unreachable: connection refused; give its address by --url "
        "(https:// with TLS) and its CA certificate by --ca-file\n"
    )


def test_daemon_that_is_gone_is_passed_over_when_another_is_named(command: Command, daemon: ApiDaemon) -> None:
    with kept_port() as gone:
        assert command("status", "--url", f"http://127.0.0.1:{gone}", "--url", url(daemon)).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["status", "betta"], 1, "mode 'betta' is not configured; did you mean beta?"),
        (["status", "--watch"], 2, "needs a terminal; for programs there is --json"),
        (["status", "--watch", "--json"], 2, "goes without --json"),
        (["withdrawals", "quote", "betta", "5"], 1, "mode 'betta' is not configured; did you mean beta?"),
        (["withdrawals", "quote", "alpha", "0"], 2, "must be above 0, got 0"),
        (["withdrawals", "quote", "alpha", "a lot"], 2, "amount must be a number, got 'a lot'"),
        (["withdrawals", "quote", "alpha", "1e61"], 2, "amount must be below 1e60"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(
    command: Command, daemon: ApiDaemon, arguments: list[str], code: int, line: str
) -> None:
    result = command(*arguments, "--url", url(daemon))
    assert (result.code, result.out) == (code, "")
    assert line in result.err.splitlines()[-1]


@pytest.mark.parametrize("words", [["status"], ["withdrawals", "quote", "alpha", "5"]], ids=" ".join)
def test_token_is_asked_for_and_taken_from_file_or_environment(
    command: Command, closed: ApiDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    ask = [*words, "--url", url(closed)]
    needs = f"reservd: {closed.address} needs a token: give it by --token-file, $RESERVD_TOKEN_FILE or $RESERVD_TOKEN\n"
    assert command(*ask) == (1, "", needs)
    token = tmp_path / "token"
    token.write_text("rsv_reader\n")
    assert command(*ask, "--token-file", token).code == 0
    monkeypatch.setenv("RESERVD_TOKEN", "rsv_reader")
    assert command(*ask).code == 0
    monkeypatch.setenv("RESERVD_TOKEN", "rsv_wrong")
    refused = command(*ask)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith(f"reservd: {closed.address} refuses the token: ")
    assert "rsv_wrong" not in refused.err
    missing = command(*ask, "--token-file", tmp_path / "nowhere")
    assert missing.err == f"token_file: {tmp_path}/nowhere: No such file or directory\n"


async def test_status_comes_over_tls_from_a_daemon_whose_certificate_is_believed(
    command: Command, daemon: ApiDaemon, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path)
    async with TlsListener(0, int(daemon.address.rpartition(":")[2]), certificate) as listener:
        place = f"https://127.0.0.1:{listener.port}"
        result = await asyncio.to_thread(
            command, "status", "--url", place, "--ca-file", certificate.certificate, "--json"
        )
        assert [each["mode"] for each in result.json] == ["alpha", "beta"]
        doubted = await asyncio.to_thread(command, "status", "--url", place)
    assert (doubted.code, doubted.out) == (1, "")
    assert doubted.err.startswith(f"reservd: {place.removeprefix('https://')} does not answer: unreachable: ")


# status --watch


def test_watch_shows_news_and_silence_and_gives_the_screen_back(tmp_path: Path) -> None:
    with ApiDaemon(tmp_path) as daemon:
        options = ["--url", url(daemon), "--every", 0.2]
        with Terminal("status", "--watch", *options, columns=140) as terminal:
            terminal.wait_for("2 adequate")
            daemon.world.set("beta", "low")
            seen = terminal.wait_for("1 low")
            daemon.process.stop()
            seen = terminal.wait_for("no answer: unreachable: connection refused. As of ", seen)
            terminal.wait_for("alpha", seen)
            assert terminal.interrupt() == 0
            after = terminal.text.partition(LEAVES_SCREEN)[2]
    assert "beta" in after, "the last output stays"
    assert "\x1b[?25h" in terminal.text, "the cursor is visible again"
    assert "Traceback" not in terminal.text


def test_watch_waits_for_a_daemon_that_does_not_answer_yet(tmp_path: Path) -> None:
    with (
        World("alpha", "beta") as world,
        kept_port() as port,
        Terminal("status", "--watch", "--url", f"http://127.0.0.1:{port}", "--every", 0.2) as terminal,
    ):
        terminal.wait_for(f"127.0.0.1:{port} does not answer: unreachable")
        with ReservdProcess(write_api_config(world, tmp_path), listens=f"127.0.0.1:{port}"):
            terminal.wait_for("2 adequate")
        assert terminal.end(signal.SIGTERM) == 0
        assert LEAVES_SCREEN in terminal.text


def test_watch_ends_when_the_daemon_will_not(closed: ApiDaemon) -> None:
    with Terminal("status", "--watch", "--url", url(closed)) as terminal:
        terminal.wait_for("needs a token")
        assert terminal.ended() == 1
        assert "Traceback" not in terminal.text


# withdrawals quote


def test_quote_tells_how_a_withdrawal_would_be_paid(command: Command, daemon: ApiDaemon) -> None:

    def quote(*arguments: object) -> Result:
        """Ask until the store is up: while it is late, on a busy machine, nothing is accepted."""
        found: list[Result] = []

        def told() -> bool:
            found[:] = [command("withdrawals", "quote", *arguments, "--url", url(daemon))]
            return "unknown" not in found[0].out

        wait_until(told, "the store to be up")
        return found[0]

    fast = quote("alpha", "7.50")
    assert (fast.code, fast.err) == (0, "")
    assert "speed:        fast\namount:       7.5 USDT\nfrom reserve: 7.5 USDT\nexpected:" in fast.out
    part = quote("alpha", "100").out
    assert "speed:        medium" in part
    assert re.search(r"^to unwind: +[\d.]+ USDT$", part, re.MULTILINE)
    assert "expected:     not known" in part
    told = quote("beta", "1", "--json").json
    assert (told["speed"], told["from_reserve"], told["unwound"], told["status"]) == ("slow", "0", "1", "critical")
    held = daemon.get("/api/v1/modes/alpha").json["held"]
    assert held == "5", "a quote holds nothing"
