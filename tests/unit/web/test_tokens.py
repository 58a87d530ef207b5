"""Tokens: how they are created, stored and found."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reservd.cli import main
from reservd.errors import ConfigError
from reservd.web.access.limiter import FailureLimiter
from reservd.web.access.principal import Principal, Role
from reservd.web.access.tokens import TokenBook, describe_token, make_token, read_tokens

_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["token", *arguments])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_printed_line_makes_the_daemon_know_the_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, line, told = run(capsys, "bot", "--role", "strategy", "--mode", "alpha", "--mode", "beta", "--days", "1")
    assert code == 0
    token = told.split()[-1]
    assert token not in line
    path = tmp_path / "tokens.yaml"
    path.write_text("tokens:\n" + line)
    found = TokenBook(path).find(token, datetime.now(UTC))
    assert found is not None
    assert (found.name, found.role, found.modes) == ("bot", Role.STRATEGY, {"alpha", "beta"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bot", "--role", "king"], "must be one of read, strategy, treasury, admin"),
        (["bot", "--role", "strategy"], "must name the modes of a strategy"),
        (["bot", "--role", "read", "--mode", "alpha"], "must name modes only for a strategy"),
        (["b t", "--role", "read"], "name: "),
    ],
)
def test_token_is_not_made_when_the_words_do_not_go_together(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    ended, line, told = run(capsys, *arguments)
    assert (ended, line) == (2, "")
    assert said in re.sub(r"[\s│]+", " ", told)


def test_token_is_nobodys_when_it_has_expired(tmp_path: Path) -> None:
    token = make_token()
    path = tmp_path / "tokens.yaml"
    path.write_text("tokens:\n" + describe_token(token, "bot", Role.READ, (), _NOW))
    book = TokenBook(path)
    assert book.find(token, _NOW - timedelta(seconds=1)) == Principal("bot", Role.READ, frozenset(), _NOW)
    assert book.find(token, _NOW) is None
    assert book.find(token + "x", _NOW - timedelta(seconds=1)) is None


def test_file_of_tokens_is_refused_with_place_and_reason_when_it_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text("tokens:\n  - {name: bot, role: king, sha256: rsv_plain}\n")
    with pytest.raises(ConfigError) as refused:
        read_tokens(path)
    assert [line.partition(": ")[0] for line in refused.value.problems] == [f"{path}:2:23", f"{path}:2:37"]
    assert "rsv_plain" not in refused.value.problems[0]


def test_address_waits_when_it_was_wrong_too_often() -> None:
    limiter = FailureLimiter()
    for _ in range(9):
        limiter.failed("a", 100.0)
    assert limiter.wait_seconds("a", 100.0) == 0
    limiter.failed("a", 110.0)
    assert limiter.wait_seconds("a", 120.0) == 40.0
    assert limiter.wait_seconds("b", 120.0) == 0
    assert limiter.wait_seconds("a", 160.0) == 0
    limiter.failed("a", 161.0)
    assert limiter.wait_seconds("a", 161.0) == 0


def test_limiter_forgets_the_oldest_when_addresses_are_many() -> None:
    limiter = FailureLimiter()
    for number in range(10_001):
        for _ in range(10):
            limiter.failed(str(number), 0.0)
    assert limiter.wait_seconds("0", 0.0) == 0
    assert limiter.wait_seconds("10000", 0.0) > 0
