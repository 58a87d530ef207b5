#!/usr/bin/env python3
"""Writes the overview dashboard for import into Grafana: `make dashboard`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    Panel,
    VariableRefresh,
    VariableSort,
)
from panels import SOURCE, WIDTH, counts, dashed, graph, increase, percentile_95, rows, timeline, with_line

FILE = Path(__file__).with_name("reservd-overview.json")

MODE = 'mode=~"$mode"'
OF_OWNER = "unless ignoring (sink) reservd_owner == 0"
"""Leaves out what a standby knew of its sinks when it last owned the store."""
COLORS = {"adequate": "green", "low": "orange", "critical": "red", "unknown": "purple"}


def overview() -> Dashboard:
    """Return the dashboard: the reserves, the events and requests, and the health of reservd."""
    board = (
        dashboard.Dashboard("reservd overview")
        .uid("reservd-overview")
        .description("How much of each strategy's equity is liquid, and whether reservd can determine it.")
        .tags(["reservd"])
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("mode")
            .label("Mode")
            .datasource(SOURCE)
            .query("label_values(reservd_reserve_status, mode)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".*")
        )
    )
    sections = {
        "Reserves": reserves(),
        "Events": events(),
        "Delivery": delivery(),
        "Sources": sources(),
        "The store": store(),
        "The daemon": daemon(),
    }
    for title, panels in sections.items():
        board.with_row(dashboard.Row(title))
        for panel in panels:
            board.with_panel(panel)
    # Last, because there is one for each mode.
    board.with_row(dashboard.Row("$mode").repeat("mode")).with_panel(balance_and_target())
    built = board.build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number  # links to a panel hold it
    return built


def reserves() -> Sequence[Builder[Panel]]:
    """Return the panels of the reserves of all chosen modes."""
    by_mode = "max by (mode, share_class)"
    return (
        counts(
            "Modes by status",
            "How many modes have each confirmed status.",
            f"sum by (status) (max by (mode, share_class, status) (reservd_reserve_status{{{MODE}}}))",
            "status",
            COLORS,
            width=5,
        ),
        rows(
            "Modes",
            "The numbers of the last conclusive check, and its age. Amounts are in the share-class currency.",
            {"mode": "Mode", "status": "Status", "share_class": "Currency"},
            {
                "Status": (f"max by (mode, share_class, status) (reservd_reserve_status{{{MODE}}} == 1)", ""),
                "Utilization": (f"{by_mode} (reservd_reserve_utilization_ratio{{{MODE}}})", "percentunit"),
                "Balance": (f"{by_mode} (reservd_reserve_balance{{{MODE}}})", "short"),
                "Target": (f"{by_mode} (reservd_target_reserve{{{MODE}}})", "short"),
                "Shortfall": (f"{by_mode} (reservd_reserve_shortfall{{{MODE}}})", "short"),
                "Equity": (f"{by_mode} (reservd_total_equity{{{MODE}}})", "short"),
                "Checked": (
                    f"{by_mode} (reservd_last_snapshot_timestamp_seconds{{{MODE}}}) * 1000",
                    "dateTimeFromNow",
                ),
            },
            {"Status": COLORS},
            width=WIDTH - 5,
        ),
        with_line(
            graph(
                "Utilization",
                "The reserve as a share of its target: 100 % is at target. Each mode has its own thresholds.",
                {"{{mode}}": f"max by (mode) (reservd_reserve_utilization_ratio{{{MODE}}})"},
                unit="percentunit",
            ),
            1,
        ),
        graph(
            "Shortfall",
            "How far the reserve is below its target, in the share-class currency.",
            {"{{mode}} ({{share_class}})": f"{by_mode} (reservd_reserve_shortfall{{{MODE}}})"},
        ),
        timeline(
            "Status",
            "The confirmed status, which events and alerts are based on.",
            {
                "{{mode}}": f'max by (mode) (reservd_reserve_status{{{MODE}, status="low"}}'
                f' or reservd_reserve_status{{{MODE}, status="critical"}} * 2'
                f' or reservd_reserve_status{{{MODE}, status="unknown"}} * 3)'
            },
            COLORS,
        ),
        timeline(
            "Open incidents",
            "An incident stays open until the reserve is adequate again, also while the status is unknown.",
            {
                "{{mode}}": f'max by (mode) (reservd_incident_open{{{MODE}, severity="low"}}'
                f' or reservd_incident_open{{{MODE}, severity="critical"}} * 2)'
            },
            {"none": "green", "low": "orange", "critical": "red"},
        ),
    )


def events() -> Sequence[Builder[Panel]]:
    """Return the panels of events, silences and requests for refills."""
    return (
        graph(
            "Events",
            "Changes of status, and reminders.",
            {"{{type}}": increase("reservd_events_total", "type")},
            width=8,
        ),
        timeline(
            "Silences",
            "Modes whose events an operator withholds from the sinks. They are watched and refilled as usual.",
            {
                "{{mode}}": f"max by (mode) (reservd_silenced{{{MODE}}})"
                f" or max by (mode) (reservd_reserve_status{{{MODE}}}) * 0"
            },
            {"not silenced": "green", "silenced": "purple"},
            width=8,
        ),
        graph(
            "Requests for a refill",
            "Answers of strategies by outcome and, below zero, requests without an answer by reason.",
            {
                "{{replenisher}}: {{outcome}}": increase(
                    "reservd_replenishment_requests_total", "replenisher", "outcome"
                ),
                "{{replenisher}}: {{reason}}": "-"
                + increase("reservd_replenishment_failures_total", "replenisher", "reason"),
            },
            width=8,
        ),
    )


def delivery() -> Sequence[Builder[Panel]]:
    """Return the panels of deliveries to each sink."""
    oldest = "reservd_deliveries_oldest_timestamp_seconds"
    return (
        graph(
            "Deliveries",
            "Delivered events and, below zero, failed attempts by reason.",
            {
                "{{sink}}": increase("reservd_deliveries_total", "sink"),
                "{{sink}}: {{reason}}": "-" + increase("reservd_delivery_failures_total", "sink", "reason"),
            },
            width=8,
        ),
        graph(
            "Waiting",
            "Events in the store that have not been delivered to a sink yet.",
            {"{{sink}}": f"max by (sink) (reservd_deliveries_pending {OF_OWNER})"},
            width=8,
        ),
        graph(
            "Age of the oldest waiting event",
            "How long ago the oldest event that waits for a sink was created; 0 when none waits.",
            {"{{sink}}": f"max by (sink) ((time() - {oldest}) * ({oldest} > bool 0) {OF_OWNER})"},
            unit="s",
            width=8,
        ),
        graph(
            "Not delivered",
            "Events that will not be sent to a sink: dead letters, superseded reminders and silenced events.",
            {"{{sink}}: {{state}}": increase("reservd_deliveries_ended_total", "sink", "state")},
        ),
        graph(
            "Delivery time",
            "95th percentile, failed attempts included.",
            {"{{sink}}": percentile_95("reservd_delivery_duration_seconds", "sink")},
            unit="s",
        ),
    )


def sources() -> Sequence[Builder[Panel]]:
    """Return the panels that show whether sources can be read."""
    return (
        timeline(
            "Source up",
            "Whether the last reading of the source succeeded.",
            {"{{source}}": "max by (source) (reservd_source_up unless ignoring (source) reservd_owner == 0)"},
            {"down": "red", "up": "green"},
        ),
        graph(
            "Age of the last good reading",
            "Only sources that have been read at least once.",
            {"{{source}}": "time() - max by (source) (reservd_source_last_success_timestamp_seconds > 0)"},
            unit="s",
        ),
        graph(
            "Read time",
            "95th percentile, failed readings included.",
            {"{{source}}": percentile_95("reservd_fetch_duration_seconds", "source")},
            unit="s",
            width=8,
        ),
        graph(
            "Failed readings",
            "By source and reason.",
            {"{{source}}: {{reason}}": increase("reservd_fetch_failures_total", "source", "reason")},
            width=8,
        ),
        graph(
            "Unread accounts",
            "Accounts missing from the last reading of a source; all of them if it failed.",
            {
                "{{source}}": "max by (source) "
                "(reservd_source_accounts_unread unless ignoring (source) reservd_owner == 0)"
            },
            width=8,
        ),
    )


def store() -> Sequence[Builder[Panel]]:
    """Return the panels of the store: its owner, and whether it accepts writes."""
    return (
        timeline(
            "Owner",
            "Which daemon is watching the reserves; the others are standbys.",
            {"{{instance}}": "reservd_owner"},
            {"standby": "blue", "owner": "green"},
            width=8,
        ),
        timeline(
            "Store",
            "Whether the owner's last write succeeded. Without the store, events are sent, but no refills requested.",
            {"{{instance}}": "reservd_store_up and reservd_owner == 1"},
            {"down": "red", "up": "green"},
            width=8,
        ),
        graph(
            "Unwritten events",
            "Events that are only in the owner's memory. They are lost if it stops before they are written.",
            {"{{instance}}": "reservd_store_unwritten_events and reservd_owner == 1"},
            width=8,
        ),
    )


def daemon() -> Sequence[Builder[Panel]]:
    """Return the panels of the daemon's own health."""
    return (
        graph(
            "Checks per second",
            "Checks of all modes, by whether they were conclusive.",
            {"{{outcome}}": "sum by (outcome) (rate(reservd_checks_total[$__rate_interval]))"},
        ),
        graph(
            "Age of the last conclusive check",
            "A mode becomes unknown when this exceeds its reserve_max_staleness.",
            {"{{mode}}": f"time() - max by (mode) (reservd_last_snapshot_timestamp_seconds{{{MODE}}})"},
            unit="s",
        ),
        graph(
            "Cycle time",
            "95th percentile, by monitoring interval.",
            {"every {{interval}} s": percentile_95("reservd_cycle_duration_seconds", "interval")},
            unit="s",
        ),
        graph(
            "Skipped cycles",
            "Cycles skipped because the previous one was still running, by monitoring interval.",
            {"every {{interval}} s": increase("reservd_cycle_overruns_total", "interval")},
        ),
        graph(
            "Memory",
            "Resident memory of each instance.",
            {"{{instance}}": "process_resident_memory_bytes and on (instance, job) reservd_build_info"},
            unit="bytes",
        ),
        graph(
            "CPU usage",
            "Of each instance; 100 % is one core.",
            {
                "{{instance}}": "rate(process_cpu_seconds_total[$__rate_interval])"
                " and on (instance, job) reservd_build_info"
            },
            unit="percentunit",
        ),
    )


def balance_and_target() -> Builder[Panel]:
    """Return one panel for each mode, in the mode's own currency."""
    by_currency = "max by (share_class)"
    return dashed(
        graph(
            "Balance and target of $mode",
            "In the share-class currency.",
            {
                "balance ({{share_class}})": f"{by_currency} (reservd_reserve_balance{{{MODE}}})",
                "target ({{share_class}})": f"{by_currency} (reservd_target_reserve{{{MODE}}})",
            },
            width=WIDTH,
        ),
        "target.*",
    )


def main() -> None:
    """Write the dashboard to the file named on the command line, by default beside this script."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    target.write_text(JSONEncoder(sort_keys=True, indent=2).encode(overview()) + "\n")


if __name__ == "__main__":
    main()
