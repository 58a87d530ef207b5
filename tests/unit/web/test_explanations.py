"""The explanation of a check is complete, also if next to nothing was known."""

from decimal import Decimal

from pydantic import TypeAdapter

from reservd.reserve.explanation import EquityInput, Explanation
from reservd.reserve.models import AccountPart, AllocationMethod, ReserveStatus
from reservd.store.encoding import encode
from reservd.web.api.explanations import show_explanation
from support.reserve import NOON, NOT_READ, make_policy, make_snapshot


def test_all_that_can_be_unknown_is_null() -> None:
    part = AccountPart("bank/spot", "USDT", None, None, None, AllocationMethod.PRO_RATA, problem="timeout")
    snapshot = make_snapshot(make_policy(), equity=None, missing=[NOT_READ])._replace(accounts=(part,))
    bare = Explanation(snapshot, "not certain", ReserveStatus.UNKNOWN, None, EquityInput("nav", problem="timeout"))
    kept = TypeAdapter(Explanation).validate_json(encode(bare))
    assert kept == bare
    shown = show_explanation(kept).model_dump(mode="json")
    (account,) = shown["accounts"]
    told = {key for key, value in account.items() if value is not None}
    assert told == {"account", "asset", "method", "problem", "note"}
    assert (shown["equity"]["amount"], shown["equity"]["problem"], shown["reserve_balance"]) == (None, "timeout", None)
    assert (shown["low_below"], shown["target_reserve"], shown["good_at"]) == (None, None, None)
    assert shown["missing"] == ["bank/spot: timeout", "nav: timeout"]


def test_amounts_are_plain_whatever_their_exponent() -> None:
    policy = make_policy()
    part = AccountPart(
        "bank/spot", "USDT", Decimal("1E+3"), part=Decimal("1E-8"), observed_at=NOON, locked=Decimal("0E-9")
    )
    snapshot = make_snapshot(policy, 1000)._replace(accounts=(part,))
    equity = EquityInput("nav", Decimal("1E+4"), NOON, components={"cash": Decimal("1E+4")})
    explained = Explanation(snapshot, "as it is", ReserveStatus.ADEQUATE, NOON, equity)
    shown = show_explanation(TypeAdapter(Explanation).validate_json(encode(explained))).model_dump(mode="json")
    (account,) = shown["accounts"]
    assert (account["amount"], account["part"], account["locked"]) == ("1000", "0.00000001", "0.000000000")
    assert shown["equity"]["components"]["cash"]["amount"] == "10000"
