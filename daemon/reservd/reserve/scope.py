"""Which modes something is limited to."""

from collections.abc import Iterable


def scope_of(modes: Iterable[str] | None) -> frozenset[str] | None:
    """Return the modes that something is limited to; None, which stands for all of them, as it is.

    Raises:
        TypeError: If `modes` is text. Its letters would be taken for modes, so that nothing would ever happen.
    """
    if isinstance(modes, str):
        raise TypeError(f"'modes' must be a list of modes, got text: [{modes!r}]")
    return None if modes is None else frozenset(modes)
