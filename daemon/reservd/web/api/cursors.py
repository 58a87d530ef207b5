"""Cursors for pages of requests for refills. They name the last request, because many requests share a time."""

from datetime import UTC, datetime, timedelta

from reservd.reserve.replenishment.states import RequestPlace

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode_cursor(place: RequestPlace) -> str:
    """Return the cursor for a place: microseconds since 1970, a dot, the id."""
    return f"{(place.requested_at - _EPOCH) // _MICROSECOND}.{place.id}"


def decode_cursor(cursor: str) -> RequestPlace:
    """Return the place that a cursor names. The cursor has been validated as a `PlaceCursor`."""
    microseconds, _, request_id = cursor.partition(".")
    return RequestPlace(_EPOCH + int(microseconds) * _MICROSECOND, request_id)
