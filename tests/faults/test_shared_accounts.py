"""Modes that share a wallet while something fails: no money is counted twice, and there is no false alarm."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import cycle
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.errors import FailureReason, SourceError
from reservd.monitor.watches.holds import Holds
from reservd.plugin import Account, AccountFailure, Balance, Equity, Reading
from reservd.reserve.holds.book import HoldBook
from reservd.reserve.models import ReserveEvent, ReserveSnapshot
from reservd.service.withdrawals.ground import find_ground
from reservd.store.encoding import encode
from reservd.store.states import decode_state
from support.hand_clock import HandClock
from support.sources import EquityByMode, WalletBalances, raises, returns

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
BASE = {"share_class": "USDT", "reserve_ratio": "0.1"}
TIMED_OUT = raises(SourceError(FailureReason.TIMEOUT, "no answer"))
METHODS: dict[str, dict[str, dict[str, object]]] = {
    "pro rata": {},
    "by priority": {
        mode: {"reserve_allocation": "priority", "reserve_allocation_priority": number}
        for number, mode in enumerate("abc", 1)
    },
    "dedicated": {
        mode: {"reserve_allocation": "dedicated", "reserve_allocation_ratio": ratio}
        for mode, ratio in zip("abc", ("0.5", "0.3", "0.2"), strict=True)
    },
}


class Promised(Holds):
    """Holds a fixed amount of the shared accounts for withdrawals from a."""

    def __init__(self, amount: object) -> None:
        self._amount = Decimal(str(amount))

    def held(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        return self._amount

    def held_by(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        return self._amount if mode == "a" else Decimal(0)

    def owed(self, mode: str, equity: Equity) -> Decimal:
        return Decimal(0)


class Platform:
    """Three modes with targets of 100 on one wallet; mode c may have an account of its own.

    Attributes:
        wallet: Holds `pool`, and `own` of mode c.
        nav: The equity of each mode.
        events: All events so far.
    """

    def __init__(self, pool: object, own: object | None = None, **keys: Mapping[str, object]) -> None:
        self.wallet = WalletBalances("t", pool=pool, **({} if own is None else {"own": own}))
        self.nav = EquityByMode(a=1000, b=1000, c=1000)
        self.clock = HandClock()
        self.events: list[ReserveEvent] = []
        self._keys = keys
        self.start()

    def start(self) -> None:
        """Start without stored state."""
        self.manager = ReserveManager(self.nav, {"t": self.wallet}, clock=self.clock)
        for mode in "abc":
            own = ["t/own"] if mode == "c" and "own" in self.wallet.amounts else []
            sources = {"reserve_balance_sources": ["t/pool", *own]}
            self.manager.set_reserve_config(mode, {**BASE, **sources, **self._keys.get(mode, {})})
        self.manager.add_reserve_callback(self.events.append)

    def restart(self) -> None:
        """Restart with the stored state."""
        kept = {mode: decode_state(encode(state)) for mode, state in self.manager.kept_states().items()}
        self.start()
        self.manager.restore(kept)
        self.manager.begin()

    async def look(self, *, after: float = 30) -> dict[str, ReserveSnapshot]:
        """Check all modes after this many seconds."""
        self.clock.advance(after)
        found = dict(await self.manager.check_all_reserves())
        await self.manager.close()
        return found

    @property
    def statuses(self) -> list[ReserveStatus]:
        return [self.manager.status(mode) for mode in "abc"]

    @property
    def said(self) -> list[str]:
        return [f"{event.strategy_mode} {event.event_type.removeprefix('reserve_')}" for event in self.events]


async def test_each_is_told_its_part_when_three_need_more_than_there_is() -> None:
    world = Platform(120)
    found = await world.look()
    assert [found[mode].reserve_balance for mode in "abc"] == [40, 40, 40]
    assert world.said == ["a critical", "b critical", "c critical"]


async def test_no_one_is_called_low_when_the_equity_of_one_cannot_be_read() -> None:
    """Its target is between 0 and 125, so what is left for the others is uncertain: no low, but unknown after 120
    seconds.
    """
    world = Platform(310)
    await world.look()
    world.nav.amounts["c"] = TIMED_OUT
    for _ in range(3):
        found = await world.look()
    assert found["a"].reserve_balance is None
    assert found["a"].status is UNKNOWN
    assert found["a"].bounds is not None
    assert (found["a"].bounds.lower or 0) < 100 < (found["a"].bounds.upper or 0)
    assert world.said == []
    assert world.statuses[:2] == [ADEQUATE, ADEQUATE]
    await world.look()
    assert sorted(world.said) == ["a unknown", "b unknown", "c unknown"], "no conclusive check for 120 seconds"
    world.nav.amounts["c"] = 1000
    await world.look()
    assert world.statuses == [ADEQUATE] * 3


async def test_others_stay_adequate_when_there_is_enough_whatever_the_unknown_one_needs() -> None:
    world = Platform(330)
    await world.look()
    world.nav.amounts["c"] = TIMED_OUT
    for _ in range(9):
        await world.look()
    assert world.said == ["c unknown"]
    assert world.statuses == [ADEQUATE, ADEQUATE, UNKNOWN]


async def test_others_are_critical_for_certain_when_there_is_not_enough_whatever_the_unknown_one_needs() -> None:
    world = Platform(300)
    await world.look()
    world.nav.amounts["c"] = TIMED_OUT
    world.wallet.amounts["pool"] = 80
    await world.look()
    assert sorted(world.said) == ["a critical", "b critical"]


async def test_nothing_of_the_wallet_is_certain_when_one_was_never_known() -> None:
    world = Platform(1_000_000)
    world.nav.amounts["c"] = TIMED_OUT
    found = await world.look()
    assert (found["a"].bounds, found["a"].status) == ((0, 500_000), UNKNOWN)
    assert world.said == []


async def test_last_good_target_is_remembered_over_a_restart() -> None:
    world = Platform(330)
    await world.look()
    world.restart()
    world.nav.amounts["c"] = TIMED_OUT
    found = await world.look()
    assert found["a"].status is ADEQUATE
    assert world.said == []


async def test_no_incident_ends_when_the_equity_of_another_reads_0_once() -> None:
    """With a target of 0 for c there would be enough for the others; the confirming reading contradicts that."""
    world = Platform(240)
    await world.look()
    assert world.statuses == [LOW] * 3
    world.nav.amounts["c"] = _alternating(world.nav, "c", 0, 1000)
    found = await world.look()
    assert world.statuses == [LOW] * 3
    assert found["a"].reserve_balance == 80
    assert sorted(world.said) == ["a low", "b low", "c low"]


async def test_no_incident_ends_when_two_equities_disagree_for_ever() -> None:
    world = Platform(240)
    await world.look()
    world.nav.amounts["c"] = _alternating(world.nav, "c", 0, 400)
    for _ in range(4):
        await world.look()
    assert world.statuses[:2] == [LOW, LOW]
    assert sorted(world.said) == ["a low", "b low", "c low"]


async def test_no_incident_ends_when_a_part_of_the_equity_of_another_reads_zero_once() -> None:
    """With a target of 60 in place of 100, the other would leave enough for both."""
    world = Platform(270)
    parts = [{"vault": 400, "cash": 600}, {"vault": 0, "cash": 600}]
    world.nav.amounts["c"] = _made_of(parts[0])
    await world.look()
    assert world.statuses == [LOW] * 3
    told = list(world.said)
    world.nav.amounts["c"] = _made_of(parts[1], parts[0])
    await world.look()
    await world.look()
    assert (world.statuses, world.said) == ([LOW] * 3, told)
    world.nav.amounts["c"] = _made_of(parts[1])
    await world.look()
    await world.look()
    assert world.statuses == [ADEQUATE] * 3


async def test_incident_ends_when_another_needs_less_for_certain() -> None:
    world = Platform(240)
    await world.look()
    world.nav.amounts["c"] = 200
    await world.look()
    assert world.statuses == [ADEQUATE] * 3


class Pair:
    """Two modes, a and b, with targets of 500 that share 900: with 450 each they are low.

    Attributes:
        wallet: Holds `pool`, and one account per mode with the name of the mode.
        nav: The equity of each mode.
    """

    def __init__(self, **keys: object) -> None:
        self.wallet = WalletBalances("t", pool=900, a=0, b=0)
        self.nav = EquityByMode(a=5000, b=5000)
        self._clock = HandClock()
        self._manager = ReserveManager(self.nav, {"t": self.wallet}, clock=self._clock)
        for mode in "ab":
            sources = {"reserve_balance_sources": ["t/pool", f"t/{mode}"]}
            self._manager.set_reserve_config(mode, {**BASE, **sources, **keys})

    async def look(self, times: int = 1) -> list[ReserveStatus]:
        """Check both modes this many times, 30 seconds apart, and return their statuses."""
        for _ in range(times):
            self._clock.advance(30)
            await self._manager.check_all_reserves()
        await self._manager.close()
        return [self._manager.status(mode) for mode in "ab"]


async def test_all_are_called_critical_when_their_equities_grow_at_once() -> None:
    """As after one subscription to both. The part of each is certain once the equity of the other was read twice."""
    world = Pair()
    assert await world.look() == [LOW, LOW]
    world.nav.amounts |= {"a": 10_000, "b": 10_000}
    assert await world.look() == [CRITICAL, CRITICAL], "450 of 1,000 each; with the former target of the other, 600"
    reads = world.wallet.reads
    await world.look()
    assert world.wallet.reads - reads == 1, "no additional reading once all is confirmed"


async def test_nobody_is_called_critical_when_their_equities_flap_at_once() -> None:
    world = Pair()
    await world.look()
    for mode in "ab":
        world.nav.amounts[mode] = _alternating(world.nav, mode, 10_000, 5000)
    assert await world.look(3) == [LOW, LOW]


async def test_all_are_called_adequate_when_accounts_of_their_own_are_filled_at_once() -> None:
    world = Pair()
    world.wallet.amounts |= {"pool": 700, "a": 100, "b": 100}
    assert await world.look() == [LOW, LOW]
    world.wallet.amounts |= {"a": 200, "b": 200}
    assert await world.look() == [ADEQUATE, ADEQUATE], (
        "each certainly has half of 700 once both accounts were read twice"
    )


async def test_all_are_called_critical_within_two_minutes_when_equities_that_grew_are_renewed_once_a_day() -> None:
    world = Pair(reserve_max_staleness=2 * 86400)
    await world.look()
    told = datetime.now(UTC)
    for mode in "ab":
        world.nav.amounts[mode] = returns(Equity(Decimal(10_000), "USDT", told))
    assert await world.look(4) == [LOW, LOW], "a repeated observation is no second reading"
    assert await world.look() == [CRITICAL, CRITICAL]


async def test_no_one_is_called_low_when_an_account_of_another_reads_0_once() -> None:
    world = Platform(210, own=100)
    await world.look()
    assert world.statuses == [ADEQUATE] * 3
    world.wallet.script = [{"own": 0}, {"own": 100}]
    await world.look()
    assert world.said == []
    world.wallet.script = [{"own": 0}, {"own": 0}]
    await world.look()
    assert world.statuses == [LOW] * 3


@pytest.mark.parametrize(
    ("pool", "own", "wrong", "begin", "truth"),
    [
        (210, {"large": 60, "small": 40}, {"small": 0}, ADEQUATE, LOW),
        (210, {"large": 60, "small": 40}, {"small": -1}, ADEQUATE, LOW),
        (235, {"large": 90, "small": -30}, {"small": 0}, LOW, ADEQUATE),
    ],
    ids=["empty", "in debt", "without its debt"],
)
async def test_nothing_is_said_when_one_of_several_accounts_of_another_is_wrong_once(
    pool: int, own: dict[str, int], wrong: dict[str, int], begin: ReserveStatus, truth: ReserveStatus
) -> None:
    """All that the other has moves by less than a jump, so it must be noticed which account is gone."""
    wallet = WalletBalances("t", pool=pool, **own)
    clock = HandClock()
    manager = ReserveManager(EquityByMode(a=1000, b=1000, c=1000), {"t": wallet}, clock=clock)
    for mode, besides in (("a", []), ("b", []), ("c", ["t/large", "t/small"])):
        manager.set_reserve_config(mode, {**BASE, "reserve_balance_sources": ["t/pool", *besides]})
    await manager.check_all_reserves()
    said: list[ReserveEvent] = []
    manager.add_reserve_callback(said.append)
    wallet.script = [wrong, own]
    clock.advance(30)
    await manager.check_all_reserves()
    await manager.close()
    assert not wallet.script, "a second look is taken at once"
    assert (said, manager.status("a"), manager.status("b")) == ([], begin, begin)
    wallet.script = [wrong, wrong]
    clock.advance(30)
    await manager.check_all_reserves()
    await manager.close()
    assert (manager.status("a"), manager.status("b")) == (truth, truth)


class TwoWallets:
    """Modes a and b count both wallets, and c only the second: what the first covers decides what is left for c."""

    def __init__(self, first: int, second: int) -> None:
        self.wallet = WalletBalances("t", first=first, second=second)
        self.nav = EquityByMode(a=1000, b=1000, c=1000)
        self.clock = HandClock()
        self.manager = ReserveManager(self.nav, {"t": self.wallet}, clock=self.clock)
        for mode, sources in (("a", ["t/first", "t/second"]), ("b", ["t/first", "t/second"]), ("c", ["t/second"])):
            keys = {"reserve_balance_sources": sources, "reserve_max_staleness": 300}
            self.manager.set_reserve_config(mode, {**BASE, **keys})
        self.events: list[ReserveEvent] = []
        self.manager.add_reserve_callback(self.events.append)

    async def look(self, *script: dict[str, Any]) -> list[ReserveStatus]:
        self.wallet.script = [*script]
        self.clock.advance(30)
        await self.manager.check_all_reserves()
        await self.manager.close()
        assert not self.wallet.script
        return [self.manager.status(mode) for mode in "abc"]


@pytest.mark.parametrize(
    ("first", "second", "wrong", "begin", "truth"),
    [
        (100, 200, 0, [ADEQUATE] * 3, LOW),
        (100, 200, -20, [ADEQUATE] * 3, LOW),
        (100, 170, 180, [LOW] * 3, ADEQUATE),
    ],
    ids=["empty", "in debt", "with more"],
)
async def test_nothing_is_said_when_an_account_that_only_others_share_is_wrong_once(
    first: int, second: int, wrong: int, begin: list[ReserveStatus], truth: ReserveStatus
) -> None:
    """Its own part moves by less than a jump."""
    world = TwoWallets(first, second)
    assert await world.look() == begin
    told = list(world.events)
    assert (await world.look({"first": wrong}, {"first": first}))[2] is begin[2]
    assert [event for event in world.events if event.strategy_mode == "c"] == [
        event for event in told if event.strategy_mode == "c"
    ]
    assert (await world.look({"first": wrong}, {}))[2] is truth, "twice the same is true"


async def test_what_others_share_is_known_though_all_of_them_are_unknown_for_hours() -> None:
    """Nothing is certain of their own needs, but the one that shares less has enough whatever they need."""
    world = TwoWallets(100, 400)
    assert await world.look() == [ADEQUATE] * 3
    world.nav.amounts |= {"a": TIMED_OUT, "b": TIMED_OUT}
    for amount in (90, 70, 50, 30, 10, 300, 1, 900):
        await world.look({"first": amount})
    for _ in range(20):
        found = await world.look()
    assert found == [UNKNOWN, UNKNOWN, ADEQUATE]
    assert {event.strategy_mode for event in world.events} == {"a", "b"}
    snapshot = world.manager.latest_snapshot("c")
    assert snapshot is not None
    assert [line.partition(":")[0] for line in snapshot.missing] == [
        f"what {mode} needs from shared accounts" for mode in "ab"
    ]


async def test_what_is_left_is_uncertain_until_a_newer_observation_of_what_others_share() -> None:
    """The same block again is no second look; after two minutes there will be none."""
    world = TwoWallets(100, 200)
    await world.look()
    at = datetime.now(UTC)

    async def same() -> Reading:
        amounts = {"first": 0, "second": 200}
        return Reading([Balance(name, "USDT", Decimal(amount), at, block=7) for name, amount in amounts.items()])

    world.wallet.misbehave = same
    for _ in range(4):
        assert (await world.look())[2] is ADEQUATE
    snapshot = world.manager.latest_snapshot("c")
    assert snapshot is not None
    assert snapshot.missing == ("what others have in t/first: went from 100 to 0, and no second reading agrees yet",)
    assert (await world.look())[2] is LOW


async def test_no_one_is_called_low_when_an_account_of_another_cannot_be_read() -> None:
    world = Platform(210, own=100)
    await world.look()
    reading = await world.wallet.fetch_balances()
    lost = AccountFailure("own", FailureReason.TIMEOUT)
    world.wallet.misbehave = returns(Reading([b for b in reading.balances if b.account == "pool"], [lost]))
    found = await world.look()
    assert found["a"].status is UNKNOWN
    assert found["a"].missing == ("what c needs from shared accounts: t/own: timeout",)
    assert world.said == []


async def test_no_one_is_called_low_when_the_wallet_cannot_be_read() -> None:
    world = Platform(310, own=150)
    await world.look()
    world.wallet.misbehave = TIMED_OUT
    for _ in range(3):
        found = await world.look()
        assert found["a"].bounds == (0, None)
    assert world.said == []
    await world.look()
    assert sorted(world.said) == ["a unknown", "b unknown", "c unknown"]
    world.wallet.misbehave = None
    await world.look()
    assert world.statuses == [ADEQUATE] * 3


async def test_critical_is_said_to_all_when_the_wallet_was_emptied() -> None:
    world = Platform(310)
    await world.look()
    world.wallet.amounts["pool"] = 0
    await world.look()
    assert sorted(world.said) == ["a critical", "b critical", "c critical"]


async def test_no_one_is_called_critical_when_the_wallet_reads_0_once() -> None:
    world = Platform(310, own=150)
    await world.look()
    world.wallet.script = [{"pool": 0}, {"pool": 310}]
    await world.look()
    assert world.said == []


async def test_adequate_is_never_said_when_two_sources_of_one_account_disagree() -> None:
    first, second = WalletBalances("first", hot=400), WalletBalances("second", hot=40)
    clock = HandClock()
    manager = ReserveManager(EquityByMode(a=1000, b=1000), {"first": first, "second": second}, clock=clock)
    strict = {"reserve_balance_sources": ["first"], "reserve_require_agreement": True}
    manager.set_reserve_config("a", {**BASE, **strict})
    manager.set_reserve_config("b", {**BASE, "reserve_balance_sources": ["second"]})
    heard: list[ReserveEvent] = []
    manager.add_reserve_callback(heard.append)
    for _ in range(6):
        clock.advance(30)
        await manager.check_all_reserves()
    await manager.close()
    assert sorted(f"{event.strategy_mode} {event.event_type}" for event in heard) == [
        "a reserve_unknown",
        "b reserve_unknown",
    ]
    second.amounts["hot"] = 400
    found = await manager.check_all_reserves()
    assert [snapshot.reserve_balance for snapshot in found.values()] == [200, 200]


async def test_no_one_is_called_critical_when_an_account_of_others_that_covers_what_is_held_cannot_be_read() -> None:
    """Two modes have another account. While it is read, it covers all that is held, and the third mode is adequate."""
    wallet = WalletBalances("t", pool=100, besides=100)
    nav = EquityByMode(a=10, b=10, c=900)
    clock = HandClock()
    manager = ReserveManager(nav, {"t": wallet}, clock=clock)
    for mode, besides in (("a", ["t/besides"]), ("b", ["t/besides"]), ("c", [])):
        manager.set_reserve_config(mode, {**BASE, "reserve_balance_sources": ["t/pool", *besides]})
    manager.holds = Promised(80)
    said: list[ReserveEvent] = []
    manager.add_reserve_callback(said.append)
    await manager.check_all_reserves()
    assert [manager.status(mode) for mode in "abc"] == [ADEQUATE] * 3
    reading = await wallet.fetch_balances()
    lost = AccountFailure("besides", FailureReason.TIMEOUT)
    wallet.misbehave = returns(Reading([b for b in reading.balances if b.account == "pool"], [lost]))
    clock.advance(30)
    found = await manager.check_all_reserves()
    assert found["c"].status is UNKNOWN
    assert found["c"].missing == ("what others have in t/besides: timeout",)
    wallet.misbehave = None
    clock.advance(30)
    await manager.check_all_reserves()
    await manager.close()
    assert [manager.status(mode) for mode in "abc"] == [ADEQUATE] * 3
    assert said == []


class Bridged(WalletBalances):
    """The same wallet, whose token has another name here."""

    @property
    def accounts(self) -> dict[str, Account]:
        names = super().accounts
        return {name: replace(each, assets=frozenset({"USDT.e"}), asset_ids=ALIAS) for name, each in names.items()}

    async def fetch_balances(self) -> Reading:
        reading = await super().fetch_balances()
        return Reading([replace(balance, asset="USDT.e") for balance in reading.balances])


class Plain(WalletBalances):
    """The same wallet, with the contract of its token."""

    @property
    def accounts(self) -> dict[str, Account]:
        return {name: replace(each, asset_ids={"USDT": ALIAS["USDT.e"]}) for name, each in super().accounts.items()}


ALIAS = {"USDT.e": "erc20:0xdac"}


async def test_nobody_is_called_adequate_by_a_token_that_is_counted_under_two_names() -> None:
    """There are 120. Counted twice, they would meet both targets."""
    clock = HandClock()
    sources = {"plain": Plain("plain", pool=120), "bridged": Bridged("bridged", pool=120)}
    manager = ReserveManager(EquityByMode(a=1000, b=1000), sources, clock=clock)
    aliases = {"reserve_asset_aliases": {"USDT.e": "USDT"}}
    manager.set_reserve_config("a", {**BASE, "reserve_balance_sources": ["plain", "bridged"], **aliases})
    manager.set_reserve_config("b", {**BASE, "reserve_balance_sources": ["bridged"], **aliases})
    found = await manager.check_all_reserves()
    assert [snapshot.reserve_balance for snapshot in found.values()] == [60, 60]
    assert [manager.status(mode) for mode in "ab"] == [LOW, LOW]
    sources["plain"].misbehave = TIMED_OUT
    clock.advance(30)
    found = await manager.check_all_reserves()
    assert [snapshot.status for snapshot in found.values()] == [UNKNOWN, UNKNOWN], (
        "it counts under its first name, which cannot be read"
    )
    await manager.close()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_ever_counted_twice_whatever_fails(method: str, seed: int) -> None:
    """A hundred checks, during which the wallet and equities change, jump, fail and recover."""
    chance = random.Random(seed)
    world = Platform(300, own=50, **METHODS[method])
    pool, own = Decimal(300), Decimal(50)
    for _ in range(100):
        pool = max(Decimal(0), pool + chance.choice([0, 0, 0, Decimal("-0.000001"), 40, -40, -pool, 300]))
        own = max(Decimal(0), own + chance.choice([0, 0, 0, 7, -7, -own, 100]))
        world.wallet.amounts |= {"pool": pool, "own": own}
        world.wallet.misbehave = TIMED_OUT if chance.random() < 0.05 else None
        mode = chance.choice("abc")
        world.nav.amounts[mode] = chance.choice([TIMED_OUT, 0, 1000, 1000, 1000, 1100, 2500])
        found = await world.look()
        certain = [
            snapshot.reserve_balance if snapshot.bounds is None else snapshot.bounds.lower or 0
            for snapshot in found.values()
        ]
        assert sum(each or 0 for each in certain) <= pool + own
        believed = [world.manager.kept_state(mode).good for mode in "abc"]
        if all(each is found[mode] for each, mode in zip(believed, "abc", strict=True)):
            assert sum(each.reserve_balance or 0 for each in believed if each is not None) <= pool + own


async def test_withdrawal_is_decided_on_the_part_of_the_mode_alone() -> None:
    world = Platform(360)
    await world.look()
    book = HoldBook()
    config, now = world.manager.reserve_configs["a"], world.clock.now()
    ground = find_ground(world.manager, config, book, now)
    assert (ground.available, ground.target, ground.status) == (120, 100, ADEQUATE)
    level = world.manager.believed_reading("a")
    assert level is not None
    assert level.balance == 360, "arrivals are measured by the balance of the whole group"
    world.wallet.amounts["pool"] = 10_000
    world.wallet.script = [{"pool": 10_000}, {"pool": 360}]
    await world.look()
    assert find_ground(world.manager, config, book, world.clock.now()).available == 120


def _made_of(*several: Mapping[str, int]) -> Any:
    """Answer one equity after the other, each given by its parts, and the last one from then on."""
    left = list(several)

    async def answer() -> Equity:
        parts = left.pop(0) if len(left) > 1 else left[0]
        amounts = {name: Decimal(amount) for name, amount in parts.items()}
        return Equity(sum(amounts.values(), Decimal(0)), "USDT", datetime.now(UTC), components=amounts)

    return answer


def _alternating(nav: EquityByMode, mode: str, *amounts: object) -> Any:
    """Answer with the amounts in turn, again and again."""
    turn = cycle(amounts)

    async def answer() -> Any:
        nav.amounts[mode] = next(turn)
        told = await nav.fetch_equity(mode, "USDT")
        nav.amounts[mode] = answer
        return told

    return answer
