"""Finds the treasury that several instances share, by its name, within the process."""

from weakref import WeakValueDictionary

from reservd_paper.treasury import Treasury, TreasuryPlan

# A treasury lives as long as the balance source that defines it.
_TREASURIES: WeakValueDictionary[str, Treasury] = WeakValueDictionary()


class UnknownTreasuryError(LookupError):
    """No balance source defines a treasury of this name."""


def describe(name: str, plan: TreasuryPlan) -> Treasury:
    """Return the treasury of this name; a new one unless the existing one has the same plan."""
    treasury = _TREASURIES.get(name)
    if treasury is None or treasury.plan != plan:
        treasury = _TREASURIES[name] = Treasury(plan)
    return treasury


def find(name: str) -> Treasury:
    """Return the treasury of this name.

    Raises:
        UnknownTreasuryError: If there is none.
    """
    treasury = _TREASURIES.get(name)
    if treasury is None:
        raise UnknownTreasuryError(f"no paper balance source describes the treasury '{name}'")
    return treasury
