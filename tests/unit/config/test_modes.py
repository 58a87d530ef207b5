"""Mode files: how they are found, and completed by defaults."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reservd.config.load import load_config
from reservd.config.mode import own_keys

SECOND = """\
mode: second
share_class: USDT
reserve_ratio: 0.05
reserve_balance_sources: [other]
reserve_equity_source: nav
"""


def test_sample_of_the_requirements_loads_as_it_is(folder: Any) -> None:
    """Its thresholds 0.5 and 0.2 leave a zone below the target without an event."""
    folder.write(
        "modes/a.yaml",
        'mode: "pure_lending"\nshare_class: USDT\nasset: USDT\nlending: {protocol: aave}\n'
        "# Reserve management\n"
        "reserve_ratio: 0.05  # 5% of total equity\n"
        'reserve_currency: "USDT"  # Same as share_class\n'
        "reserve_monitoring_interval: 30  # seconds\n"
        "reserve_low_threshold: 0.5  # 50% of target reserve\n"
        "reserve_critical_threshold: 0.2  # 20% of target reserve\n"
        "reserve_balance_sources: [vault]\nreserve_equity_source: nav\nreserve_event_sinks: [ops]\n",
    )
    config = folder.load()
    mode = config.modes["pure_lending"]
    assert (mode.policy.low_threshold, mode.policy.critical_threshold) == (Decimal("0.5"), Decimal("0.2"))
    assert (mode.policy.ratio, mode.interval_seconds) == (Decimal("0.05"), 30)
    (warning,) = config.warnings
    assert warning == (
        f"{folder.path}/modes/a.yaml:9:24: reserve_low_threshold: "
        "a reserve between 0.5 and 1 of its target does not count as low"
    )


def test_policy_has_the_documented_defaults(folder: Any) -> None:
    mode = folder.load().modes["pure_lending"]
    assert (mode.policy.low_threshold, mode.policy.critical_threshold) == (Decimal("1.0"), Decimal("0.5"))
    assert (mode.policy.recovery_margin, mode.policy.confirmations) == (Decimal("0.02"), 1)
    assert (mode.policy.max_jump, mode.policy.repeat_interval) == (Decimal("0.5"), timedelta(seconds=300))
    assert mode.policy.max_staleness == timedelta(seconds=120)
    assert mode.refill.level == Decimal("1.1")
    assert mode.reserve_assets == {"USDT"}


def test_staleness_is_three_intervals_when_they_are_long(folder: Any) -> None:
    folder.mode(more="reserve_monitoring_interval: 60\n")
    assert folder.load().modes["pure_lending"].policy.max_staleness == timedelta(seconds=180)


def test_skew_is_limited_by_the_staleness_unless_the_mode_says_less(folder: Any) -> None:
    assert folder.load().modes["pure_lending"].policy.max_skew == timedelta(seconds=120)
    folder.mode(more="reserve_max_staleness: 7200\n")
    assert folder.load().modes["pure_lending"].policy.max_skew == timedelta(hours=2)
    folder.mode(more="reserve_max_skew: 45.5\n")
    loaded = folder.load()
    assert loaded.modes["pure_lending"].policy.max_skew == timedelta(seconds=45.5)
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("keys", "warning"),
    [
        (
            "reserve_max_staleness: 30\n",
            "7:24: reserve_max_staleness: 30 is less than two intervals of 30: one failed check makes the mode unknown",
        ),
        (
            "reserve_monitoring_interval: 0.02\n",
            "7:30: reserve_monitoring_interval: 0.02 reads every source 50 times a second",
        ),
        (
            "reserve_monitoring_interval: 30000\n",
            "7:30: reserve_monitoring_interval: 30000 leaves a shortfall unnoticed for 8.3 hours",
        ),
        ("reserve_max_staleness: 60\n", None),
        ("reserve_monitoring_interval: 0.1\n", None),
        ("reserve_monitoring_interval: 3600\n", None),
    ],
)
def test_warning_is_given_when_checks_are_strangely_timed(folder: Any, keys: str, warning: str | None) -> None:
    folder.mode(more=keys)
    assert folder.load().warnings == (() if warning is None else (f"{folder.path}/modes/a.yaml:{warning}",))


def test_warning_is_given_once_when_several_modes_have_a_default(folder: Any) -> None:
    folder.main(more="defaults: {reserve_monitoring_interval: 0.05}\n")
    folder.mode()
    folder.write("modes/b.yaml", SECOND.replace("other", "vault"))
    (warning,) = folder.load().warnings
    assert warning.endswith("reserve_monitoring_interval: 0.05 reads every source 20 times a second")


def test_warning_is_given_when_refills_are_not_rounded(folder: Any) -> None:
    folder.main(more="replenishers:\n  unwinder: {plugin: paper, options: {treasury: a}}\n")
    folder.mode(more="reserve_replenisher: unwinder\n")
    (warning,) = folder.load().warnings
    assert warning == (
        f"{folder.path}/modes/a.yaml:7:22: reserve_replenisher: "
        "refill amounts are not rounded: set reserve_refill_decimals to the decimals of the token"
    )
    folder.mode(more="reserve_replenisher: unwinder\nreserve_refill_decimals: 6\n")
    assert folder.load().warnings == ()


def test_warning_is_given_when_a_limit_to_skew_is_beyond_the_staleness(folder: Any) -> None:
    folder.mode(more="reserve_max_skew: 121\n")
    (warning,) = folder.load().warnings
    assert "reserve_max_skew: 121 has no effect" in warning
    assert "reserve_max_staleness (120)" in warning


def test_defaults_give_what_a_mode_file_leaves_out(folder: Any) -> None:
    folder.main(more="defaults: {reserve_ratio: 0.1, reserve_confirmations: 3}\n")
    folder.mode("reserve_ratio: 0.05\n", "reserve_confirmations: 2\n")
    mode = folder.load().modes["pure_lending"]
    assert (mode.reserve_ratio, mode.reserve_confirmations) == (Decimal("0.1"), 2)


@pytest.mark.parametrize(
    ("default", "line"),
    [
        ("reserve_max_jump: 0", "reservd.yaml:8:30: reserve_max_jump: must be above 0, got 0"),
        (
            "reserve_replenisher: x",
            "reservd.yaml:8:33: reserve_replenisher: must name a replenisher, got 'x'",
        ),
        (
            "reserve_low_threshold: 0.5",
            (
                "reservd.yaml:8:35: reserve_critical_threshold: "
                "must be below reserve_low_threshold (0.5), got 0.5 by default"
            ),
        ),
    ],
)
def test_defaults_are_located_when_they_are_wrong(folder: Any, default: str, line: str) -> None:
    """Once, however many modes use them."""
    folder.main(
        "balance_sources:",
        "balance_sources:\n  other: {plugin: static, options: {balances: [{asset: USDT, amount: 1}]}}",
        more=f"defaults: {{{default}}}\n",
    )
    folder.write("modes/b.yaml", SECOND)
    assert folder.problems() == [line.replace(":8:", ":9:")]


@pytest.mark.parametrize(
    ("default", "own", "line"),
    [
        ("reserve_ratio: 5", "", "reservd.yaml:8:27: reserve_ratio: must be at most 1, got 5"),
        (
            "reserve_refill_max: nought",
            "reserve_refill_max: 1",
            "reservd.yaml:8:32: reserve_refill_max: must be a number, got 'nought'",
        ),
    ],
)
def test_default_is_checked_when_every_mode_gives_its_own(folder: Any, default: str, own: str, line: str) -> None:
    folder.main(more=f"defaults: {{{default}}}\n")
    folder.mode(more=f"{own}\n")
    assert folder.problems() == [line]


def test_default_may_contradict_another_when_every_mode_gives_its_own(folder: Any) -> None:
    folder.main(more="defaults: {reserve_low_threshold: 0.4}\n")
    folder.mode(more="reserve_low_threshold: 0.6\n")
    assert folder.load().modes["pure_lending"].policy.low_threshold == Decimal("0.6")


def test_mode_file_is_located_when_it_contradicts_a_default(folder: Any) -> None:
    folder.main(more="defaults: {reserve_critical_threshold: 0.6}\n")
    folder.mode(more="reserve_low_threshold: 0.5\n")
    assert folder.problems() == [
        (
            "modes/a.yaml:7:24: reserve_critical_threshold: "
            "must be below reserve_low_threshold (0.5), got 0.6 from defaults"
        )
    ]


def test_modes_are_found_by_patterns(folder: Any) -> None:
    text = (folder.path / "modes/a.yaml").read_text()
    extra = "  other: {plugin: static, options: {balances: [{asset: USDT, amount: 1}]}}\n"
    folder.write("deep/er/b.yaml", text.replace("pure_lending", "b").replace("[vault]", "[other]"))
    folder.main(
        "modes/*.yaml\nbalance_sources:\n",
        f"['modes/?.yaml', deep/**/*.yaml, ./modes/a.yaml]\nbalance_sources:\n{extra}",
    )
    assert list(folder.load().modes) == ["pure_lending", "b"], "a file that matches two patterns is read once"


def test_modes_are_found_when_the_pattern_is_absolute(folder: Any) -> None:
    folder.main("modes/*.yaml", f"{folder.path}/modes/*.yaml")
    assert list(folder.load().modes) == ["pure_lending"]


def test_modes_are_found_when_the_folder_has_brackets_in_its_name(folder: Any) -> None:
    """Only the pattern is expanded, not the folder of the main file."""
    moved = folder.path.with_name(f"{folder.path.name} [x]")
    folder.path.rename(moved)
    assert list(load_config(moved / "reservd.yaml", environ={}).modes) == ["pure_lending"]


def test_main_file_is_no_mode_when_a_pattern_matches_it(folder: Any) -> None:
    (folder.path / "modes/a.yaml").rename(folder.path / "a.yaml")
    folder.main("modes/*.yaml", "'*.yaml'")
    assert list(folder.load().modes) == ["pure_lending"]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("reserve-low-threshold", "reserve_low_threshold"),
        ("Reserve_low_threshold", "reserve_low_threshold"),
        ("reserveLowThreshold", "reserve_low_threshold"),
        ("reserv_max_jump", "reserve_max_jump"),
        ("resereve_refill_level", "reserve_refill_level"),
    ],
)
def test_key_is_warned_of_when_it_is_not_read_and_was_meant_to_be(folder: Any, key: str, meant: str) -> None:
    """Without a warning, a misspelt threshold would have no effect, unnoticed."""
    folder.mode(more=f"{key}: 2\n")
    (warning,) = folder.load().warnings
    assert warning.endswith(f"modes/a.yaml:7:1: {key}: is ignored, as it is not a reserve_* key; did you mean {meant}?")


def test_misspelt_key_is_told_when_the_one_that_was_meant_is_missing(folder: Any) -> None:
    """`is required` alone puzzles whoever sees the key in the file."""
    text = (folder.path / "modes/a.yaml").read_text()
    folder.write("modes/a.yaml", text.replace("reserve_ratio", "reserve-ratio").replace("reserve_bal", "reserv_bal"))
    ignored = "is ignored, as it is not a reserve_* key; did you mean"
    assert folder.problems() == [
        "modes/a.yaml:1:1: reserve_balance_sources: must name a balance source",
        "modes/a.yaml:1:1: reserve_ratio: is required",
        f"modes/a.yaml:3:1: reserve-ratio: {ignored} reserve_ratio?",
        f"modes/a.yaml:4:1: reserv_balance_sources: {ignored} reserve_balance_sources?",
    ]


@pytest.mark.parametrize("key", ["leverage", "max_jump", "target_ratio", "reserved", "low_threshold", "server_ratio"])
def test_key_of_the_strategy_is_not_warned_of_when_it_only_sounds_alike(folder: Any, key: str) -> None:
    folder.mode(more=f"{key}: 2\n")
    assert folder.load().warnings == ()


@pytest.mark.parametrize(
    ("pattern", "folders"), [("modes", ["modes"]), ("modes/", ["modes"]), ("modes/*", ["modes/old"])]
)
def test_pattern_is_refused_when_it_matches_a_folder(folder: Any, pattern: str, folders: list[str]) -> None:
    """The folder may contain mode files, which would not be watched, unnoticed."""
    folder.write("modes/old/b.yaml", "no mode")
    folder.main("modes/*.yaml", pattern)
    assert folder.problems() == [
        f"reservd.yaml:1:8: modes: must match files only, got the folder '{each}': try {each}/*.yaml"
        for each in folders
    ]


@contextmanager
def closed(path: Path, mode: int) -> Iterator[None]:
    """A folder without some of its permissions, for somebody who is not root."""
    load_config(path.parent / "reservd.yaml", environ={})  # what it imports may be closed to that user, too
    before = path.stat().st_mode
    path.chmod(mode)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        path.chmod(before)


@pytest.fixture
def open_folder(folder: Any) -> Iterator[Any]:
    """A configuration that everybody may read."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield type(folder)(Path(path))


