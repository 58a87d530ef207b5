"""Instances that build on each other: checks what they name, and connects them in order."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from reservd.config.document import Document
from reservd.config.instances import configured_names
from reservd.config.problems import Problems
from reservd.config.wording import nearest, show
from reservd.plugin.composition import BalanceReference, Composite, Readers, Reference, Way, references_in
from reservd.plugin.interfaces import Plugin
from reservd.plugin.redact import Redactor

Instances = Mapping[str, Mapping[str, Plugin[Any]]]
"""By kind and name."""
_Place = tuple[str, str]
"""Kind and name of an instance."""

_WHAT = {
    "balance_sources": "a balance source",
    "equity_sources": "an equity source",
    "price_sources": "a price source",
}


class Misreference(NamedTuple):
    """An error in what an instance builds on."""

    kind: str
    name: str
    way: Way
    """The path to the option from the instance's options; empty when no single option is wrong."""
    message: str


def connect_all(
    instances: Instances, readers: Readers, configured: Mapping[str, Collection[str] | None] | None = None
) -> list[Misreference]:
    """Connect instances that build on others. What an instance builds on is connected first.

    Args:
        instances: The instances that could be built.
        readers: Provides what they read.
        configured: The configured names of each kind, including those that could not be built, whose errors were
            reported already. A kind is None if its names are not known. Defaults to the names of the instances.

    Returns:
        The errors. No instance that depends on a faulty one is connected.
    """
    known = instances if configured is None else configured
    problems = list(_unknown(instances, known))
    if problems:
        return problems
    order = _Order(instances)
    for kind, name in order.places:
        plugin = instances[kind][name]
        if isinstance(plugin, Composite) and order.is_whole((kind, name)):
            try:
                plugin.connect(readers)
            except ValueError as error:
                order.problems.append(Misreference(kind, name, (), str(error)))
            except Exception as error:  # noqa: BLE001  # the border to plugins
                text = Redactor(plugin.config)(" ".join(f"{type(error).__name__}: {error}".split()))
                order.problems.append(Misreference(kind, name, (), f"the plugin failed: {text}"))
    return order.problems


def connect_configured(instances: Instances, main: Document, problems: Problems) -> None:
    """Connect the instances of a configuration file, and add the errors to its problems."""
    built: Any = instances
    readers = Readers(built["balance_sources"], built["equity_sources"], built["price_sources"])
    names = {kind: names if isinstance(names, dict) else None for kind, names in configured_names(main).items()}
    for kind, name, way, message in connect_all(instances, readers, names):
        problems.at(main, (kind, name, "options", *way), message)


def referred(instances: Instances) -> Mapping[str, frozenset[str]]:
    """Return the names of the instances that other instances build on, by kind."""
    plugins = [plugin for named in instances.values() for plugin in named.values()]
    found = [reference for plugin in plugins for _, reference in _references(plugin)]
    return {kind: frozenset(each.instance for each in found if kind == each.KIND) for kind in instances}


def _unknown(instances: Instances, configured: Mapping[str, Collection[str] | None]) -> Iterator[Misreference]:
    """Yield the references to instances that do not exist."""
    for kind, named in instances.items():
        for name, plugin in named.items():
            for way, reference in _references(plugin):
                message = _why_unknown(reference, instances, configured)
                if message:
                    yield Misreference(kind, name, way, message)


def _references(plugin: Plugin[Any]) -> Iterator[tuple[Way, Reference]]:
    # Only composites have references. The options of the others, perhaps thousands of accounts, are not searched.
    return references_in(plugin.config) if isinstance(plugin, Composite) else iter(())


def _why_unknown(reference: Reference, instances: Instances, configured: Mapping[str, Collection[str] | None]) -> str:
    target = instances[reference.KIND].get(reference.instance)
    if target is None:
        known = configured[reference.KIND]
        if known is None or reference.instance in known:
            return ""
        return f"must name {_WHAT[reference.KIND]}, got {show(reference.instance)}{nearest(reference.instance, known)}"
    if isinstance(reference, BalanceReference) and reference.account:
        accounts: Mapping[str, object] = target.accounts  # type: ignore[attr-defined]  # it is a balance source
        if reference.account not in accounts:
            hint = nearest(reference.account, accounts)
            return f"must name an account of '{reference.instance}', got {show(reference.account)}{hint}"
    return ""


class _Order:
    """Instances in the order in which they can be connected, and the cycles among them.

    Attributes:
        places: All instances. Each comes after those that it builds on.
        problems: The cycles.
    """

    def __init__(self, instances: Instances) -> None:
        self.places: list[_Place] = []
        self.problems: list[Misreference] = []
        self._instances = instances
        self._whole: dict[_Place, bool] = {}
        for kind, named in instances.items():
            for name in named:
                self._visit((kind, name), ())

    def is_whole(self, place: _Place) -> bool:
        """Return whether everything that an instance builds on was built, without a cycle back to it."""
        return self._whole[place]

    def _visit(self, place: _Place, above: tuple[_Place, ...]) -> bool:
        if place in self._whole:
            return self._whole[place]
        kind, name = place
        if name not in self._instances[kind]:
            return False
        whole = True
        for way, reference in _references(self._instances[kind][name]):
            below = (reference.KIND, reference.instance)
            path = (*above, place)
            if below in path:
                circle = " -> ".join([each for _, each in path[path.index(below) :]] + [below[1]])
                self.problems.append(Misreference(kind, name, way, f"must not build on itself: {circle}"))
                whole = False
            elif not self._visit(below, path):
                whole = False
        self._whole[place] = whole
        self.places.append(place)
        return whole
