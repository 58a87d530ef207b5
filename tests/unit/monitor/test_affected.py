"""Which modes a change at a source concerns."""

from collections.abc import Iterable

from reservd.config.accounts import Holding
from reservd.config.mode import ModeConfig
from reservd.monitor.cycles.affected import AffectedModes
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.identity import AccountKey
from reservd.reserve.state import TrackerState


def holding(source: str, account: str, *twins: Holding, is_really: str = "") -> Holding:
    key = AccountKey("chain", is_really or f"{source}/{account}", "USDT")
    return Holding(source, account, "USDT", key, True, twins)


def mode(name: str, *holdings: Holding, interval: int = 30) -> ModeWatch:
    told = {"mode": name, "share_class": "USDT", "reserve_ratio": "0.1", "reserve_monitoring_interval": interval}
    return ModeWatch(ModeConfig.model_validate(told), holdings, ("nav", "USDT"), TrackerState(good_at=0.0))


def names(watches: Iterable[ModeWatch]) -> set[str]:
    return {watch.mode for watch in watches}


def test_change_is_news_for_those_who_count_the_place_and_for_nobody_else() -> None:
    modes = AffectedModes(
        [mode("one", holding("a", "x")), mode("two", holding("a", "y")), mode("three", holding("b", "x"))]
    )
    assert names(modes.at("a", {("x", "USDT")})) == {"one"}
    assert names(modes.at("a", {("x", "USDT"), ("y", "USDT")})) == {"one", "two"}
    assert names(modes.at("a", {("z", "USDT")})) == set()


def test_change_is_news_for_those_who_share_an_account_with_them_directly_or_through_others() -> None:
    pot, other = holding("a", "pot"), holding("b", "pot")
    modes = AffectedModes(
        [
            mode("one", holding("a", "x"), pot),
            mode("two", pot, other),
            mode("three", other, holding("c", "z")),
            mode("alone", holding("a", "y")),
        ]
    )
    assert names(modes.at("a", {("x", "USDT")})) == {"one", "two", "three"}
    assert names(modes.at("c", {("z", "USDT")})) == {"one", "two", "three"}


def test_change_is_news_under_every_name_of_an_account() -> None:
    second = holding("b", "same", is_really="wallet")
    modes = AffectedModes([mode("one", holding("a", "x", second, is_really="wallet"))])
    assert names(modes.at("b", {("same", "USDT")})) == {"one"}


def test_followers_of_a_source_are_all_its_modes_with_their_intervals_and_sources() -> None:
    pot = holding("b", "pot")
    modes = AffectedModes(
        [mode("one", holding("a", "x"), pot), mode("two", pot, interval=60), mode("three", holding("c", "z"))]
    )
    followers = modes.of("a")
    assert names(followers.watches) == {"one", "two"}
    assert (followers.intervals, followers.sources) == ({30, 60}, {"a", "b"})
    assert modes.of("a") is followers
    assert modes.at("a", None) == followers.watches
    assert modes.of("nobody's") == ((), frozenset(), frozenset())
