"""Turns what pydantic found into lines: where, which key, what must hold, what was got."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reservd.config.document import Document, Loc
from reservd.plugin.options import is_secret

_RULES: dict[str, str] = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must match {pattern}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "path_type": "must be a path",
    "finite_number": "must be a finite number",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
}
_NUMBERS = ("int_", "float_", "decimal_", "is_instance")
_MAX_SHOWN = 60


def explain(
    error: ValidationError, model: type[BaseModel], document_of: Callable[[Loc], Document], prefix: Loc = ()
) -> list[str]:
    """Return one line for each thing that is wrong, with file, line and column.

    Args:
        error: What pydantic found.
        model: The model that was asked for, to know its keys and its secrets.
        document_of: Which file a value came from, by its way from the model.
        prefix: The way from the top of the file to the model.
    """
    lines = []
    for detail in _worth_saying(error, model):
        loc: Loc = (*prefix, *detail["loc"])
        place = document_of(detail["loc"]).where(loc, key=detail["type"] == "extra_forbidden")
        lines.append(f"{place}: {_line(detail, model, loc)}")
    return lines


def describe(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each thing that is wrong, of a model that came from no file."""
    return [_line(detail, model, detail["loc"]) for detail in _worth_saying(error, model)]


def _worth_saying(error: ValidationError, model: type[BaseModel]) -> list[ErrorDetails]:
    """Return all that is wrong, but not that a key is missing which is there, spelled wrong."""
    details = error.errors(include_url=False)
    meant = {near for detail in details if (near := _meant(detail, model))}
    return [detail for detail in details if not (detail["type"] == "missing" and detail["loc"][-1] in meant)]


def _line(detail: ErrorDetails, model: type[BaseModel], loc: Loc) -> str:
    key = ".".join(map(str, loc))
    return f"{key}{': ' if key else ''}{_message(detail, model)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word nearest to `word`, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def show(value: object) -> str:
    """Return a value as it may be shown: short, numbers as they were written."""
    if isinstance(value, (Decimal, int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = repr(str(value))
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, loc = detail["type"], detail["loc"]
    context = detail.get("ctx", {})
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        owner = _model_at(model, loc[:-1])
        return f"unknown key{nearest(str(loc[-1]), owner.model_fields) if owner else ''}"
    if kind in _RULES:
        message = _RULES[kind].format(**context)
    elif kind in {"value_error", "assertion_error"}:
        message = str(context.get("error", detail["msg"]))
    elif kind.startswith(_NUMBERS):
        message = "must be a number"
    else:
        message = detail["msg"]
    if ", got " in message or kind in {"variable_unset", "secret_file", "secret_twice"} or _hidden(model, loc):
        return message
    return f"{message}, got {show(detail['input'])}"


def _meant(detail: ErrorDetails, model: type[BaseModel]) -> str | None:
    """Return the key that an unknown one most likely stands for."""
    if detail["type"] != "extra_forbidden":
        return None
    owner = _model_at(model, detail["loc"][:-1])
    close = get_close_matches(str(detail["loc"][-1]), owner.model_fields if owner else (), n=1)
    return close[0] if close else None


def _hidden(model: type[BaseModel], loc: Sequence[str | int]) -> bool:
    """Whether what stands there may be a secret. What cannot be told is taken for one."""
    if not loc:
        return any(is_secret(field.annotation) for field in model.model_fields.values())
    owner = _model_at(model, ())
    annotation: Any = owner
    for part in loc:
        annotation = _step(annotation, part)
    return annotation is None or is_secret(annotation)


def _model_at(annotation: Any, loc: Sequence[str | int]) -> type[BaseModel] | None:
    for part in loc:
        annotation = _step(annotation, part)
    return next(
        (part for part in _alternatives(annotation) if isinstance(part, type) and issubclass(part, BaseModel)), None
    )


def _step(annotation: Any, part: str | int) -> Any:
    """Return the annotation one step down: a model's field, a mapping's value, a list's item."""
    for option in _alternatives(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            field = option.model_fields.get(str(part))
            if field is not None:
                return field.annotation
        elif (arguments := get_args(option)) and get_origin(option) is not None:
            return arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]
    return None


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in {Union, UnionType}:
        return [part for part in get_args(annotation) if part is not type(None)]
    if hasattr(annotation, "__metadata__"):
        return _alternatives(annotation.__origin__)
    return [annotation]
