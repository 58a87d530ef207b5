"""Decodes the answer of Multicall3's `aggregate3`, for which a general ABI decoder is too slow."""

_WORD = 32


def decode_results(data: bytes, count: int) -> list[tuple[bool, bytes]] | None:
    """Return what `(bool,bytes)[]` says: of each call whether it succeeded, and what it returned.

    Args:
        data: As the contract returned it.
        count: How many results there must be.

    Returns:
        The results; None when the bytes are no such answer. However they are damaged, no more is taken from them
        than they hold.
    """
    start = _number(data, 0)
    if _number(data, start) != count:
        return None
    start += _WORD
    results: list[tuple[bool, bytes]] = []
    budget = len(data)
    for place in range(count):
        at = start + _number(data, start + place * _WORD)
        done = _number(data, at)
        begin = at + _number(data, at + _WORD)
        length = _number(data, begin)
        begin += _WORD
        budget -= length
        if done > 1 or budget < 0 or begin + length > len(data):
            return None
        results.append((done == 1, data[begin : begin + length]))
    return results


def _number(data: bytes, at: int) -> int:
    """Return the word there; beyond the end one that leads nowhere."""
    word = data[at : at + _WORD]
    return int.from_bytes(word, "big") if len(word) == _WORD else len(data)