@pytest.mark.parametrize("pattern", ["modes/*.yaml", "'*/*.yaml'", "'**/[ab].yaml'", "ROOT/mode[s]/*.yaml"])
def test_pattern_is_refused_when_a_folder_that_it_looks_into_cannot_be_read(open_folder: Any, pattern: str) -> None:
    """Its modes would not be watched; after a reload no longer."""
    open_folder.write("others/b.yaml", SECOND.replace("[other]", "[vault]"))
    open_folder.main("modes/*.yaml", pattern.replace("ROOT", str(open_folder.path)))
    with closed(open_folder.path / "modes", 0o000):
        problems = open_folder.problems()
    assert problems == ["reservd.yaml:1:8: modes: the folder 'modes' cannot be read: Permission denied"]


def test_folder_need_not_be_listed_when_the_pattern_names_what_is_in_it(open_folder: Any) -> None:
    open_folder.main("modes/*.yaml", "modes/a.yaml")
    with closed(open_folder.path / "modes", 0o711):
        assert list(open_folder.load().modes) == ["pure_lending"]


def test_mode_file_is_named_when_its_folder_may_be_listed_and_not_entered(open_folder: Any) -> None:
    with closed(open_folder.path / "modes", 0o744):
        assert open_folder.problems() == ["modes/a.yaml: cannot be read: Permission denied"]


