"""A whole story: a wallet on a real chain falls and is refilled, and all receivers are notified."""

import subprocess
import textwrap
import time
from decimal import Decimal
from pathlib import Path

from support.chain import Anvil
from support.daemon import PROGRAM, ReservdProcess
from support.polling import wait_until
from support.prometheus import Prometheus, require_prometheus, require_promtool
from support.receiver import SECRET, Receiver

WALLET = "0x00000000000000000000000000000000000000a1"
UNIT = 10**6
LABELS = 'mode="pure_lending",share_class="USDT"'
STALENESS_SECONDS = 10


def configure(directory: Path, chain: Anvil, token: str, receiver: Receiver, *, timeout_seconds: int = 2) -> Path:
    """Write the configuration of one mode that reads the node and the receiver, and return its path."""
    (directory / "secret").write_text(SECRET)
    (directory / "pure_lending.yaml").write_text(
        textwrap.dedent(f"""\
            mode: pure_lending
            share_class: USDT
            asset: USDT
            max_leverage: !engine 3        # the strategy engine's own
            reserve_ratio: 0.05
            reserve_currency: USDT
            reserve_monitoring_interval: 0.5
            reserve_max_staleness: {STALENESS_SECONDS}
            reserve_balance_sources: [treasury]
            reserve_equity_source: nav
            reserve_event_sinks: [ops]
            reserve_replenisher: unwinder
            """)
    )
    config = directory / "reservd.yaml"
    config.write_text(
        textwrap.dedent(f"""\
            modes: pure_lending.yaml
            balance_sources:
              treasury:
                plugin: evm
                options:
                  rpc_url: {chain.url}
                  chain_id: 31337
                  timeout: {timeout_seconds}
                  accounts: {{hot: {WALLET}}}
                  assets: {{USDT: {{token: {token}}}}}
            equity_sources:
              nav:
                plugin: http_json
                options:
                  url: "{receiver.url}/equity"
                  equity: $.nav.total
                  currency: $.nav.currency
                  timeout: {timeout_seconds}
            event_sinks:
              ops:
                plugin: webhook
                options: {{url: "{receiver.url}/events", secret_file: secret, allow_private_hosts: [127.0.0.1]}}
            replenishers:
              unwinder:
                plugin: webhook
                options: {{url: "{receiver.url}/refills", secret_file: secret, allow_private_hosts: [127.0.0.1]}}
            """)
    )
    return config


def stop(chain: Anvil) -> float:
    """Stop the node, and return the time."""
    chain.stop()
    return time.time()


def start_with_old_blocks(chain: Anvil, stopped_at: float) -> None:
    """Start the node once its last block, which the daemon may not have read, is too old to be believed."""
    wait_until(lambda: time.time() > stopped_at + STALENESS_SECONDS, "the last block to be too old")
    chain.start()


def restart_while_all_is_well(chain: Anvil, receiver: Receiver, prometheus: Prometheus) -> None:
    """Restart the node while the reserve is adequate: the mode becomes unknown, then adequate, and nothing else."""
    assert receiver.events == []
    stopped_at = stop(chain)
    blind = receiver.wait_for_event("reserve_unknown")
    assert (blind["previous_status"], blind["incident_id"]) == ("adequate", None)
    prometheus.wait_for(f'reservd_reserve_status{{{LABELS},status="unknown"}} == 1')
    assert prometheus.query(f"reservd_reserve_balance{{{LABELS}}}")[0].value == 60_000
    start_with_old_blocks(chain, stopped_at)
    seen = receiver.wait_for_event("reserve_adequate")
    assert (seen["previous_status"], seen["incident_id"]) == ("unknown", None)


