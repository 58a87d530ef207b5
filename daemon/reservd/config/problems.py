"""Turns validation errors into lines: where, which key, what must hold, what was given."""

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, NamedTuple, Protocol, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reservd.config.document import Loc, dotted
from reservd.config.settings import InstanceSettings
from reservd.config.wording import Wording, closest, hint, word
from reservd.plugin.options import has_file_twin, is_secret


class Origin(Protocol):
    """The file or files that values come from."""

    def where(self, loc: Loc = (), *, key: bool = False) -> str:
        """Return `file:line:column` of a value or of its key; of the nearest existing parent if it is missing."""

    def has(self, loc: Loc) -> bool:
        """Return whether the file sets that value."""

    def inherits(self, loc: Loc) -> bool:
        """Return whether the file leaves the value out and another file sets it."""


class _Problem(NamedTuple):
    """One error.

    Attributes:
        loc: The path from the model to the value.
        wording: What must hold, and what was given.
        at_key: Whether the key is wrong, not its value.
        beside: The key of the value that it conflicts with; empty when there is none.
    """

    loc: Loc
    wording: Wording
    at_key: bool = False
    beside: str = ""


class Problems(list[str]):
    """All errors, one line each."""

    def at(self, origin: Origin, loc: Loc, message: str, *, key: bool = False) -> None:
        """Add an error about a value or its key."""
        self.append(f"{origin.where(loc, key=key)}: {dotted(loc)}: {message}")


def explain(error: ValidationError, model: type[BaseModel], origin: Origin, prefix: Loc = ()) -> list[str]:
    """Return one line for each error, with file, line and column.

    Args:
        error: The validation error.
        model: The validated model, whose keys and secrets are needed.
        origin: Where its values came from.
        prefix: The path from the top of the file to the model.
    """
    return [_located(problem, origin, prefix) for problem in _find(error, model)]


def describe(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each error of a model that does not come from a file."""
    return [_line(problem.loc, str(problem.wording)) for problem in _find(error, model)]


def _located(problem: _Problem, origin: Origin, prefix: Loc) -> str:
    loc, text = (*prefix, *problem.loc), str(problem.wording)
    if loc and isinstance(loc[-1], int) and not origin.has(loc):  # one value in place of a list
        loc = loc[:-1]
    place, beside = loc, (*prefix, problem.beside)
    if problem.wording.got and not origin.has(loc):
        inherited = origin.inherits(loc)
        if problem.beside and (origin.has(beside) or not inherited):
            place = beside
        if not inherited:
            text += " by default"
        elif place is beside:
            text += " from defaults"
    return f"{origin.where(place, key=problem.at_key)}: {_line(loc, text)}"


def _line(loc: Loc, text: str) -> str:
    return f"{dotted(loc)}: {text}" if loc else text


def _find(error: ValidationError, model: type[BaseModel]) -> Iterator[_Problem]:
    details = error.errors(include_url=False)
    # A misspelt key is not reported as missing, too.
    meant = {near for detail in details if detail["type"] == "extra_forbidden" for near in _meant(detail["loc"], model)}
    incomplete = {detail["loc"][:-1] for detail in details if detail["type"] == "missing"}
    alternatives: dict[Loc, _Problem] = {}
    for detail in details:
        if (detail["type"] == "missing" and detail["loc"] in meant) or _is_consequence(detail):
            continue
        problem = _problem(detail, model, complete=detail["loc"][:-1] not in incomplete)
        first = alternatives.setdefault(problem.loc, problem)
        if first is not problem and first.wording.rule != problem.wording.rule:  # the other types that a union accepts
            rule = f"{first.wording.rule} or {problem.wording.rule.removeprefix('must ')}"
            alternatives[problem.loc] = first._replace(wording=first.wording._replace(rule=rule))
    yield from alternatives.values()


def _problem(detail: ErrorDetails, model: type[BaseModel], *, complete: bool) -> _Problem:
    """Return the error. `complete` is true if no sibling of this key is missing."""
    loc, annotation = _resolve(model, detail["loc"])
    if detail["type"] == "extra_forbidden":
        key, known = str(loc[-1]), _keys(model, loc[:-1])
        if complete and closest(key, known) is None and _is_instance(_model_at(model, loc[:-1])):
            what = "; the plugin's own keys belong under options"
        else:
            what = hint(key, known)
        return _Problem(loc, Wording(f"unknown key{what}", ""), at_key=True)
    wording = word(detail, hidden=annotation is None or is_secret(annotation))
    if detail["type"] in {"model_type", "model_attributes_type"} and _is_instance(annotation):
        wording = wording._replace(rule="must be a mapping of plugin and options")
    if detail["type"] == "missing" and _has_twin(model, loc):
        wording = wording._replace(rule=f"is required, or {loc[-1]}_file in its place")
    if detail["type"] == "secret_file":
        loc = (*loc[:-1], f"{loc[-1]}_file")
    elif detail["type"] == "file_of_secret":
        loc = (*loc, "file")
    at_key = detail["loc"][-1:] == ("[key]",)
    return _Problem(loc, wording, at_key, detail.get("ctx", {}).get("beside", ""))


def _is_instance(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, InstanceSettings)


def _is_consequence(detail: ErrorDetails) -> bool:
    """Return whether a list is too short only because its invalid items were left out of it."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


def _meant(loc: Loc, model: type[BaseModel]) -> Iterator[Loc]:
    """Yield the keys that an unknown key probably stands for."""
    parent = loc[:-1]
    near = closest(str(loc[-1]), _keys(model, _resolve(model, parent)[0]))
    if near is not None:
        yield (*parent, near)
        yield (*parent, near.removesuffix("_file"))


def _keys(model: type[BaseModel], loc: Loc) -> list[str]:
    """Return the keys of the model at the end of the path, including the file variants of secrets."""
    owner = _model_at(model, loc)
    fields = owner.model_fields if owner is not None else {}
    return [*fields, *(f"{name}_file" for name, field in fields.items() if has_file_twin(field))]


def _has_twin(model: type[BaseModel], loc: Loc) -> bool:
    owner = _model_at(model, loc[:-1])
    return owner is not None and has_file_twin(owner.model_fields[str(loc[-1])])


def _resolve(model: type[BaseModel], loc: Sequence[str | int]) -> tuple[Loc, Any]:
    """Return the path as it is in the file, and the annotation expected there, which is None if it is unknown.

    Pydantic's path also names which member of a union it tried, and marks errors in keys.
    """
    way: list[str | int] = []
    annotation: Any = model
    labelled = False
    for part in loc:
        if part == "[key]":
            continue
        if not labelled and len(_alternatives(annotation)) > 1:
            labelled = True
            continue
        labelled = False
        annotation = _step(annotation, part)
        way.append(part)
    return tuple(way), annotation


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    annotation: Any = model
    for part in loc:
        annotation = _step(annotation, part)
    return next(
        (part for part in _alternatives(annotation) if isinstance(part, type) and issubclass(part, BaseModel)), None
    )


def _step(annotation: Any, part: str | int) -> Any:
    """Return the annotation one step down: a model's field, a mapping's value, or a list's item."""
    for option in _alternatives(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            field = option.model_fields.get(str(part))
            if field is not None:
                return field.annotation
        elif arguments := get_args(option):
            return arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]
    return None


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in {Union, UnionType}:
        return [part for part in get_args(annotation) if part is not type(None)]
    if hasattr(annotation, "__metadata__"):
        return _alternatives(annotation.__origin__)
    return [annotation]