@pytest.mark.timeout(30)
def test_pattern_is_refused_when_it_matches_a_pipe(folder: Any) -> None:
    """Whoever opens it would wait for a writer, for ever."""
    os.mkfifo(folder.path / "modes" / "pipe.yaml")
    assert folder.problems() == [
        "reservd.yaml:1:8: modes: must match files only, got 'modes/pipe.yaml', which is a pipe, socket or device"
    ]


@pytest.mark.parametrize(
    ("pattern", "ending", "overlooked"),
    [
        ("modes/*.yaml", "yml", ["modes/b.yml"]),
        ("'**/[a-z].yaml'", "yml", ["modes/b.yml"]),
        ("[modes/*.yaml, modes/*.yaml]", "yml", ["modes/b.yml"]),
        ("[modes/*.yaml, modes/b.*]", "yml", []),
        ("modes/a.yaml", "yml", []),
        ("modes/*.yaml", "yaml.bak", []),
        ("modes/*", "yml", []),
    ],
)
def test_file_is_warned_of_when_it_ends_in_the_other_spelling_of_yaml(
    folder: Any, pattern: str, ending: str, overlooked: list[str]
) -> None:
    """Nobody would notice that its mode is not watched."""
    folder.write(f"modes/b.{ending}", SECOND.replace("[other]", "[vault]"))
    folder.main("modes/*.yaml", pattern)
    lines = [line.replace("modes[0]", "modes").split(": ", 2)[1:] for line in folder.load().warnings]
    assert lines == [["modes", f"'{each}' is not read: no pattern matches it"] for each in overlooked]


