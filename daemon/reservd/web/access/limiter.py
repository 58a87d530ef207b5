"""Limits how often an address may fail to authenticate."""

from collections import OrderedDict

_FAILURES = 10
_PERIOD_SECONDS = 60.0
_MAX_ADDRESSES = 10_000


class FailureLimiter:
    """Counts failures by address. After ten within a minute, the address must wait for the rest of that minute."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_seconds(self, address: str, now: float) -> float:
        """Return how many seconds an address must wait; 0 when it need not wait.

        Args:
            address: The caller's address.
            now: Monotonic seconds.
        """
        began, failures = self._windows.get(address, (now, 0))
        left = began + _PERIOD_SECONDS - now
        return max(0.0, left) if failures >= _FAILURES else 0.0

    def failed(self, address: str, now: float) -> None:
        """Count a failure."""
        began, failures = self._windows.pop(address, (now, 0))
        if now - began >= _PERIOD_SECONDS:
            began, failures = now, 0
        self._windows[address] = (began, failures + 1)
        if len(self._windows) > _MAX_ADDRESSES:
            self._windows.popitem(last=False)
