import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

import pytest

from reservd.reserve.readings import Account, Balance, Equity, Price
from support.reserve import NOON


@pytest.mark.parametrize("amount", [Decimal("NaN"), Decimal("Infinity"), Decimal("1e60")])
def test_balance_is_refused_when_its_amount_cannot_be_believed(amount: object) -> None:
    with pytest.raises(ValueError, match="amount must be"):
        Balance("main", "USDT", amount, NOON)
    with pytest.raises(ValueError, match="locked must be"):
        Balance("main", "USDT", Decimal(1), NOON, locked=amount)


@pytest.mark.parametrize("amount", [None, 1, 1.5, "1"])
def test_balance_is_refused_when_its_amount_is_not_a_decimal(amount: object) -> None:
    """A missing amount in particular is not zero."""
    with pytest.raises(TypeError, match="amount must be a Decimal"):
        Balance("main", "USDT", amount, NOON)


def test_balance_is_taken_when_it_is_negative() -> None:
    assert Balance("main", "USDT", Decimal(-5), NOON).amount == -5


@pytest.mark.parametrize("amount", [Decimal("NaN"), Decimal("-Infinity"), Decimal("1e-61")])
def test_equity_is_refused_when_its_amount_cannot_be_believed(amount: object) -> None:
    with pytest.raises(ValueError, match="amount must"):
        Equity(amount, "USDT", NOON)


@pytest.mark.parametrize("name", ["complete", "net_of_withdrawals"])
@pytest.mark.parametrize("value", ["false", 0, None])
def test_equity_is_refused_when_what_is_true_or_false_is_something_else(name: str, value: object) -> None:
    """A text such as "false" would count as true, so that a part of the equity would be taken for all of it."""
    with pytest.raises(TypeError, match=f"{name} must be True or False, got "):
        Equity(Decimal(1), "USDT", NOON, **{name: value})  # type: ignore[arg-type]


def test_reading_is_refused_when_its_time_has_no_zone() -> None:
    naive = datetime(2026, 1, 5)  # noqa: DTZ001  # the subject
    with pytest.raises(ValueError, match="observed_at must have a time zone"):
        Balance("main", "USDT", Decimal(1), naive)
    with pytest.raises(ValueError, match="observed_at must have a time zone"):
        Equity(Decimal(1), "USDT", naive)


def test_reading_is_refused_when_its_time_is_a_number() -> None:
    with pytest.raises(TypeError, match="observed_at must be a datetime, got int"):
        Balance("main", "USDT", Decimal(1), 1767614400)


def test_balance_is_taken_when_the_venue_does_not_tell_what_is_locked() -> None:
    assert Balance("main", "USDT", Decimal(1), NOON, locked=None).locked is None


@pytest.mark.parametrize("note", ["two\nlines", "\x1b[2J", "long " * 41])
def test_balance_is_refused_when_its_note_is_no_short_line(note: str) -> None:
    assert Balance("main", "USDT", Decimal(1), NOON, note="withdrawals are suspended").note
    with pytest.raises(ValueError, match="note must be one line of at most 200 characters"):
        Balance("main", "USDT", Decimal(1), NOON, note=note)


def test_balance_is_refused_when_its_note_is_no_text() -> None:
    with pytest.raises(TypeError, match="note must be a text, got int"):
        Balance("main", "USDT", Decimal(1), NOON, note=7)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [Decimal(0), Decimal("-0.0"), Decimal(-1), Decimal("NaN"), Decimal("Infinity")])
def test_price_is_refused_when_it_is_not_above_zero(value: Decimal) -> None:
    with pytest.raises(ValueError, match="value must be"):
        Price("ETH", "USDT", value, NOON)


def test_price_is_refused_when_it_is_a_float_or_has_no_time() -> None:
    with pytest.raises(TypeError, match="value must be a Decimal, got float"):
        Price("ETH", "USDT", 3000.5, NOON)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="observed_at must have a time zone"):
        Price("ETH", "USDT", Decimal(3000), NOON.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"assets": "USDT"}, "assets of account 'main' must be a frozenset, got str"),
        ({"assets": ["USDT"]}, "assets of account 'main' must be a frozenset, got list"),
        ({"asset_ids": ["erc20:0x1"]}, "asset_ids of account 'main' must be a mapping, got list"),
        ({"address": 17}, "name, venue, address and stand_in of an account must be texts, got 17"),
    ],
)
def test_account_is_refused_when_a_part_is_of_another_type(given: dict[str, Any], said: str) -> None:
    """A text would count as the set of its letters, none of which would match anything."""
    with pytest.raises(TypeError, match=f"^{re.escape(said)}$"):
        Account(**{"name": "main", "venue": "bank", "address": "a", **given})


class Odd(tzinfo):
    """A time zone that does not know its offset from UTC."""

    def utcoffset(self, at: datetime | None) -> None:
        """Return None."""

    def dst(self, at: datetime | None) -> None:
        """Return None."""

    def tzname(self, at: datetime | None) -> str:
        return "odd"


def test_reading_keeps_its_times_in_utc_when_its_source_tells_local_ones() -> None:
    """Python compares two times of one zone by their local values."""
    local = timezone(timedelta(hours=2))
    told = NOON.astimezone(local)
    equity = Equity(Decimal(1), "USDT", told, priced_at=told, newest_at=told)
    kept = [
        Balance("main", "USDT", Decimal(1), told).observed_at,
        Price("ETH", "USDT", Decimal(1), told).observed_at,
        equity.observed_at,
        equity.priced_at,
        equity.newest_at,
    ]
    assert kept == [NOON] * 5
    assert {at.tzinfo for at in kept if at is not None} == {UTC}


def test_reading_is_refused_when_its_time_cannot_be_told_in_utc() -> None:
    with pytest.raises(ValueError, match="observed_at must have a time zone"):
        Balance("main", "USDT", Decimal(1), NOON.replace(tzinfo=Odd()))
    first = datetime.min.replace(tzinfo=timezone(timedelta(hours=2)))
    with pytest.raises(ValueError, match="observed_at must be of the years 1 to 9999 in UTC"):
        Equity(Decimal(1), "USDT", first)


@pytest.mark.parametrize("block", ["19000000", "0x121eac0", 1.5, Decimal(7), True])
def test_balance_is_refused_when_its_block_is_no_whole_number(block: object) -> None:
    """Texts are compared letter by letter, and cannot be compared with numbers."""
    with pytest.raises(TypeError, match="block must be an int, got"):
        Balance("main", "USDT", Decimal(1), NOON, block=block)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", [-1, 2**63])
def test_balance_is_refused_when_its_block_is_no_number_of_a_block(block: int) -> None:
    assert Balance("main", "USDT", Decimal(1), NOON, block=0).block == 0
    with pytest.raises(ValueError, match="block must be between 0 and"):
        Balance("main", "USDT", Decimal(1), NOON, block=block)
