"""The pauses between attempts."""

from reservd.client.backoff import Backoff


def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    backoff = Backoff(1, 8)
    rounds = []
    for _ in range(200):
        rounds.append([backoff.next_seconds() for _ in range(6)])
        backoff.reset()
    for most, waits in zip([1, 2, 4, 8, 8, 8], zip(*rounds, strict=True), strict=True):
        assert 0 <= min(waits) < most / 4
        assert 3 * most / 4 < max(waits) <= most


def test_wait_is_at_least_what_the_other_side_asked_for() -> None:
    assert 5 <= Backoff(1, 8).next_seconds(5) <= 6
