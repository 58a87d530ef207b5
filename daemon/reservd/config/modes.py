"""Reads the mode files and checks that what they name exists."""

import glob
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pydantic import ValidationError

from reservd.config.accounts import Holding, find_disagreements, identify, resolve_holdings
from reservd.config.document import Document, Loc, read_document
from reservd.config.instances import Instances, configured_names
from reservd.config.misspelt_keys import find_misspelt_keys
from reservd.config.mode import OWN_KEYS, PREFIX, ModeConfig, ModeDefaults
from reservd.config.mode_document import ModeDocument
from reservd.config.problems import Problems, explain
from reservd.config.wording import closest, nearest, show
from reservd.errors import ConfigError
from reservd.plugin.interfaces import BalanceSource
from reservd.reserve.identity import AccountKey

_REFERENCES = {
    "reserve_balance_sources": ("balance_sources", "a balance source", True),
    "reserve_equity_source": ("equity_sources", "an equity source", True),
    "reserve_event_sinks": ("event_sinks", "an event sink", False),
    "reserve_replenisher": ("replenishers", "a replenisher", False),
}
"""The kind of instance that each key names, its description, and whether a mode must name one."""

_ENDINGS = {".yaml": ".yml", ".yml": ".yaml"}


@dataclass(frozen=True)
class ModeFile:
    """A mode and its file."""

    document: ModeDocument
    config: ModeConfig


def _find_closed_folders(pattern: str, root: Path) -> Iterator[tuple[str, str]]:
    """Yield each folder in which a pattern looks for names and which cannot be listed, with the reason.

    `glob` passes over such a folder in silence, and the modes in it would not be watched.
    """
    for part in (PurePath(pattern), *PurePath(pattern).parents):
        if not glob.has_magic(part.name):
            continue
        where = part if part.name == "**" else part.parent
        for name in glob.glob(f"{where}/", root_dir=root, recursive=True):  # noqa: PTH207  # absolute patterns too
            try:
                os.scandir(root / name).close()
            except OSError as error:
                yield name.rstrip("/"), str(error.strerror)


def _end_otherwise(pattern: str) -> str | None:
    """Return the pattern of files that differ in how YAML is spelt at the end; None for the name of one file."""
    ending = PurePath(pattern).suffix
    other = _ENDINGS.get(ending) if glob.has_magic(pattern) else None
    return None if other is None else pattern.removesuffix(ending) + other


