"""Reads YAML with the line and column of every key and value, exact numbers, and no duplicate keys."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ClassVar

import yaml

from reservd.errors import ConfigError

Loc = tuple[str | int, ...]
"""The path to a value: keys and indexes from the top."""

_MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 50
_MAX_NODES = 200_000
_MAX_NUMBER_LENGTH = 150
_MAX_EXPONENT = 400
"""Beyond every float and far beyond every amount; a larger whole number would fill the memory."""
_TOO_MUCH = f"must have at most {_MAX_DEPTH} levels and {_MAX_NODES:,} values, those that anchors repeat included"


class _CoreLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # typed as Any
    """Tags plain scalars by the core schema of YAML 1.2, and merge keys, which that schema leaves out."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


_NULL, _BOOL, _INT, _FLOAT, _MERGE = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "merge"))
for _tag, _pattern, _first in (
    (_NULL, r"(~|null|Null|NULL|)", ["~", "n", "N", ""]),
    (_BOOL, r"(true|True|TRUE|false|False|FALSE)", list("tTfF")),
    (_INT, r"[-+]?[0-9]+", list("-+0123456789")),
    (_FLOAT, r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    (_FLOAT, r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))", list("-+.")),
    (_MERGE, r"<<", ["<"]),
):
    _CoreLoader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z", re.ASCII), _first)


@dataclass
class Document:
    """One YAML file: a mapping, and the place of each part of it.

    Scalars follow the core schema of YAML 1.2: `0x…` addresses, dates and `yes` stay text, and a number is an `int` or
    a `Decimal` made from its text.
    """

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    """The top-level keys that belong to other programs."""
    _places: dict[Loc, tuple[int, int]] = field(default_factory=dict)
    _key_places: dict[Loc, tuple[int, int]] = field(default_factory=dict)

    def where(self, loc: Loc = (), *, key: bool = False) -> str:
        """Return `file:line:column` of a value or of its key; of the nearest existing parent if it is missing."""
        places = self._key_places if key and loc in self._key_places else self._places
        while loc and loc not in places:
            loc, places = loc[:-1], self._places
        line, column = places.get(loc, (1, 1))
        return f"{self.path}:{line}:{column}"

    def has(self, loc: Loc) -> bool:
        """Return whether the file sets that value."""
        return loc in self._places

    def inherits(self, loc: Loc) -> bool:
        """Return whether another file sets that value in place of this one. None does."""
        del loc
        return False


