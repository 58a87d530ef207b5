"""What must not raise an alarm: a false alarm unwinds positions at a loss.

Each mode needs 100 USDT, a tenth of its equity of 1,000, and is checked every 30 seconds.
"""

from datetime import timedelta
from decimal import Decimal

import pytest

from reservd.reserve.models import ReserveStatus
from reservd.reserve.policy import Missing
from support.reserve import DEBT_NOT_READ, NOT_READ, Watched

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus


@pytest.fixture
def mode() -> Watched:
    """A mode with 150 USDT that is adequate."""
    mode = Watched()
    mode.look(150)
    return mode


def test_nothing_is_said_when_the_wallet_reads_zero_once_and_is_back_at_the_next_look(mode: Watched) -> None:
    mode.look(0)
    assert mode.step.recheck
    mode.look(150, after=1)
    assert (mode.said, mode.status) == ([], ADEQUATE)


def test_nothing_is_said_when_the_wallet_reads_zero_every_second_time(mode: Watched) -> None:
    for _ in range(20):
        mode.look(0)
        mode.look(150)
    assert (mode.said, mode.status) == ([], ADEQUATE)


def test_nothing_is_said_when_the_equity_is_ten_times_too_large_once(mode: Watched) -> None:
    """A price with a misplaced decimal point would make any reserve critical."""
    mode.look(150, equity=10_000)
    mode.look(150, after=1)
    assert (mode.said, mode.status) == ([], ADEQUATE)


@pytest.mark.parametrize("amount", [80, 20])
def test_an_incident_stays_open_when_the_equity_endpoint_answers_zero_once(amount: int) -> None:
    """An equity of 0 gives a target of 0, which any reserve meets: the recovery would be false."""
    mode = Watched()
    mode.look(amount)
    mode.look(amount, equity=0)
    mode.look(amount, after=1)
    assert len(mode.said) == 1
    assert mode.state.incident_id == mode.events[0].incident_id


def _parts(**parts: int) -> dict[str, object]:
    """Return an equity with its parts."""
    amounts = {name: Decimal(amount) for name, amount in parts.items()}
    return {"equity": sum(amounts.values()), "components": amounts}


def test_an_incident_stays_open_when_a_part_of_the_equity_reads_zero_once() -> None:
    """A target of 70 would be met."""
    mode = Watched()
    mode.look(75, **_parts(vault=300, perpetual=700))
    mode.look(75, **_parts(vault=0, perpetual=700))
    assert mode.step is not None
    assert mode.step.recheck
    mode.look(75, after=1, **_parts(vault=300, perpetual=700))
    assert (mode.said, mode.status) == (["low"], LOW)
    mode.look(75, **_parts(vault=0, perpetual=700))
    mode.look(75, after=1, **_parts(vault=0, perpetual=700))
    assert mode.said == ["low", "adequate"]


def test_no_low_is_said_when_a_debt_in_the_equity_reads_zero_once() -> None:
    mode = Watched()
    mode.look(105, **_parts(vault=1200, loan=-200))
    mode.look(105, **_parts(vault=1200, loan=0))
    mode.look(105, after=1, **_parts(vault=1200, loan=-200))
    assert (mode.said, mode.status) == ([], ADEQUATE)


def test_nothing_is_awaited_when_a_part_of_the_equity_is_not_listed_any_more() -> None:
    """Positions of which each has a name of its own come and go."""
    mode = Watched()
    mode.look(105, **_parts(bond_1=100, cash=900))
    for number in range(2, 10):
        mode.look(105, **_parts(**{f"bond_{number}": 100}, cash=900))
        assert mode.state.doubted is None
    mode.look(105, equity=1040, components={"bond_1": "much", 5: Decimal(0), "cash": Decimal(0)})
    assert mode.state.doubted is not None
    mode.look(105, equity=1040, components="none")
    assert (mode.said, mode.state.doubted) == ([], None)


def test_a_part_of_the_equity_that_reads_zero_is_doubted_after_a_restart() -> None:
    mode = Watched()
    mode.look(75, **_parts(vault=300, perpetual=700))
    mode.restart()
    mode.look(75, **_parts(vault=0, perpetual=700))
    mode.look(75, **_parts(vault=300, perpetual=700))
    assert mode.said == ["low"]


def test_a_part_of_the_equity_that_reads_zero_is_awaited_by_the_same_observation() -> None:
    """Read again at once, the source tells of the same moment: that is no second look."""
    mode = Watched()
    mode.look(75, **_parts(vault=300, perpetual=700))
    mode.look(75, **_parts(vault=0, perpetual=700))
    mode.look(75, after=1, equity_age=1, **_parts(vault=0, perpetual=700))
    assert mode.said == ["low"]


def test_an_incident_stays_open_when_a_wrong_part_is_repeated_while_an_older_one_moves_on() -> None:
    """The equity is as old as its oldest part, so that as a whole it seems to be newer each time."""
    mode = Watched()
    mode.look_at_parts(75, vault=(300, 5), perpetual=(700, 30))
    mode.look_at_parts(75, vault=(0, 5), perpetual=(700, 30))
    mode.look_at_parts(75, vault=(0, 6), perpetual=(700, 20), after=1)
    mode.look_at_parts(75, vault=(0, 36), perpetual=(700, 40))
    assert (mode.said, mode.status) == (["low"], LOW)
    mode.look_at_parts(75, vault=(0, 5), perpetual=(700, 70))
    assert mode.said == ["low", "adequate"]


