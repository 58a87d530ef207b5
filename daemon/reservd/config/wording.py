"""The wording of configuration errors: what must hold, what was given, and what was probably meant."""

import re
from collections.abc import Collection, Iterable
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic_core import ErrorDetails

from reservd.config.mode import NAME_PATTERN, PREFIX
from reservd.config.settings import ADDRESS_PATTERN

_RULES: dict[str, str] = {
    "missing": "is required",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_type": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "path_type": "must be a path",
    "finite_number": "must be a finite number",
    "decimal_max_places": "must have at most {decimal_places} decimals",
}
_EMPTY = "must not be empty"
_PATTERNS = {
    NAME_PATTERN: "must consist of letters, digits, '_', '-' and '.', not of dots alone",
    ADDRESS_PATTERN: "must be host:port",
}
_COLLECTIONS = {"list_type", "tuple_type", "set_type", "frozen_set_type", "dict_type", "model_type"}
_OTHER_PACKAGES_WORDS = re.compile(r"^(\w+ )+should ")
_MAX_SHOWN = 60
_MAX_LISTED = 12


class Wording(NamedTuple):
    """What is wrong with one value.

    Attributes:
        rule: What must hold.
        got: What was given instead; empty if that is no help or may be a secret.
    """

    rule: str
    got: str

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.rule}, got {self.got}" if self.got else self.rule


def word(detail: ErrorDetails, *, hidden: bool) -> Wording:
    """Return a validation error in the wording that all errors share.

    Args:
        detail: The error from pydantic. Unknown keys are handled elsewhere.
        hidden: Whether the value may be a secret.
    """
    kind, value = detail["type"], detail["input"]
    rule = _rule(detail)
    if kind in _COLLECTIONS:
        got = _kind_of(value)
    elif hidden or kind == "missing" or rule == _EMPTY or ", got " in rule:
        got = ""
    elif isinstance(value, dict | list | tuple):
        got = _kind_of(value) if kind.endswith("_type") else ""
    elif kind == "string_type" and isinstance(value, int | Decimal):
        got = f"{show(value)} (text that looks like this needs quotes)"
    else:
        got = show(value)
    return Wording(rule, got)


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` probably stands for; None if there is none."""
    prefix = PREFIX if word.startswith(PREFIX) else ""  # the common prefix says nothing
    rests = [each.removeprefix(prefix) for each in known if each.startswith(prefix)]
    close = get_close_matches(word.removeprefix(prefix), rests, n=1)
    return prefix + close[0] if close else None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word that is nearest to `word`; empty if there is none."""
    close = closest(word, known)
    return f"; did you mean {close}?" if close is not None else ""


def hint(word: str, known: Collection[str]) -> str:
    """Return a hint with the known word that is nearest to `word`, or with all known words if there are few."""
    return nearest(word, known) or (f" (known: {', '.join(known)})" if 0 < len(known) <= _MAX_LISTED else "")


def show(value: object) -> str:
    """Return a value for display: short, numbers as they were written, no URL."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, Decimal | int | float):
        return str(value)
    if isinstance(value, dict | list | tuple):
        return _kind_of(value) if value else f"an empty {_kind_of(value).removeprefix('a ')}"
    text = str(value)
    if "://" in text:
        return "a URL"
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…")


def _rule(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if context.get("min_length") == 1:
        rule = _EMPTY
    elif kind in _RULES:
        rule = _RULES[kind].format(**{name: _plain(value) for name, value in context.items()})
    elif kind == "string_pattern_mismatch":
        rule = _PATTERNS.get(context["pattern"], f"must match the pattern {context['pattern']}")
    elif kind in {"value_error", "assertion_error"}:
        rule = str(context["error"])
    elif kind.startswith("int_"):
        rule = "must be a whole number"
    elif kind.startswith(("float_", "decimal_")):
        rule = "must be a number"
    else:
        rule = _OTHER_PACKAGES_WORDS.sub("must ", detail["msg"])
    return rule


def _plain(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, float) else value


def _kind_of(value: object) -> str:
    match value:
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str():
            return "text"
    return show(value)
