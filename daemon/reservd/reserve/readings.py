"""What sources return: balances, equity, prices, and failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from reservd.errors import FailureReason
from reservd.reserve.amounts import ZERO, check_amount

MAX_NOTE = 200
"""The most characters of a note."""
_MAX_BLOCK = 2**63 - 1


def check_instant(value: object, name: str) -> datetime:
    """Return `value` in UTC if it is an aware datetime.

    UTC, because Python compares and adds times of one zone by its local clock, which is off by an hour when set back.

    Raises:
        TypeError: If it is not a datetime.
        ValueError: If it has no time zone, or is outside of the years of UTC.
    """
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, got {type(value).__name__}")
    if value.tzinfo is UTC:
        return value
    if value.utcoffset() is None:
        raise ValueError(f"{name} must have a time zone, got {value.isoformat()}")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name} must be of the years 1 to 9999 in UTC, got {value.isoformat()}") from None


def check_block(value: object) -> int:
    """Return `value` if it is a block number.

    Raises:
        TypeError: If it is not an integer, such as the text of one.
        ValueError: If it is below 0, or exceeds 64 bits.
    """
    if type(value) is not int:
        raise TypeError(f"block must be an int, got {type(value).__name__} {value!r:.60}")
    if not 0 <= value <= _MAX_BLOCK:
        raise ValueError(f"block must be between 0 and {_MAX_BLOCK}")
    return value


def check_note(value: object) -> str:
    """Return `value` if it is a short line.

    Raises:
        TypeError: If it is not a text.
        ValueError: If it has more than 200 characters, or more than one line.
    """
    if not isinstance(value, str):
        raise TypeError(f"note must be a text, got {type(value).__name__}")
    if len(value) > MAX_NOTE or not value.isprintable():
        raise ValueError(f"note must be one line of at most {MAX_NOTE} characters")
    return value


def _keep_in_utc(reading: object, name: str) -> None:
    given = getattr(reading, name)
    instant = check_instant(given, name)
    if instant is not given:
        object.__setattr__(reading, name, instant)


@dataclass(frozen=True, slots=True)
class Account:
    """One place that holds money, known before anything is read.

    Two accounts with the same venue and address are the same account whatever their names, and the same assets of them
    are the same money.

    Attributes:
        name: Its name in the configuration.
        venue: The chain or the exchange.
        address: The address on it, or the account's own id.
        assets: The assets to read; None when the source cannot tell in advance. It must then return everything that its
            modes count: the share class and each alias.
        asset_ids: The identities of assets at the venue, by their names in the configuration, such as `erc20:0x…` on a
            chain. An asset that is left out is known by its name.
        stand_in: What the address is derived from if it is not the account's own, such as the fingerprint of a key:
            accounts with other addresses there may be the same one. Empty if the address is the account's own.

    Raises:
        TypeError: If the assets are not a frozenset, such as a list or a single name, or the others are not text.
    """

    name: str
    venue: str
    address: str
    assets: frozenset[str] | None = None
    asset_ids: Mapping[str, str] = field(default_factory=dict, hash=False)
    stand_in: str = ""

    def __post_init__(self) -> None:
        for text in (self.name, self.venue, self.address, self.stand_in):
            if not isinstance(text, str):
                raise TypeError(f"name, venue, address and stand_in of an account must be texts, got {text!r:.80}")
        if self.assets is not None and not isinstance(self.assets, frozenset):
            raise TypeError(f"assets of account {self.name!r} must be a frozenset, got {type(self.assets).__name__}")
        if not isinstance(self.asset_ids, Mapping):
            raise TypeError(
                f"asset_ids of account {self.name!r} must be a mapping, got {type(self.asset_ids).__name__}"
            )


@dataclass(frozen=True, slots=True)
class Balance:
    """The amount of one asset in one account.

    Attributes:
        account: The account's name, as in `Account.name`.
        asset: The asset, in the configuration's spelling.
        amount: Payable right now, in whole units. Negative is debt.
        observed_at: When this was true at the venue, aware; kept in UTC, as all times here.
        locked: There but not payable now, in whole units; None when the venue does not report it.
        block: The block it was read at, where there are blocks.
        note: Why less is payable than is there, in a few words of the source's own, never the venue's.

    Raises:
        TypeError: If an amount is not a Decimal, a time not a datetime, a block not an int or a note not a text.
        ValueError: If an amount is NaN, infinite or absurdly large, a time has no zone, a block is below 0, or a note
            is not a short line.
    """

    account: str
    asset: str
    amount: Decimal
    observed_at: datetime
    locked: Decimal | None = ZERO
    block: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.note:
            check_note(self.note)
        check_amount(self.amount)
        if self.locked is not None:
            check_amount(self.locked, "locked")
        if self.block is not None:
            check_block(self.block)
        _keep_in_utc(self, "observed_at")


@dataclass(frozen=True, slots=True)
class AccountFailure:
    """One account that could not be read while the rest of its source could.

    Attributes:
        account: The account's name.
        reason: One of the closed set.
        detail: One line for people. Never contains a secret.
        asset: The asset that failed; None if the whole account did.
    """

    account: str
    reason: FailureReason
    detail: str = ""
    asset: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a balance source: balances, and a failure for each account without one.

    An account and asset that is in neither counts as failed: absent is not zero. One that is in both has failed.
    """

    balances: Sequence[Balance]
    failures: Sequence[AccountFailure] = ()


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one unit of an asset.

    Attributes:
        base: The asset, in the configuration's spelling.
        quote: The asset that the price is in.
        value: Whole units of `quote` for one whole unit of `base`, above 0.
        observed_at: When this was true, aware.

    Raises:
        TypeError: If the value is not a Decimal or the time not a datetime.
        ValueError: If the value is 0, negative, NaN, infinite or absurdly large, or the time has no zone.
    """

    base: str
    quote: str
    value: Decimal
    observed_at: datetime

    def __post_init__(self) -> None:
        if check_amount(self.value, "value") <= ZERO:
            raise ValueError(f"value must be above 0, got {self.value}")
        _keep_in_utc(self, "observed_at")


@dataclass(frozen=True, slots=True)
class Component:
    """One part of an equity, and where its amount comes from.

    Attributes:
        amount: In whole units of the equity's currency; negative is debt.
        observed_at: When the part itself was true, aware.
        price: The price of its conversion; None when it is in the equity's currency.
        priced_at: When the oldest price was true that its amount contained before, aware; None without one.
    """

    amount: Decimal
    observed_at: datetime
    price: Price | None = None
    priced_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Equity:
    """The total equity of a mode, or of a share class.

    Attributes:
        amount: In whole units of `currency`.
        currency: The share-class currency that it is in.
        observed_at: When the oldest of its amounts was true, aware. Prices do not count: they have a maximum age of
            their own, which whoever converts with them must keep.
        complete: False when parts are missing. Incomplete equity is unknown, never a lower bound.
        net_of_withdrawals: True when accepted unpaid withdrawals are already subtracted.
        components: Its parts: name to amount, or to a `Component` if more is known. They explain it to people, and one
            that is suddenly 0 needs a second reading.
        priced_at: When the oldest price in it was true, aware; None without prices.
        newest_at: When the newest of its amounts was true, aware; None when all are of `observed_at`. An amount from
            the future must not become believable by being added to older ones.

    Raises:
        TypeError: If the amount is not a Decimal, a time not a datetime, or a flag not a bool.
        ValueError: If the amount is NaN, infinite or absurdly large, or a time has no zone.
    """

    amount: Decimal
    currency: str
    observed_at: datetime
    complete: bool = True
    net_of_withdrawals: bool = False
    components: Mapping[str, Decimal | Component] = field(default_factory=dict)
    priced_at: datetime | None = None
    newest_at: datetime | None = None

    def __post_init__(self) -> None:
        check_amount(self.amount)
        for name in ("complete", "net_of_withdrawals"):
            if not isinstance(getattr(self, name), bool):
                # A text such as "false" would count as true.
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r:.80}")
        _keep_in_utc(self, "observed_at")
        if self.priced_at is not None:
            _keep_in_utc(self, "priced_at")
        if self.newest_at is not None:
            _keep_in_utc(self, "newest_at")
