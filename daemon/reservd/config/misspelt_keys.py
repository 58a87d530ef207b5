"""Keys of a mode file that look like misspelt keys of reservd, though only the strategy engine would read them."""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from reservd.config.mode import PREFIX, ModeConfig

_CLOSE = 0.8
_RESTS = {name.removeprefix(PREFIX) for name in ModeConfig.model_fields if name.startswith(PREFIX)}
_BARE = {f"{PREFIX}{rest}".replace("_", ""): f"{PREFIX}{rest}" for rest in _RESTS}


def find_misspelt_keys(keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each key that differs from a known one only in case, separators or a slip in `reserve`, with the known one.

    Only the prefix is compared letter by letter: there may be thousands of files with many keys each.
    """
    for key in keys:
        bare = "".join(filter(str.isalnum, key.lower()))
        beginning, _, rest = key.partition("_")
        if bare in _BARE:
            yield key, _BARE[bare]
        elif rest in _RESTS and SequenceMatcher(None, beginning, PREFIX.rstrip("_")).ratio() >= _CLOSE:
            yield key, f"{PREFIX}{rest}"
