"""One of three nodes of a chain is killed and comes back: only the metric for that endpoint changes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.chain import Anvil
from support.daemon import ReservdProcess
from support.nodes import nodes_like
from support.polling import wait_until
from support.scrape import page

WALLET = f"0x{0xFA17:040x}"
NAMES = ("own-node", "provider", "spare")
MODE = """\
mode: staking
share_class: ETH
reserve_ratio: 0.1
reserve_monitoring_interval: 0.2
reserve_balance_sources: [treasury]
reserve_equity_source: nav
"""
ENDPOINT_UP = "reservd_source_endpoint_up"
_PATIENCE_SECONDS = 60.0


@pytest.fixture
def nodes(chain: Anvil) -> Iterator[list[Anvil]]:
    """Three nodes of one chain, on which the wallet has 5 ether."""
    chain.install_multicall()
    chain.transfer_ether(WALLET, 5 * 10**18)
    with nodes_like(chain, len(NAMES) - 1) as others:
        yield [chain, *others]


def configure(folder: Path, nodes: list[Anvil], **more: object) -> Path:
    """Write the configuration of a daemon that reads the wallet through all nodes."""
    options = {
        "rpc_urls": [{"name": name, "url": node.url} for name, node in zip(NAMES, nodes, strict=True)],
        "chain_id": 31337,
        "timeout": 30,
        "probe_interval": 0.5,
        "max_block_age": 3000,  # these nodes mine no blocks
        "assets": {"ETH": {"native": True}},
        "accounts": {"main": WALLET},
        **more,
    }
    settings = {
        "modes": "staking.yaml",
        "defaults": {"reserve_max_staleness": 3600},
        "balance_sources": {"treasury": {"plugin": "evm", "options": options}},
        "equity_sources": {"nav": {"plugin": "static", "options": {"amount": 50, "currency": "ETH"}}},
    }
    (folder / "staking.yaml").write_text(MODE)
    (folder / "reservd.yaml").write_text(json.dumps(settings))
    return folder / "reservd.yaml"


class Watcher:
    """Reads the metrics of a daemon; only those of endpoints may change."""

    def __init__(self, address: str) -> None:
        self._address = address
        # The first page after the first cycle may be rendered later than the daemon is ready.
        wait_until(
            lambda: self.value("reservd_store_up") == [1] and self.value("reservd_reserve_balance") == [5],
            "the first write and the first balance",
            timeout_seconds=_PATIENCE_SECONDS,
        )
        self._before = self._others()

    def endpoints(self) -> dict[str, float]:
        """Return which endpoints are up, and check that no gauge changed but times and the store's."""
        assert self._others() == self._before
        return {sample.labels["endpoint"]: sample.value for sample in self._samples(ENDPOINT_UP)}

    def value(self, name: str, source: str | None = None) -> list[float]:
        """Return the values of a metric, of one source if one is given."""
        return [sample.value for sample in self._samples(name) if source in {None, sample.labels.get("source")}]

    def _others(self) -> dict[str, float]:
        return {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for family in text_string_to_metric_families(page(self._address)[1])
            for sample in family.samples
            if family.type == "gauge"
            and family.name.startswith("reservd_")
            and not family.name.endswith("_timestamp_seconds")
            and not family.name.startswith("reservd_store_")  # a slow disk is no matter of nodes
            and family.name != ENDPOINT_UP
        }

    def _samples(self, name: str) -> list[Any]:
        return [
            sample
            for family in text_string_to_metric_families(page(self._address)[1])
            for sample in family.samples
            if sample.name == name
        ]


@pytest.mark.parametrize("quorum", [1, 2])
def test_nothing_changes_but_a_metric_when_one_of_three_nodes_is_killed_and_comes_back(
    nodes: list[Anvil], tmp_path: Path, quorum: int
) -> None:
    """Each node in turn, so that both the active one and those in reserve are killed."""
    up = dict.fromkeys(NAMES, 1.0)
    with ReservdProcess(configure(tmp_path, nodes, quorum=quorum)) as daemon:
        watcher = Watcher(daemon.address)
        assert watcher.value("reservd_reserve_balance") == [5]
        assert watcher.endpoints() == up
        for name, node in zip(NAMES, nodes, strict=True):
            node.stop()
            wait_until(
                lambda name=name: watcher.endpoints() == {**up, name: 0.0},
                f"{name} to be reported as down",
                timeout_seconds=_PATIENCE_SECONDS,
            )
            node.start()
            wait_until(
                lambda: watcher.endpoints() == up,
                f"{name} to be reported as up again",
                timeout_seconds=_PATIENCE_SECONDS,
            )
        assert set(watcher.value("reservd_fetch_failures_total")) == {0}
        assert set(watcher.value("reservd_events_total")) == {0}
        assert not [node.url for node in nodes if node.url in daemon.log()]


def test_source_is_down_with_its_endpoints_when_all_nodes_are_killed_and_recovers(
    nodes: list[Anvil], tmp_path: Path
) -> None:
    """The status stays: a missing number is never zero."""
    with ReservdProcess(configure(tmp_path, nodes)) as daemon:
        watcher = Watcher(daemon.address)
        for node in nodes:
            node.stop()
        wait_until(
            lambda: watcher.value("reservd_source_up", "treasury") == [0] and watcher.value(ENDPOINT_UP) == [0, 0, 0],
            "the source to be reported as down",
            timeout_seconds=_PATIENCE_SECONDS,
        )
        assert watcher.value("reservd_reserve_balance") == [5]
        assert set(watcher.value("reservd_events_total")) == {0}
        for node in nodes:
            node.start()
        wait_until(
            lambda: watcher.value("reservd_source_up", "treasury") == [1] and watcher.value(ENDPOINT_UP) == [1, 1, 1],
            "the source and its endpoints to be reported as up again",
            timeout_seconds=_PATIENCE_SECONDS,
        )