def test_nothing_is_said_when_one_of_two_equal_accounts_reads_zero_once() -> None:
    """The sum falls by half only, which may be real; a reading of 0 for an account must still be confirmed."""
    mode = Watched()
    mode.look(60, 60)
    mode.look(60, 0)
    assert mode.step is not None
    assert mode.step.recheck
    mode.look(60, 60, after=1)
    assert (mode.said, mode.status) == ([], ADEQUATE)


def test_an_incident_stays_open_when_the_account_in_debt_reads_zero_once() -> None:
    """Without the debt of 30 there would be enough, and the sum moves by little."""
    mode = Watched()
    mode.look(110, -30)
    mode.look(110, 0)
    assert mode.step is not None
    assert mode.step.recheck
    mode.look(110, -30, after=1)
    assert (mode.said, mode.status) == (["low"], LOW)
    mode.look(110, 0)
    mode.look(110, 0, after=1)
    assert mode.said == ["low", "adequate"]


def test_nothing_is_said_when_one_of_two_accounts_cannot_be_read_while_the_other_alone_is_enough() -> None:
    mode = Watched()
    mode.look(120, 30)
    for _ in range(100):
        mode.look(120, missing=[NOT_READ])
    assert (mode.said, mode.status) == ([], ADEQUATE)


def test_no_low_is_said_when_one_of_two_accounts_cannot_be_read_and_the_other_is_not_enough() -> None:
    """A missing balance is not zero: the mode becomes unknown once its last good status is too old."""
    mode = Watched()
    mode.look(60, 90)
    for _ in range(100):
        mode.look(60, missing=[NOT_READ])
    assert mode.said[0] == "unknown"
    assert set(mode.said[1:]) == {"(unknown)"}
    mode.look(60, 90)
    assert mode.said[-1] == "adequate"


def test_no_low_is_said_when_a_token_is_renamed(mode: Watched) -> None:
    """The venue lists `USDT0` and no `USDT` any more: the asset is missing, its balance is not 0."""
    for _ in range(10):
        mode.look(missing=[Missing("bank/spot: USDT is missing", non_negative=True)])
    assert mode.said == ["unknown"]
    assert "USDT is missing" in mode.events[0].reason


def test_no_low_is_said_when_an_account_that_may_owe_cannot_be_read(mode: Watched) -> None:
    for _ in range(10):
        mode.look(5000, missing=[DEBT_NOT_READ])
    assert mode.said == ["unknown"]


def test_nothing_is_said_when_all_is_unreadable_for_less_than_the_maximum_staleness(mode: Watched) -> None:
    for _ in range(50):
        for _ in range(4):
            mode.fail()
        mode.look(150, after=0)
    assert (mode.said, mode.status) == ([], ADEQUATE)


def test_one_unknown_is_said_when_an_outage_lasts_hours(mode: Watched) -> None:
    mode.policy = Watched(repeat_interval=timedelta(days=1)).policy
    for _ in range(500):
        mode.fail()
    assert mode.said == ["unknown"]


def test_no_low_is_said_when_the_equity_turns_negative(mode: Watched) -> None:
    for _ in range(10):
        mode.look(150, equity=-1)
    assert mode.said == ["unknown"]
    assert mode.events[0].reason.endswith("equity is negative (-1)")


def test_no_low_is_said_when_the_equity_is_incomplete(mode: Watched) -> None:
    """Part of an equity must give neither a smaller nor a larger target."""
    for _ in range(10):
        mode.look(150, equity=900, complete=False)
    assert mode.said == ["unknown"]


def test_no_low_is_said_when_an_equity_of_an_hour_ago_is_served(mode: Watched) -> None:
    for _ in range(10):
        mode.look(150, equity=1600, equity_age=3600)
    assert mode.said == ["unknown"]


def test_nothing_is_said_twice_when_the_reserve_hovers_around_the_threshold() -> None:
    """Movements within the recovery margin are one incident, not forty."""
    mode = Watched(repeat_interval=timedelta(days=1))
    mode.look(101)
    for _ in range(20):
        mode.look("99.9")
        mode.look("101.9")
    assert mode.said == ["low"]
    mode.look(102)
    assert mode.said == ["low", "adequate"]


def test_nothing_is_said_when_a_redemption_dips_for_one_check_and_two_are_needed() -> None:
    mode = Watched(confirmations=2)
    mode.look(150)
    for _ in range(10):
        mode.look(90)
        mode.look(150)
        assert mode.step.recheck
        mode.look(150, after=1)
    assert mode.said == []


def test_nothing_is_said_when_a_strategy_starts_without_equity() -> None:
    """A new mode has neither equity nor reserve: its target is 0, and it is adequate."""
    mode = Watched()
    for _ in range(10):
        mode.look(0, equity=0)
    assert (mode.said, mode.status) == ([], ADEQUATE)


def test_no_refill_may_be_decided_when_the_equity_of_a_critical_mode_is_ten_times_too_large_once() -> None:
    """The status would remain critical, but the amount to unwind would be wrong."""
    mode = Watched()
    mode.look(20)
    mode.look(20, equity=10_000)
    assert (mode.status, mode.step.actionable, mode.step.recheck) == (CRITICAL, False, True)
    mode.look(20, after=1)
    assert mode.step.actionable


def test_nobody_is_alarmed_by_dust_when_amounts_are_smaller_than_any_coin() -> None:
    mode = Watched()
    mode.look(Decimal("1.5e-58"), equity=Decimal("1e-57"))
    mode.look(Decimal("1.0e-58"), equity=Decimal("1e-57"))
    assert (mode.said, mode.status) == ([], ADEQUATE)
