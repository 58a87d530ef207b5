"""A hostile answer causes nothing but a failure, and a valid one is read exactly."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from eth_abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from reservd.plugin import AccountFailure, Balance, FailureReason, SourceError
from reservd.plugin.evm import BALANCE_OF, DECIMALS, Block, ContractError, Ether, Function, Results
from reservd.plugin.evm.aggregate import decode_results
from reservd.plugin.evm.answers import parse_data, parse_quantity
from reservd.plugin.evm.multicall import Chunk, ChunkAnswer, Multicall
from reservd_evm.plan import Holding
from reservd_evm.units import to_outcome

BLOCK = Block(19_000_000, 1_700_000_000, hash=b"\x03" * 32, parent_hash=b"\x02" * 32)
SAID = [(True, number.to_bytes(32, "big")) for number in (19_000_000, 1_700_000_000)] + [(True, BLOCK.parent_hash)]
QUERIES = Ether("0x" + "11" * 20), BALANCE_OF.on("0x" + "22" * 20, "0x" + "11" * 20)
UINT256 = st.integers(0, 2**256 - 1)
JSON = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()) | st.just({"a": 1})


def chunk() -> Chunk:
    (only,) = Multicall("0x" + "33" * 20, 100).chunks(QUERIES)
    return only


def held(units: int, decimals: int, keep: Decimal) -> Balance | AccountFailure:
    results = Results(BLOCK, {QUERIES[1]: (units,)})
    return to_outcome(Holding("a", "USDT", QUERIES[1], decimals), {"latest": results}, keep)


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def aggregate(results: list[tuple[bool, bytes]]) -> str:
    return "0x" + encode(["(bool,bytes)[]"], [results]).hex()


@given(JSON)
def test_answer_is_a_failure_when_it_is_no_number(answer: object) -> None:
    for parsed in (parse_quantity(answer), *(each.parse(answer) for each in QUERIES), chunk().parse(answer)):
        assert isinstance(parsed, SourceError)
        assert parsed.reason is FailureReason.INVALID_DATA


@given(UINT256)
def test_quantity_and_word_are_read_back(number: int) -> None:
    assert parse_quantity(hex(number)) == number
    assert parse_data("0x" + word(number).hex()) == word(number)
    assert [query.returned(word(number)) for query in QUERIES] == [(number,)] * 2


@given(UINT256, UINT256)
def test_chunk_says_its_block_and_units(ether: int, token: int) -> None:
    parsed = chunk().parse(aggregate([*SAID, (True, word(ether)), (True, word(token))]))
    outcomes = {QUERIES[0]: (ether,), QUERIES[1]: (token,)}
    assert parsed == ChunkAnswer(BLOCK.number, BLOCK.timestamp, BLOCK.parent_hash, outcomes)


def test_chunk_leaves_out_what_failed_and_refuses_what_is_no_word() -> None:
    parsed = chunk().parse(aggregate([*SAID, (False, b""), (True, b"")]))
    assert isinstance(parsed, ChunkAnswer)
    assert parsed.outcomes.keys() == {QUERIES[1]}
    assert isinstance(parsed.outcomes[QUERIES[1]], SourceError)


@pytest.mark.parametrize(
    "results",
    [
        [],
        [(True, word(1))] * 4,
        [(True, word(1))] * 6,
        [(False, word(1)), *[(True, word(1))] * 4],
        [(True, word(1)), (True, b""), *[(True, word(1))] * 3],
    ],
)
def test_chunk_fails_when_its_answer_is_of_other_calls_or_of_no_block(results: list[tuple[bool, bytes]]) -> None:
    parsed = chunk().parse(aggregate(results))
    assert isinstance(parsed, SourceError)
    assert parsed.reason is FailureReason.INVALID_DATA


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=6), st.data())
def test_chunk_never_raises_when_the_answer_is_damaged(results: list[tuple[bool, bytes]], data: st.DataObject) -> None:
    raw = bytearray.fromhex(aggregate(results)[2:])
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    parsed = chunk().parse("0x" + raw[: data.draw(st.integers(0, len(raw)))].hex())
    assert isinstance(parsed, SourceError | ChunkAnswer)


RESULTS = st.lists(st.tuples(st.booleans(), st.binary(max_size=100)), min_size=1, max_size=8)


@given(RESULTS)
def test_results_are_read_as_a_general_decoder_reads_them(results: list[tuple[bool, bytes]]) -> None:
    data = encode(["(bool,bytes)[]"], [results])
    assert (
        decode_results(data, len(results)) == [tuple(each) for each in decode(["(bool,bytes)[]"], data)[0]] == results
    )
    assert decode_results(data, len(results) + 1) is None


@given(RESULTS, st.data())
def test_results_hold_no_more_than_their_bytes_when_they_are_damaged(
    results: list[tuple[bool, bytes]], data: st.DataObject
) -> None:
    """Offsets may point anywhere, and many to the same place: memory must stay bounded."""
    raw = bytearray(encode(["(bool,bytes)[]"], [results]))
    for _ in range(data.draw(st.integers(0, 4))):
        at = 32 * data.draw(st.integers(0, len(raw) // 32 - 1))
        raw[at : at + 32] = word(data.draw(st.integers(0, len(raw)) | UINT256))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    found = decode_results(cut, len(results))
    assert found is None or sum(len(returned) for _, returned in found) <= len(cut)


@given(UINT256, st.integers(0, 60), st.decimals(0, 10**40, allow_nan=False, allow_infinity=False, places=20))
def test_balance_is_exact_and_split_by_keep(units: int, decimals: int, keep: Decimal) -> None:
    found = held(units, decimals, keep)
    there = Fraction(units, 10**decimals)
    if not isinstance(found, Balance):
        assert found.reason is FailureReason.INVALID_DATA
        assert there >= 10**50
        return
    assert Fraction(found.amount) + Fraction(found.locked or 0) == there
    assert Fraction(found.locked or 0) == min(Fraction(keep), there)
    assert found.note == ("the option keep leaves the rest out" if found.locked else "")
    assert found.observed_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert found.block == BLOCK.number


def test_amount_keeps_every_digit_of_the_chain() -> None:
    found = held(123456789, 6, Decimal(0))
    assert isinstance(found, Balance)
    assert str(found.amount) == "123.456789"


@pytest.mark.parametrize("data", [b"", word(1)[1:], word(1) + b"\0", word(256), word(2**256 - 1)])
def test_function_returned_nothing_when_its_bytes_are_not_just_what_it_must_return(data: bytes) -> None:
    """The contract's answer is wrong, and would be at every other endpoint."""
    assert isinstance(DECIMALS.returned(data), ContractError)


@given(st.binary(max_size=100))
def test_function_returned_only_what_encodes_to_the_same_bytes(data: bytes) -> None:
    function = Function("pair", returns=("uint8", "address"))
    values = function.returned(data)
    assert isinstance(values, ContractError) or encode(function.returns, values) == data


def test_call_is_named_by_its_function_its_arguments_and_its_contract() -> None:
    assert str(QUERIES[1]) == f"balanceOf(0x{'11' * 20}) of 0x{'22' * 20}"
    assert str(DECIMALS.on("0x" + "22" * 20)) == f"decimals() of 0x{'22' * 20}"


def test_call_that_was_not_made_is_not_known() -> None:
    results = Results(BLOCK, {})
    with pytest.raises(SourceError, match="it was not asked for"):
        results.number(DECIMALS.on("0x" + "22" * 20))
    assert not results.reverted(DECIMALS.on("0x" + "22" * 20))
