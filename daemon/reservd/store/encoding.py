"""Named tuples of the domain as JSON objects, so that what is stored tells what it is."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any


def encode(record: tuple[Any, ...]) -> str:
    """Return a named tuple as JSON: amounts as decimal strings, times as ISO 8601. Pydantic reads it back."""
    return json.dumps(_plain(record), separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        fields = getattr(value, "_asdict", None)
        return [_plain(each) for each in value] if fields is None else {k: _plain(v) for k, v in fields().items()}
    return value
