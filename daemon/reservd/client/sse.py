"""Parses server-sent events as the WHATWG defines them: bytes in, messages out."""

from typing import NamedTuple

from reservd.errors import ApiError, FailureReason

MAX_MESSAGE_BYTES = 1024 * 1024


class Message(NamedTuple):
    """One event of a stream."""

    event: str
    """Its type; `message` if it has none."""
    data: str
    last_event_id: str
    """The id of the last event that has one."""


class MessageParser:
    """Takes the parts of a stream as they arrive, however they are split."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._data: list[str] = []
        self._bytes = 0
        self._last_event_id = ""

    def feed(self, part: bytes) -> list[Message]:
        """Return the messages that this part completes.

        Raises:
            ApiError: If a message exceeds `MAX_MESSAGE_BYTES`.
        """
        # Both end a line. reservd sends no lone CR, which could only be recognised with the next part.
        *lines, self._rest = (self._rest + part).replace(b"\r\n", b"\n").split(b"\n")
        messages = [message for line in lines if (message := self._take(line)) is not None]
        if self._bytes + len(self._rest) > MAX_MESSAGE_BYTES:
            raise ApiError(FailureReason.INVALID_DATA, f"an event is larger than {MAX_MESSAGE_BYTES} bytes")
        return messages

    def _take(self, line: bytes) -> Message | None:
        if not line:
            return self._complete()
        self._bytes += len(line)
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id":
                self._last_event_id = value
            case _:  # a comment, a retry time, or something new
                pass
        return None

    def _complete(self) -> Message | None:
        event, data = self._event or "message", self._data
        self._event, self._data, self._bytes = "", [], 0
        return Message(event, "\n".join(data), self._last_event_id) if data else None