def test_reserve_is_watched_from_fall_to_recovery_when_the_node_is_restarted_in_between(
    slow_chain: Anvil, tmp_path: Path
) -> None:
    """During the restart the mode is unknown, and afterwards as before: one incident, no false alarm."""
    require_prometheus()
    chain = slow_chain
    chain.install_multicall()
    token = chain.deploy_token(decimals=6)
    chain.transfer(token, WALLET, 60_000 * UNIT)
    with (
        Receiver() as receiver,
        ReservdProcess(configure(tmp_path, chain, token, receiver)) as daemon,
        Prometheus([daemon.address]) as prometheus,
    ):
        prometheus.wait_for(f'reservd_reserve_status{{{LABELS},status="adequate"}} == 1')
        prometheus.wait_for(f"reservd_reserve_balance{{{LABELS}}} == 60000")
        restart_while_all_is_well(chain, receiver, prometheus)

        chain.transfer(token, chain.accounts[1], 20_000 * UNIT, sender=WALLET)
        low = receiver.wait_for_event("reserve_low")
        assert (low["status"], low["previous_status"]) == ("low", "adequate")
        assert (Decimal(low["reserve_balance"]), Decimal(low["utilization"])) == (40_000, Decimal("0.8"))
        wait_until(lambda: len(receiver.refills) == 1, "a refill to be requested")
        asked = receiver.refills[0]
        what = (Decimal(asked["amount"]), asked["urgency"], asked["currency"], asked["incident_id"])
        assert what == (15_000, "fast", "USDT", low["incident_id"])
        prometheus.wait_for(f'reservd_incident_open{{{LABELS},severity="low"}} == 1')

        stopped_at = stop(chain)
        unknown = receiver.wait_for_event("reserve_unknown", 2)
        assert (unknown["previous_status"], unknown["incident_id"]) == ("low", low["incident_id"])
        prometheus.wait_for(f'reservd_reserve_status{{{LABELS},status="unknown"}} == 1')
        prometheus.wait_for('reservd_source_up{source="treasury"} == 0')
        assert prometheus.query(f'reservd_incident_open{{{LABELS},severity="low"}}')[0].value == 1
        assert prometheus.query(f"reservd_reserve_balance{{{LABELS}}}")[0].value == 40_000

        start_with_old_blocks(chain, stopped_at)
        again = receiver.wait_for_event("reserve_low", 2)
        assert (again["previous_status"], again["incident_id"]) == ("unknown", low["incident_id"])

        chain.transfer(token, chain.accounts[1], 25_000 * UNIT, sender=WALLET)
        critical = receiver.wait_for_event("reserve_critical")
        assert (Decimal(critical["reserve_balance"]), critical["incident_id"]) == (15_000, low["incident_id"])
        wait_until(lambda: len(receiver.refills) == 2, "an emergency refill to be requested")
        urgent = receiver.refills[1]
        assert (Decimal(urgent["amount"]), urgent["urgency"], urgent["replaces"]) == (40_000, "emergency", asked["id"])

        chain.transfer(token, WALLET, 45_000 * UNIT, sender=chain.accounts[1])
        adequate = receiver.wait_for_event("reserve_adequate", 2)
        assert (adequate["incident_id"], adequate["previous_status"]) == (low["incident_id"], "critical")
        prometheus.wait_for(f'reservd_reserve_status{{{LABELS},status="adequate"}} == 1')
        wait_until(lambda: "verified" in receiver.refill_states(urgent["id"]), "the refill to be verified")
        assert receiver.refill_states(urgent["id"]) == ["requested", "accepted", "verified"]
        assert receiver.refill_states(asked["id"]) == ["requested", "accepted", "cancelled"]
        prometheus.wait_for('reservd_deliveries_total{sink="ops"} == 13')

        assert receiver.kinds() == [
            "reserve_unknown",
            "reserve_adequate",
            "reserve_low",
            "reserve_unknown",
            "reserve_low",
            "reserve_critical",
            "reserve_adequate",
        ]
        assert [event["sequence"] for event in receiver.events] == ["1", "2", "3", "4", "5", "6", "7"]
        assert len(receiver.refills) == 2
        assert_every_gauge_is_read_back(prometheus)
        assert_page_is_well_formed(daemon.get("/metrics"))
        assert not [word for word in (SECRET, "Traceback") if word in daemon.log()]
        assert daemon.stop() == 0


def assert_page_is_well_formed(page: str) -> None:
    """Check the metrics with Prometheus' own linter."""
    check = subprocess.run([require_promtool(), "check", "metrics"], input=page, capture_output=True, text=True)
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


def assert_every_gauge_is_read_back(prometheus: Prometheus) -> None:
    """Compare each gauge of the mode in Prometheus with what the wallet and the endpoint report."""
    expected = {
        "reservd_reserve_balance": 60_000,
        "reservd_total_equity": 1_000_000,
        "reservd_target_reserve": 50_000,
        "reservd_reserve_utilization_ratio": 1.2,
        "reservd_reserve_shortfall": 0,
        "reservd_reserve_held": 0,
        'reservd_reserve_status{status="adequate"}': 1,
        'reservd_reserve_status{status="low"}': 0,
        'reservd_reserve_status{status="critical"}': 0,
        'reservd_reserve_status{status="unknown"}': 0,
        'reservd_incident_open{severity="low"}': 0,
        'reservd_incident_open{severity="critical"}': 0,
        'reservd_source_up{source="treasury"}': 1,
        'reservd_source_up{source="nav"}': 1,
        'reservd_replenishment_requests_total{outcome="accepted"}': 2,
        'reservd_replenishments_total{state="verified"}': 1,
        "reservd_replenishment_in_flight": 0,
        'reservd_events_total{type="reserve_unknown"}': 2,
    }
    for query, value in expected.items():
        prometheus.wait_for(f"{query} == {value}")
    for query in (
        "reservd_last_snapshot_timestamp_seconds",
        'reservd_source_last_success_timestamp_seconds{source="treasury"}',
    ):
        prometheus.wait_for(f"time() - {query} < 30")
    one_mode = prometheus.query('count by (mode, share_class) ({__name__=~"reservd_reserve_balance"})')
    assert [sample.labels for sample in one_mode] == [{"mode": "pure_lending", "share_class": "USDT"}]


def test_check_exits_as_a_monitoring_plugin_when_the_wallet_falls(slow_chain: Anvil, tmp_path: Path) -> None:
    """`reservd check` on the same chain: 0 adequate, 1 low, 2 critical, 3 without the node."""
    token = slow_chain.deploy_token(decimals=6)
    slow_chain.transfer(token, WALLET, 60_000 * UNIT)
    with Receiver() as receiver:
        # There is one cycle: nothing is read again if the machine stops for some seconds.
        config = configure(tmp_path, slow_chain, token, receiver, timeout_seconds=30)

        def check() -> int:
            return subprocess.run([PROGRAM, "check", "-c", config], capture_output=True, timeout=60).returncode

        assert check() == 0
        slow_chain.transfer(token, slow_chain.accounts[1], 20_000 * UNIT, sender=WALLET)
        assert check() == 1
        slow_chain.transfer(token, slow_chain.accounts[1], 30_000 * UNIT, sender=WALLET)
        assert check() == 2
        receiver.equity = None
        assert check() == 3
        slow_chain.stop()
        assert check() == 3
