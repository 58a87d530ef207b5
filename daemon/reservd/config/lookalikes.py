"""Keys of a mode file that are the strategy engine's by their spelling, and most likely were meant for reservd."""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from reservd.config.mode import PREFIX, ModeConfig

_CLOSE = 0.8
_RESTS = {name.removeprefix(PREFIX) for name in ModeConfig.model_fields if name.startswith(PREFIX)}
_BARE = {f"{PREFIX}{rest}".replace("_", ""): f"{PREFIX}{rest}" for rest in _RESTS}


def find_lookalikes(keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each key that differs from a known one by its case, its separators or a slip in `reserve`, with that one.

    There may be thousands of files with many keys each: nothing is compared letter by letter but such a beginning.
    """
    for key in keys:
        bare = "".join(filter(str.isalnum, key.lower()))
        beginning, _, rest = key.partition("_")
        if bare in _BARE:
            yield key, _BARE[bare]
        elif rest in _RESTS and SequenceMatcher(None, beginning, PREFIX.rstrip("_")).ratio() >= _CLOSE:
            yield key, f"{PREFIX}{rest}"
