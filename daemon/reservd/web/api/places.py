"""Where a page of requests for refills ends, as a cursor: it names the last one, as many are made at one instant."""

from datetime import UTC, datetime, timedelta

from reservd.reserve.replenishment_states import RequestPlace

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def show_place(place: RequestPlace) -> str:
    """Return the cursor of a place: microseconds since 1970, a dot, the id."""
    return f"{(place.requested_at - _EPOCH) // _MICROSECOND}.{place.id}"


def read_place(cursor: str) -> RequestPlace:
    """Return the place of a cursor, which has the form of a `PlaceCursor`."""
    microseconds, _, request_id = cursor.partition(".")
    return RequestPlace(_EPOCH + int(microseconds) * _MICROSECOND, request_id)
