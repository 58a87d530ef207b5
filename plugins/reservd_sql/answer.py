"""The result of a statement."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """The names of the columns, and the rows in that order."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