def _file_type(path: Path) -> int:
    """Return the type bits of a file's mode; 0 if it cannot be looked at, so that reading it says why."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except OSError:
        return 0


def find_ignored_keys(document: ModeDocument) -> list[str]:
    """Return a line for each key of a mode file that is ignored but probably misspelt."""
    lines = Problems()
    for key, meant in find_misspelt_keys(document.passed_over):
        lines.at(document, (key,), f"is ignored, as it is not a {PREFIX}* key; did you mean {meant}?", key=True)
    return lines


class ModeLoader:
    """Reads mode files.

    Args:
        main: `reservd.yaml`.
        defaults: Values for keys that mode files leave out.
        instances: The instances that could be built.
        problems: Collects the errors.
    """

    def __init__(self, main: Document, defaults: Mapping[str, Any], instances: Instances, problems: Problems) -> None:
        self._main = main
        self._defaults = dict(defaults)
        self._problems = problems
        self._sources = {
            name: source for name, source in instances["balance_sources"].items() if isinstance(source, BalanceSource)
        }
        self._configured = configured_names(main)
        self._modes: dict[str, ModeFile] = {}
        self.overlooked = Problems()
        """A line for each file that is probably a mode's, but that no pattern matches."""

    def load(self, patterns: Iterable[str]) -> dict[str, ModeFile]:
        """Return the valid modes, by name.

        Args:
            patterns: Mode files or patterns of them, relative to the main file.
        """
        for path in self._find(patterns):
            self._read(path)
        self._check_defaults()
        self._check_accounts()
        return self._modes

    def _find(self, patterns: Iterable[str]) -> Iterable[Path]:
        folder = self._main.path.parent
        found: dict[Path, None] = {}
        others: list[tuple[Loc, str]] = []
        patterns = tuple(patterns)
        for index, pattern in enumerate(patterns):
            matches = self._match(pattern)
            loc: Loc = ("modes", index) if self._main.has(("modes", index)) else ("modes",)
            closed = list(_find_closed_folders(pattern, folder))
            for name, why in closed:
                self._problems.at(self._main, loc, f"the folder '{name}' cannot be read: {why}")
            other = _end_otherwise(pattern)
            if other is not None:
                others.append((loc, other))
            if not matches and not closed:
                hint = f"; did you mean {other}?" if other and other not in patterns and self._match(other) else ""
                self._problems.at(self._main, loc, f"must match a mode file, got {show(pattern)}{hint}")
            found.update(dict.fromkeys(path for path in matches if self._is_file(path, loc)))
        self._tell_overlooked(found, others)
        return found

    def _is_file(self, path: Path, loc: Loc) -> bool:
        """Return whether a match can be read, as far as one can see; report what is no file."""
        kind, inside = _file_type(path), self._relative(path)
        if stat.S_ISDIR(kind):
            message = f"must match files only, got the folder '{inside}': try {inside}/*.yaml"
            self._problems.at(self._main, loc, message)
        elif kind and not stat.S_ISREG(kind):  # reading a pipe would wait for ever
            message = f"must match files only, got '{inside}', which is a pipe, socket or device"
            self._problems.at(self._main, loc, message)
        return kind in (0, stat.S_IFREG)

    def _tell_overlooked(self, found: Collection[Path], others: Iterable[tuple[Loc, str]]) -> None:
        """Note each file once that a pattern would match but for the spelling of its ending."""
        overlooked: dict[Path, Loc] = {}
        for loc, other in others:
            for path in self._match(other):
                if path not in found and _file_type(path) == stat.S_IFREG:
                    overlooked.setdefault(path, loc)
        for path, loc in overlooked.items():
            self.overlooked.at(self._main, loc, f"'{self._relative(path)}' is not read: no pattern matches it")

    def _match(self, pattern: str) -> list[Path]:
        folder = self._main.path.parent
        names = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207  # absolute patterns too
        return [path for path in map(folder.joinpath, sorted(names)) if path != self._main.path]

    def _relative(self, path: Path) -> Path:
        folder = self._main.path.parent
        return path.relative_to(folder) if path.is_relative_to(folder) else path

    def _read(self, path: Path) -> None:
        try:
            document = read_document(path, OWN_KEYS, PREFIX)
        except ConfigError as error:
            self._problems += error.problems
            return
        self._problems += document.problems
        layered = ModeDocument(document, self._main, self._defaults)
        before = len(self._problems)
        self._add(layered)
        if len(self._problems) > before:
            self._problems += find_ignored_keys(layered)  # such a key may be what is missing

    def _add(self, layered: ModeDocument) -> None:
        self._check_references(layered)
        try:
            config = ModeConfig.model_validate(layered.values)
        except ValidationError as error:
            self._problems += explain(error, ModeConfig, layered)
            return
        if config.mode in self._modes:
            first = self._modes[config.mode].document.where(("mode",))
            self._problems.at(layered, ("mode",), f"must be unique, is at {first} already, got {show(config.mode)}")
            return
        self._modes[config.mode] = ModeFile(layered, config)

    def _check_defaults(self) -> None:
        """Check what mode files may leave out, also where none does."""
        try:
            ModeDefaults.model_validate(self._defaults)
        except ValidationError as error:
            left_out = ModeDocument(Document(self._main.path), self._main, self._defaults)
            self._problems += explain(error, ModeConfig, left_out)

    def _check_references(self, document: ModeDocument) -> None:
        """Check that what the mode names exists, even when the rest of the file is wrong."""
        misspelt = {closest(key, ModeConfig.model_fields) for key in document.values.keys() - ModeConfig.model_fields}
        for key, (kind, what, required) in _REFERENCES.items():
            value = document.values.get(key)
            if required and value in (None, []) and key not in misspelt:
                self._problems.at(document, (key,), f"must name {what}")
            places: list[tuple[Loc, Any]] = (
                [((key, index), each) for index, each in enumerate(value)] if isinstance(value, list) else []
            )
            for loc, reference in places or [((key,), value)]:
                if not isinstance(reference, str) or not reference:
                    continue
                name = reference.partition("/")[0] if kind == "balance_sources" else reference
                if self._lacks(kind, name):
                    hint = nearest(name, self._configured[kind] or ())
                    self._problems.at(document, loc, f"must name {what}, got {show(name)}{hint}")

    def _lacks(self, kind: str, name: str) -> bool:
        """Return whether no instance of that name is configured, not even a broken one."""
        known = self._configured[kind]
        return isinstance(known, dict) and name not in known

    def _check_accounts(self) -> None:
        """Check that each mode's accounts exist, and that modes that share one agree how it is split."""
        sharers: dict[AccountKey, tuple[Holding, dict[str, ModeConfig]]] = {}
        identities = identify(self._sources)
        for name, file in self._modes.items():
            holdings, problems = resolve_holdings(file.config, self._sources, identities)
            for index, message in problems:
                source = file.config.reserve_balance_sources[index].partition("/")[0]
                if source in self._sources:  # otherwise it is broken or missing, which was reported already
                    self._problems.at(file.document, ("reserve_balance_sources", index), message)
            for holding in holdings:
                sharers.setdefault(holding.key, (holding, {}))[1][name] = file.config
        told: set[tuple[str, str]] = set()
        for holding, configs in sharers.values():
            for mode, option, message in find_disagreements(holding, configs):
                if (mode, option) not in told:  # once, however many accounts they share
                    told.add((mode, option))
                    document, loc = self._modes[mode].document, (option,)
                    said = document.has(loc) or document.inherits(loc)
                    place = document.where(loc if said else ("reserve_balance_sources",))
                    self._problems.append(f"{place}: {option}: {message}")
