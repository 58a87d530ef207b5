"""Who is admitted, also with many concurrent attempts, and for how long."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
import pytest

from reservd.web.access.control import AccessControl
from reservd.web.access.principal import Role
from reservd.web.access.tokens import TokenBook, describe_token, make_token
from reservd.web.access.users import UserBook

HASHED = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"ann:{password}".encode()).decode()


@pytest.fixture
def control() -> AccessControl:
    return AccessControl(users=UserBook({"ann": HASHED}))


async def test_guesses_that_come_at_once_are_counted_as_those_that_come_in_turn(control: AccessControl) -> None:
    """After ten wrong attempts a correct one is refused as well, but attempts from other addresses are not."""
    guesses = [*(f"wrong {number}" for number in range(30)), "right"]
    verdicts = await asyncio.gather(*(control.look(basic(guess), "10.0.0.1") for guess in guesses))
    assert [verdict.wait_seconds > 0 for verdict in verdicts] == [False] * 10 + [True] * 21
    assert not any(verdict.principal for verdict in verdicts)
    assert (await control.look(basic("right"), "10.0.0.2")).principal is not None


async def test_callers_that_are_right_are_let_in_however_many_come_at_once(control: AccessControl) -> None:
    verdicts = await asyncio.gather(*(control.look(basic("right"), "10.0.0.1") for _ in range(30)))
    assert {verdict.principal.name for verdict in verdicts if verdict.principal} == {"ann"}
    assert all(verdict.principal for verdict in verdicts)


async def test_caller_is_admitted_no_longer_when_its_token_is_taken_away_or_has_expired(tmp_path: Path) -> None:
    """A caller without a token remains admitted: where one is required, it was never admitted."""
    token, path = make_token(), tmp_path / "tokens.yaml"

    def keep(owner: str, expires: datetime | None) -> str:
        path.write_text("tokens:\n" + describe_token(token, owner, Role.READ, (), expires) + "\n")
        return f"Bearer {token}"

    header = keep("ann", datetime.now(UTC) + timedelta(days=1))
    control = AccessControl(TokenBook(path))
    assert await control.still_admits(header)
    keep("left", datetime.now(UTC) - timedelta(seconds=2))
    assert not await control.still_admits(header)
    keep("again", None)
    assert await control.still_admits(header)
    path.write_text("tokens: []\n")
    assert not await control.still_admits(header)
    assert await control.still_admits(None)
