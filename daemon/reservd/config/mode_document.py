"""A mode file on top of the `defaults` of `reservd.yaml`."""

from typing import Any

from reservd.config.document import Document, Loc


class ModeDocument:
    """A mode file, completed with the `defaults` of the main file.

    Attributes:
        values: The merged values.
        passed_over: The keys of the mode file that belong to the strategy engine.
    """

    def __init__(self, document: Document, main: Document, defaults: dict[str, Any]) -> None:
        self._document = document
        self._main = main
        self._defaults = defaults
        self.values: dict[str, Any] = {**defaults, **document.values}
        self.passed_over = document.passed_over

    def where(self, loc: Loc = (), *, key: bool = False) -> str:
        """Return `file:line:column` of a value, or of its key, in the file that sets it."""
        if self.inherits(loc):
            return self._main.where(("defaults", *loc), key=key)
        return self._document.where(loc, key=key)

    def has(self, loc: Loc) -> bool:
        """Return whether the mode file itself sets it."""
        return self._document.has(loc)

    def inherits(self, loc: Loc) -> bool:
        """Return whether `defaults` set it and the mode file does not."""
        return loc[:1] != () and loc[0] in self._defaults and not self._document.has(loc[:1])
