"""YAML with the line and column of every key and value, numbers exact, duplicate keys refused."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from reservd.errors import ConfigError

Loc = tuple[str | int, ...]
"""The way to a value: keys and indexes from the top."""

_MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 50
_MAX_NODES = 200_000
_MAX_NUMBER_LENGTH = 150
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": Decimal("NaN"), ".NaN": Decimal("NaN"), ".NAN": Decimal("NaN"),
    ".inf": Decimal("Infinity"), "-.inf": Decimal("-Infinity"), "+.inf": Decimal("Infinity"),
}  # fmt: skip
_STR_TAG = "tag:yaml.org,2002:str"
_MERGE_TAG = "tag:yaml.org,2002:merge"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Document:
    """One YAML file: a mapping, and where each part of it stands.

    Scalars follow YAML 1.2's core schema: `0x…` addresses, dates and `yes` stay text, and a number
    is an `int` or a `Decimal` made from its text.
    """

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _places: dict[Loc, tuple[int, int]] = field(default_factory=dict)
    _key_places: dict[Loc, tuple[int, int]] = field(default_factory=dict)

    def where(self, loc: Loc = (), *, key: bool = False) -> str:
        """Return `file:line:column` of a value, or of its key; of the nearest part that is there."""
        places = self._key_places if key and loc in self._key_places else self._places
        while loc and loc not in places:
            loc, places = loc[:-1], self._places
        line, column = places.get(loc, (1, 1))
        return f"{self.path}:{line}:{column}"

    def has(self, loc: Loc) -> bool:
        """Whether the file says something there."""
        return loc in self._places


def read_document(path: Path, only: Iterable[str] | None = None, prefix: str | None = None) -> Document:
    """Read a YAML file.

    Args:
        path: The file.
        only: With `prefix`: the top-level keys wanted; all others belong to somebody else and are
            not even looked at. None: all.
        prefix: Keys that begin so are wanted as well.

    Raises:
        ConfigError: If it cannot be read, is not YAML, is not a mapping, or has a key twice.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path}: must be at most {_MAX_BYTES} bytes")
    root = _compose(path, content)
    if not isinstance(root, yaml.MappingNode):
        got = "an empty file" if root is None else "a list" if isinstance(root, yaml.SequenceNode) else "one value"
        raise ConfigError(f"{path}:1:1: must be a YAML mapping, got {got}")
    if only is not None:
        wanted = set(only)
        root.value = [
            (key, value)
            for key, value in root.value
            if key.tag == _MERGE_TAG or key.value in wanted or (prefix and str(key.value).startswith(prefix))
        ]
    document = Document(path)
    document.values = _Converter(document).mapping(root, ())
    if document.problems:
        raise ConfigError(document.problems)
    return document


def _compose(path: Path, content: bytes) -> yaml.Node | None:
    loader = None
    try:
        loader = _LOADER(content)
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}:1:1"
        raise ConfigError(f"{place}: must be YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}:1:1: must be YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ConfigError(f"{path}:1:1: must not be nested so deeply") from None
    finally:
        if loader is not None:
            loader.dispose()
    return node


class _Converter:
    """Turns nodes into values and notes where they stand."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def convert(self, node: yaml.Node, loc: Loc) -> Any:
        self.document._places[loc] = _place(node)  # noqa: SLF001  # the converter fills the document
        self.nodes += 1
        if len(loc) > _MAX_DEPTH or self.nodes > _MAX_NODES:
            # Anchors can make a small file endless.
            line, column = _place(node)
            raise ConfigError(f"{self.document.path}:{line}:{column}: must not be nested so deeply or be so large")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item, (*loc, index)) for index, item in enumerate(node.value)]
        return _scalar(node)

    def mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        self.document._places[loc] = _place(node)  # noqa: SLF001  # as above
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE_TAG:
                parts = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for part in parts:
                    if isinstance(part, yaml.MappingNode):
                        merged = {**self.mapping(part, loc), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, loc, "a key must be text")
                continue
            key = str(key_node.value)
            if key in result:
                line = self.document._key_places[*loc, key][0]  # noqa: SLF001  # as above
                self._problem(key_node, (*loc, key), f"must be given once, is on line {line} already")
                continue
            self.document._key_places[*loc, key] = _place(key_node)  # noqa: SLF001  # as above
            result[key] = self.convert(value_node, (*loc, key))
        return {**merged, **result}

    def _problem(self, node: yaml.Node, loc: Loc, message: str) -> None:
        line, column = _place(node)
        key = ".".join(map(str, loc))
        self.document.problems.append(f"{self.document.path}:{line}:{column}: {key}{': ' if key else ''}{message}")


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if getattr(node, "style", None) or node.tag == _STR_TAG:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _MAX_NUMBER_LENGTH:
        return text
    if _INT.fullmatch(text):
        return int(text)
    try:
        return Decimal(text) if _FLOAT.fullmatch(text) else text
    except InvalidOperation:  # an exponent beyond all decimals
        return text
