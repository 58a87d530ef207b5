"""When a failed delivery is tried again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reservd.delivery.retry import RetrySchedule

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@given(failures=st.integers(1, 10_000), first=st.floats(0.1, 10), longest=st.floats(10, 3600))
def test_delay_grows_to_the_longest_and_no_further(failures: int, first: float, longest: float) -> None:
    delay = RetrySchedule(first, longest).delay_seconds(failures)
    assert 0 < delay <= min(longest, max(0.05, first * 2 ** min(failures - 1, 30)))


@given(asked=st.floats(0, 1e9))
def test_what_was_asked_for_is_waited_out_up_to_an_hour(asked: float) -> None:
    delay = RetrySchedule(0.1, 1).delay_seconds(1, asked)
    assert delay >= min(asked, 3600)
    assert delay <= 3600


def test_delays_are_spread_so_that_many_do_not_come_back_at_once() -> None:
    delays = [RetrySchedule(10, 10).delay_seconds(1) for _ in range(200)]
    assert min(delays) < 3
    assert max(delays) > 7


def test_event_is_given_up_when_it_is_older_than_its_schedule_allows() -> None:
    schedule = RetrySchedule(give_up_after=timedelta(hours=1))
    assert not schedule.gives_up(NOW - timedelta(hours=1), NOW)
    assert schedule.gives_up(NOW - timedelta(hours=1, seconds=1), NOW)
