"""The parser of server-sent events, on streams cut anywhere."""

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservd.client.sse import MAX_MESSAGE_BYTES, Message, MessageParser
from reservd.errors import ApiError

STREAM = (
    b"retry: 2000\n\n"
    b": alive\n\n"
    b'id: 1\nevent: low\ndata: {"a": 1}\n\n'
    b"event: gap\r\ndata: first\r\ndata: second: part\r\n\r\n"
    b"id: 2\ndata:no space\nunheard: of\n\n"
    b"id: 3\nevent: without data\n\n"
    b"data: the type is not kept, the id is\n\n"
)
MESSAGES = [
    Message("low", '{"a": 1}', "1"),
    Message("gap", "first\nsecond: part", "1"),
    Message("message", "no space", "2"),
    Message("message", "the type is not kept, the id is", "3"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_messages_are_the_same_when_the_stream_is_cut_anywhere(cuts: list[int]) -> None:
    """Including a cut between CR and LF."""
    parser = MessageParser()
    places = sorted({0, *cuts, len(STREAM)})
    parts = [STREAM[start:end] for start, end in pairwise(places)]
    assert [message for part in parts for message in parser.feed(part)] == MESSAGES


@pytest.mark.parametrize("part", [b"data: " + b"x" * 1024 + b"\n", b"x" * 1024])
def test_message_without_end_is_refused(part: bytes) -> None:
    """Memory is bounded, for many lines as well as for one endless line."""
    parser = MessageParser()
    parts = [part] * (2 * MAX_MESSAGE_BYTES // len(part))
    with pytest.raises(ApiError, match="larger than"):
        deque(map(parser.feed, parts), maxlen=0)
