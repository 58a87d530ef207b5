"""Server-sent events, as the WHATWG defines them: bytes in, messages out."""

from typing import NamedTuple

from reservd.errors import ApiError, FailureReason

MAX_MESSAGE_BYTES = 1024 * 1024


class Message(NamedTuple):
    """One event of a stream."""

    event: str
    """Its type; `message` where it names none."""
    data: str
    last_event_id: str
    """The id of the last event that had one."""


class MessageParser:
    """Takes the parts of a stream as they come, however they are cut."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._data: list[str] = []
        self._bytes = 0
        self._last_event_id = ""

    def feed(self, part: bytes) -> list[Message]:
        """Return the messages that are complete with this part.

        Raises:
            ApiError: If one grows beyond `MAX_MESSAGE_BYTES`.
        """
        # Both are ends of lines; reservd sends no lone CR, which could only be told with the next part.
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
            case _:  # a comment, the time to wait, or something new
                pass
        return None

    def _complete(self) -> Message | None:
        event, data = self._event or "message", self._data
        self._event, self._data, self._bytes = "", [], 0
        return Message(event, "\n".join(data), self._last_event_id) if data else None
