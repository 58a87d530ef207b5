"""The exit codes of `reservd check`."""

from reservd.cli.check import worst_code
from support.reserve import make_policy, make_snapshot


def test_check_ends_with_3_when_a_mode_has_no_snapshot() -> None:
    """A mode without a snapshot is unknown, whatever the status of the others."""
    adequate = make_snapshot(make_policy(), 110)
    assert worst_code({"seen": adequate}, ["seen"]) == 0
    assert worst_code({"seen": adequate}, ["seen", "unseen"]) == 3
    assert worst_code({}, ["unseen"]) == 3


def test_check_ends_with_2_when_one_is_critical_and_another_has_no_snapshot() -> None:
    assert worst_code({"seen": make_snapshot(make_policy(), 1)}, ["seen", "unseen"]) == 2
