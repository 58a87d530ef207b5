"""Checks that led to events, without sources or clocks."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal

from reservd.monitor.observer import Checked
from reservd.reserve.amounts import ZERO
from reservd.reserve.explanation import EquityInput, Explanation
from reservd.reserve.models import AccountPart, ReserveSnapshot
from reservd.reserve.tracker import Instant, TrackerState, advance
from support.reserve import make_policy, make_snapshot


def decided(number: int, modes: int = 16) -> list[Checked]:
    """Return checks of `mode_0`, `mode_1` and so on in turn, each of which led to an event: low, adequate, low …"""
    ids = (f"{n:032x}" for n in itertools.count())
    states = {f"mode_{n}": TrackerState(0.0) for n in range(modes)}
    found: list[Checked] = []
    for turn in itertools.count():
        for mode, state in states.items():
            policy = make_policy(mode=mode)
            snapshot = make_snapshot(policy, Decimal((110, 74)[turn % 2]))
            now = Instant(datetime.now(UTC), float(turn))
            step = advance(state, snapshot._replace(timestamp=now.wall), policy, now, lambda: next(ids))
            states[mode] = step.state
            if step.event is not None:
                found.append(Checked(mode, snapshot, step, explained(snapshot)))
            if len(found) == number:
                return found
    raise AssertionError


def explained(snapshot: ReserveSnapshot) -> Explanation:
    """Return the explanation of a check of a mode with five accounts."""
    part = AccountPart("treasury/main", "USDT", Decimal("14.8"), ZERO, Decimal("14.8"), None, snapshot.timestamp, 19)
    equity = EquityInput("nav", snapshot.total_equity, snapshot.timestamp)
    return Explanation(snapshot._replace(accounts=(part,) * 5), "as it is", snapshot.status, snapshot.timestamp, equity)