def read_document(path: Path, only: Iterable[str] | None = None, prefix: str | None = None) -> Document:
    """Read a YAML file.

    Args:
        path: The file.
        only: With `prefix`: the top-level keys to read. All others belong to other programs and are not even parsed.
            None to read all.
        prefix: Keys with this prefix are read as well.

    Returns:
        The file, with errors in its keys as its `problems`. The rest of it is present, so that all other errors can be
        reported at the same time.

    Raises:
        ConfigError: If it cannot be read, is not YAML, or is not a mapping.
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
        got = "an empty file" if root is None else "a list" if isinstance(root, yaml.SequenceNode) else "plain text"
        raise ConfigError(f"{path}:1:1: must be a YAML mapping, got {got}")
    wanted = None if only is None else frozenset(only)
    document = Document(path)
    converter = _Converter(
        document, lambda key: wanted is None or key in wanted or (prefix is not None and key.startswith(prefix))
    )
    document.values = converter.convert(root, ())
    return document


def _compose(path: Path, content: bytes) -> yaml.Node | None:
    loader = None
    try:
        _refuse_depth(path, content)
        loader = _CoreLoader(content)
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}:1:1"
        what = ", ".join(part for part in (error.context, error.problem) if part)
        begins_with_tab = mark and any(line.lstrip(b" ")[:1] == b"\t" for line in content.split(b"\n")[mark.line :][:1])
        if begins_with_tab and " tab " not in what:
            what += ": a tab, where only spaces indent"
        raise ConfigError(f"{place}: must be YAML: {what}") from None
    except yaml.reader.ReaderError as error:
        before = content[: error.position]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise ConfigError(f"{path}:{line}:{column}: must be YAML: {error.reason}") from None
    finally:
        if loader is not None:
            loader.dispose()
    return node


def _refuse_depth(path: Path, content: bytes) -> None:
    """Refuse deep nesting event by event: libyaml composes recursively and would overflow the stack."""
    depth = 0
    for event in yaml.parse(content, _CoreLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            mark: Any = event.start_mark
            raise ConfigError(f"{path}:{mark.line + 1}:{mark.column + 1}: {_TOO_MUCH}")


class _Converter:
    """Turns nodes into values, and records their places."""

    def __init__(self, document: Document, wanted: Callable[[str], bool]) -> None:
        self.document = document
        self.wanted = wanted
        self.nodes = 0

    def convert(self, node: yaml.Node, loc: Loc) -> Any:
        self.document._places[loc] = _place(node)  # noqa: SLF001  # the converter fills the document
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, loc)
        self._count(node, len(loc))
        if isinstance(node, yaml.SequenceNode):
            return [self.convert(item, (*loc, index)) for index, item in enumerate(node.value)]
        return _scalar(node)

    def mapping(self, node: yaml.MappingNode, loc: Loc, merges: int = 0) -> dict[str, Any]:
        self._count(node, len(loc) + merges)
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged = {**self._merged(value_node, loc, merges + 1), **merged}
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                if loc or self.wanted(""):
                    self._problem(key_node, loc, "a key must be text")
                continue
            key = str(key_node.value)
            if not loc and not self.wanted(key):
                self.document.passed_over.append(key)
                self.document._key_places[key,] = _place(key_node)  # noqa: SLF001  # as above
                continue
            if key in result:
                line = self.document._key_places[*loc, key][0]  # noqa: SLF001  # as above
                self._problem(key_node, (*loc, key), f"must be given once, is on line {line} already")
                continue
            self.document._key_places[*loc, key] = _place(key_node)  # noqa: SLF001  # as above
            result[key] = self.convert(value_node, (*loc, key))
        return {**merged, **result}

    def _merged(self, node: yaml.Node, loc: Loc, merges: int) -> dict[str, Any]:
        """Return the mapping that `<<` merges. If several mappings have a key, the first one wins."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for part in reversed(parts):
            if isinstance(part, yaml.MappingNode):
                merged |= self.mapping(part, loc, merges)
            else:
                self._problem(part, (*loc, "<<"), "must be a mapping, or a list of them")
        return merged

    def _count(self, node: yaml.Node, depth: int) -> None:
        """Refuse a document that is too deep or too large: anchors can make a small file endless."""
        self.nodes += 1
        if depth > _MAX_DEPTH or self.nodes > _MAX_NODES:
            line, column = _place(node)
            raise ConfigError(f"{self.document.path}:{line}:{column}: {_TOO_MUCH}")

    def _problem(self, node: yaml.Node, loc: Loc, message: str) -> None:
        line, column = _place(node)
        key = dotted(loc)
        self.document.problems.append(f"{self.document.path}:{line}:{column}: {key}{': ' if key else ''}{message}")


def dotted(loc: Loc) -> str:
    """Return the path to a value as people write it: `web.listen_address[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if node.tag == _NULL:
        return None
    if node.tag == _BOOL and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if node.tag in {_INT, _FLOAT} and len(text) <= _MAX_NUMBER_LENGTH:
        return _number(text, whole=node.tag == _INT)
    return text


def _number(text: str, *, whole: bool) -> int | Decimal | str:
    """Return the number, or the text itself if it is not a usable number."""
    try:
        if whole:
            return int(text)
        number = Decimal(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except (InvalidOperation, ValueError):
        return text
    return text if number.is_finite() and abs(number.adjusted()) > _MAX_EXPONENT else number
