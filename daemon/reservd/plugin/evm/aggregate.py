"""Decodes the result of Multicall3's `aggregate3`, for which a general ABI decoder is too slow."""

_WORD = 32


def decode_results(data: bytes, count: int) -> list[tuple[bool, bytes]] | None:
    """Decode `(bool,bytes)[]`: for each call, whether it succeeded, and what it returned.

    Args:
        data: The bytes that the contract returned.
        count: The expected number of results.

    Returns:
        The results; None when the bytes are not such a result. Damaged bytes never yield more data than they hold.
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
    """Return the word at an offset; beyond the end, an offset that is out of range."""
    word = data[at : at + _WORD]
    return int.from_bytes(word, "big") if len(word) == _WORD else len(data)
