"""Contract tests for the authors of plugins. They need `pytest` and `pytest-asyncio`.

Subclass the contract of each class that your plugin registers, say which class it is, and give
options with which it works; pytest collects the contract's tests under your class:

    import pytest
    from reservd.plugin.testing import BalanceSourceContract
    from reservd_acme.source import AcmeSource

    class TestAcmeSource(BalanceSourceContract):
        plugin_class = AcmeSource

        @pytest.fixture
        def options(self, acme_server):
            return {"url": acme_server.url, "timeout": 5}

The fixture `options` may ask for other fixtures, so let it start what the plugin talks to: the
tests make real calls. Relative paths in the options start at pytest's `tmp_path`. The package must
be installed (`pip install -e .`), because the host finds the class as it does in the daemon.
"""

from reservd.plugin.examples import example_event, example_request
from reservd.plugin.testing.outputs import EventSinkContract, ReplenisherContract
from reservd.plugin.testing.sources import BalanceSourceContract, EquitySourceContract, PriceSourceContract

__all__ = [
    "BalanceSourceContract",
    "EquitySourceContract",
    "EventSinkContract",
    "PriceSourceContract",
    "ReplenisherContract",
    "example_event",
    "example_request",
]
