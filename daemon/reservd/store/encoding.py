"""Records of the domain as JSON objects, so that what is stored tells what it is."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

_PLAIN = {str, int, float, bool, type(None)}
"""What JSON has itself, and most of what there is: it is not looked at further."""


def encode(record: tuple[Any, ...]) -> str:
    """Return a named tuple as JSON: amounts as decimal strings, times as ISO 8601. Pydantic reads it back."""
    return json.dumps(_plain(record), separators=(",", ":"), default=str)


def _plain(value: Any) -> Any:
    plain = value
    if type(value) in _PLAIN:
        pass
    elif isinstance(value, Decimal):
        plain = format(value, "f")
    elif isinstance(value, datetime):
        plain = value.isoformat()
    elif isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        parts = [_plain(each) for each in value]
        plain = parts if names is None else dict(zip(names, parts, strict=True))
    elif isinstance(value, Mapping):
        plain = {key: _plain(each) for key, each in value.items()}
    elif is_dataclass(value):
        plain = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return plain
