"""Arbitrary histories of one mode, compared with a second implementation of the rules in whole numbers."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reservd.reserve.models import ReserveEvent
from support.reserve import DEBT_NOT_READ, NOT_READ, Watched

ADEQUATE, LOW, CRITICAL = 0, 1, 2
NAMES = {ADEQUATE: "adequate", LOW: "low", CRITICAL: "critical"}
MAX_STALENESS, REPEAT, PATIENCE = 120, 300, 120

# The effect of two consecutive certain statuses on the incident: the table of the design.
INCIDENT = {
    (None, ADEQUATE): None,
    (None, LOW): "opens",
    (None, CRITICAL): "opens",
    (ADEQUATE, ADEQUATE): None,
    (ADEQUATE, LOW): "opens",
    (ADEQUATE, CRITICAL): "opens",
    (LOW, ADEQUATE): "closes",
    (LOW, LOW): "stays",
    (LOW, CRITICAL): "stays",
    (CRITICAL, ADEQUATE): "closes",
    (CRITICAL, LOW): "stays",
    (CRITICAL, CRITICAL): "stays",
}


class Reference:
    """The rules again: a target of a tenth of the equity, thresholds 1.0 and 0.5, margin 0.02, jumps by half."""

    def __init__(self, confirmations: int) -> None:
        self.confirmations = confirmations
        self.certain: int | None = None
        self.said: str | None = None
        self.good_at = self.good_age = self.said_at = 0
        self.counted: list[int] = []
        self.balance: int | None = None
        self.account: int | None = None
        self.equity: int | None = None
        self.doubted: tuple[int | None, int] | None = None
        self.doubted_at = self.doubted_of = 0

    def look(
        self, amount: int | None, equity: int | None, missing: str, now: int, age: int = 0
    ) -> tuple[str, bool, str | None] | None:
        """Return the expected event: its name, whether it is a reminder, and the effect on the incident."""
        severity = self._severity(amount, equity, missing)
        if severity is None:
            return self._silence(now)
        assert equity is not None
        reading = (amount, missing, equity)
        if self._jumps(self.balance, self.equity, *reading):
            if self.doubted is None or self._jumps(*self.doubted, *reading):
                self.doubted = (None if missing == "debt" else amount, equity)
                self.doubted_at, self.doubted_of = now, now - age
                return self._doubt(severity, now, age)
            # The equity is observed at each check; the account must be, unless all was read and it is unchanged.
            same = now - age <= self.doubted_of and not (missing == "" and amount == self.account)
            if same and now - self.doubted_at < PATIENCE:
                return self._doubt(severity, now, age)
        self.doubted, self.good_at, self.good_age, self.equity = None, now, age, equity
        if missing == "" or (self.balance is None and missing == "other"):
            self.balance = amount
        if missing == "":
            self.account = amount
        self.counted.append(severity)
        confirmed = self._confirmed(severity)
        if confirmed is None or NAMES[confirmed] == self.said:
            return self._reminder(now)
        incident = INCIDENT[self.certain, confirmed]
        first = self.said is None
        self.certain, self.said = confirmed, NAMES[confirmed]
        if first and confirmed == ADEQUATE:
            return None
        self.said_at = now
        return self.said, False, incident

    def restart(self, down: int, now: int) -> None:
        """Forget what a restart forgets; the wall clock moved by `down` meanwhile."""
        self.good_at = now - min(max(0, now - self.good_at + down) + self.good_age, MAX_STALENESS // 2)
        self.good_age = 0
        self.said_at = now - max(0, now - self.said_at + down)
        self.counted, self.doubted = [], None

    def _doubt(self, severity: int, now: int, age: int) -> tuple[str, bool, str | None] | None:
        if NAMES[severity] != self.said:
            return self._silence(now)
        self.good_at, self.good_age = now, age
        return self._reminder(now)

    def _severity(self, amount: int | None, equity: int | None, missing: str) -> int | None:
        if equity is None or equity < 0:
            return None
        if equity == 0:
            return ADEQUATE
        low = 102 if self.certain in {LOW, CRITICAL} else 100
        critical = 52 if self.certain == CRITICAL else 50
        if missing:
            return ADEQUATE if missing == "other" and 1000 * amount >= low * equity else None
        if 1000 * amount >= low * equity:
            return ADEQUATE
        return LOW if 1000 * amount >= critical * equity else CRITICAL

    def _jumps(self, balance: int | None, before: int | None, amount: int, missing: str, equity: int) -> bool:
        if before is not None and (2 * abs(equity - before) > abs(before) or equity <= 0 < before):
            return True
        if balance is None or missing == "debt" or (missing == "other" and amount <= balance):
            return False
        return 2 * abs(amount - balance) > abs(balance) or amount <= 0 < balance

    def _confirmed(self, severity: int) -> int | None:
        if severity <= (self.certain or ADEQUATE):
            return severity
        last = self.counted[-self.confirmations :]
        if len(last) == self.confirmations and min(last) > (self.certain or ADEQUATE):
            return min(last)
        return None if self.said == "unknown" and self.certain in {None, ADEQUATE} else self.certain

    def _silence(self, now: int) -> tuple[str, bool, str | None] | None:
        if self.said == "unknown" or now - self.good_at + self.good_age <= MAX_STALENESS:
            return self._reminder(now)
        self.said, self.said_at = "unknown", now
        return "unknown", False, "stays" if self.certain else None

    def _reminder(self, now: int) -> tuple[str, bool, str | None] | None:
        if self.said in {None, "adequate"} or now - self.said_at < REPEAT:
            return None
        self.said_at = now
        return self.said, True, "stays" if self.certain else None


class History(RuleBasedStateMachine):
    """Readings, gaps, failures, restarts and changes of the clock, in any order."""

    @initialize(confirmations=st.integers(1, 3))
    def start(self, confirmations: int) -> None:
        self.mode = Watched(confirmations=confirmations)
        self.reference = Reference(confirmations)
        self.now = 0
        self.open_incident: str | None = None
        self.incidents: set[str] = set()
        self.ids: set[str] = set()

    @rule(
        amount=st.integers(-20, 40).map(lambda tens: 10 * tens) | st.integers(45, 115),
        equity=st.sampled_from([1000, 1000, 1000, 1000, 1300, 3000, 0, -5]),
        missing=st.sampled_from(["", "", "", "other", "debt"]),
        after=st.sampled_from([1, 30, 60, 121, 301]),
        age=st.sampled_from([0, 0, 0, 30, 61, 120]),
    )
    def look(self, amount: int, equity: int, missing: str, after: int, age: int = 0) -> None:
        parts = {"": (), "other": (NOT_READ,), "debt": (DEBT_NOT_READ,)}[missing]
        self.now += after
        said = self.mode.look(amount, equity=equity, missing=parts, after=after, age=age)
        self._compare(said, self.reference.look(amount, equity, missing, self.now, age))

    @rule(repeat=st.integers(2, 4))
    @precondition(lambda self: self.mode.state.good is not None)
    def last(self, repeat: int) -> None:
        """Repeat the last good reading: similar readings are believed, and counted."""
        good = self.mode.state.good
        if good.reserve_balance is not None:
            for _ in range(repeat):
                self.look(int(good.reserve_balance), int(good.total_equity), "", 30)

    @rule(steps=st.lists(st.sampled_from([110, 80, 49]), min_size=1, max_size=4))
    def drift(self, steps: list[int]) -> None:
        """Change the balance by less than a jump."""
        for amount in steps:
            self.look(amount, 1000, "", 30)

    @rule(after=st.sampled_from([1, 30, 60, 121, 301]))
    def fail(self, after: int) -> None:
        self.now += after
        self._compare(self.mode.fail(after=after), self.reference.look(None, None, "other", self.now))

    @rule(down=st.sampled_from([0, 1, 30, 301, 86400, -5, -86400]))
    def restart(self, down: int) -> None:
        """Restart the daemon after a while, or after its clock was set."""
        self.mode.restart(down=down)
        self.reference.restart(down, self.now)

    def _compare(self, said: ReserveEvent | None, expected: tuple[str, bool, str | None] | None) -> None:
        assert (said is None) == (expected is None)
        if said is None or expected is None:
            return
        name, reminder, incident = expected
        assert (said.status, said.event_type, said.reminder) == (name, f"reserve_{name}", reminder)
        assert said.sequence == len(self.mode.events)
        assert said.id not in self.ids
        self.ids.add(said.id)
        earlier = [event.status for event in self.mode.events[:-1]]
        if earlier:
            assert said.previous_status == earlier[-1]
        assert (said.previous_status == said.status) == reminder
        assert said.reason
        if incident == "opens":
            assert self.open_incident is None
            assert said.incident_id not in self.incidents
            self.incidents.add(said.incident_id)
            self.open_incident = said.incident_id
        assert said.incident_id == self.open_incident
        assert (incident is None) == (self.open_incident is None)
        if incident == "closes":
            self.open_incident = None

    @invariant()
    def state_agrees(self) -> None:
        if hasattr(self, "mode"):
            assert self.mode.status == self.reference.said
            assert self.mode.state.incident_id == self.open_incident
            assert self.mode.state.sequence == len(self.mode.events)


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=120, stateful_step_count=30)
