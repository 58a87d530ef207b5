"""Changes in the health of a source's endpoints reach the observers."""

from reservd.errors import FailureReason, SourceError
from reservd.monitor.observer import Observer
from reservd.monitor.sources.readers import BalanceReader
from support.sources import ScriptedBalances, raises


class Listener(Observer):
    def __init__(self) -> None:
        self.heard: list[tuple[str, str, bool]] = []

    def endpoint_is(self, source: str, endpoint: str, *, up: bool) -> None:
        self.heard.append((source, endpoint, up))


async def test_endpoint_is_told_at_its_change_whether_the_reading_succeeded_or_not() -> None:
    source, listener = ScriptedBalances("bank", main=1), Listener()
    reader = BalanceReader(source, [listener])
    source.health = {"one": True, "two": True}
    for _ in range(2):
        await reader.read()
    assert listener.heard == [("bank", "one", True), ("bank", "two", True)]
    listener.heard.clear()
    source.health = {"one": True, "two": False}
    await reader.read()
    assert listener.heard == [("bank", "two", False)]
    listener.heard.clear()
    source.health = {"one": False, "two": False}
    source.misbehave = raises(SourceError(FailureReason.UNREACHABLE, "both are gone"))
    await reader.read()
    assert listener.heard == [("bank", "one", False)]
