"""What a test does when a part that it needs is not installed."""

import os
from typing import NoReturn

import pytest


def missing(what: str, *, how: str) -> NoReturn:
    """Skip the test, with one line; fail it if `RESERVD_REQUIRE_ALL=1`, as in CI.

    Args:
        what: The part, such as "anvil".
        how: How to install it, such as "make test installs it".
    """
    reason = f"{what} is missing: {how}"
    if os.environ.get("RESERVD_REQUIRE_ALL") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