def test_pattern_that_matches_nothing_is_told_beside_the_one_that_does(folder: Any) -> None:
    folder.main("modes/*.yaml", "modes/*.yml")
    assert folder.problems() == [
        "reservd.yaml:1:8: modes: must match a mode file, got 'modes/*.yml'; did you mean modes/*.yaml?"
    ]


def test_keys_of_the_strategy_are_ignored(folder: Any) -> None:
    folder.mode(more="leverage: 3\nmax_drawdown: .nan\nhedge: !engine.Hedge {}\n<<: {venue: x}\n")
    assert list(folder.load().modes) == ["pure_lending"]


def test_own_keys_are_those_of_reservd() -> None:
    values = {"mode": "a", "asset": "ETH", "share_class": "ETH", "reserve_x": 1, "leverage": 3, "reserved": 1}
    assert set(own_keys(values)) == {"mode", "asset", "share_class", "reserve_x"}


def test_instances_are_warned_of_when_no_mode_names_them(folder: Any) -> None:
    folder.main("  ops: {plugin: log}", "  ops: {plugin: log}\n  spare: {plugin: log}")
    (warning,) = folder.load().warnings
    assert warning == f"{folder.path}/reservd.yaml:8:3: event_sinks.spare: no mode names it"


def test_alias_counts_as_reserve(folder: Any) -> None:
    folder.main("{asset: USDT, amount: 100}", "{asset: USDT, amount: 1}, {asset: USDT.e, amount: 1}")
    folder.mode(more="reserve_asset_aliases: {USDT.e: USDT}\n")
    assert folder.load().modes["pure_lending"].reserve_assets == {"USDT", "USDT.e"}


def test_configurations_of_the_repository_load() -> None:
    configs = Path(__file__).parents[3] / "configs"
    urls = {"ETHEREUM_RPC_URL": "http://127.0.0.1:1/", "OPS_WEBHOOK_URL": "https://ops.example.com/"}
    secrets = dict.fromkeys(("OPS_WEBHOOK_SECRET", "STRATEGY_WEBHOOK_SECRET"), f"whsec_{'A' * 43}=")
    for name in ("demo.yaml", "reservd.yaml"):
        assert load_config(configs / name, environ=urls | secrets).warnings == ()
