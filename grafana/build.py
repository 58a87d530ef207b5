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
        .description("How much of each strategy's equity is liquid, and whether reservd can tell.")
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
            "The last numbers that could be told; the time says from when. Amounts are in the share-class currency.",
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
                "The reserve as a part of its target: 100 % is at target. What is low and critical is each mode's own.",
                {"{{mode}}": f"max by (mode) (reservd_reserve_utilization_ratio{{{MODE}}})"},
                unit="percentunit",
            ),
            1,
        ),
        graph(
            "Shortfall",
            "How much is missing to reach the target, in the share-class currency.",
            {"{{mode}} ({{share_class}})": f"{by_mode} (reservd_reserve_shortfall{{{MODE}}})"},
        ),
        timeline(
            "Status",
            "The confirmed status, which events and alerts follow.",
            {
                "{{mode}}": f'max by (mode) (reservd_reserve_status{{{MODE}, status="low"}}'
                f' or reservd_reserve_status{{{MODE}, status="critical"}} * 2'
                f' or reservd_reserve_status{{{MODE}, status="unknown"}} * 3)'
            },
            COLORS,
        ),
        timeline(
            "Open incidents",
            "An incident stays open while the status is unknown, until the reserve is adequate again.",
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
            "Changes of a status, and reminders of it.",
            {"{{type}}": increase("reservd_events_total", "type")},
            width=8,
        ),
        timeline(
            "Silences",
            "Modes whose events an operator keeps from the sinks. They are watched and refilled as ever.",
            {
                "{{mode}}": f"max by (mode) (reservd_silenced{{{MODE}}})"
                f" or max by (mode) (reservd_reserve_status{{{MODE}}}) * 0"
            },
            {"heard": "green", "silenced": "purple"},
            width=8,
        ),
        graph(
            "Requests for a refill",
            "What strategies answered and, below zero, requests that got no answer, by reason.",
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
            "Events that sinks took and, below zero, tries that failed, by reason; those are tried again.",
            {
                "{{sink}}": increase("reservd_deliveries_total", "sink"),
                "{{sink}}: {{reason}}": "-" + increase("reservd_delivery_failures_total", "sink", "reason"),
            },
            width=8,
        ),
        graph(
            "Waiting",
            "Events in the store that a sink is yet to take.",
            {"{{sink}}": f"max by (sink) (reservd_deliveries_pending {OF_OWNER})"},
            width=8,
        ),
        graph(
            "Age of what waits",
            "How long ago the oldest event that waits for a sink was decided; 0 when none does.",
            {"{{sink}}": f"max by (sink) ((time() - {oldest}) * ({oldest} > bool 0) {OF_OWNER})"},
            unit="s",
            width=8,
        ),
        graph(
            "Never taken",
            "Events a sink will not hear of: dead letters, reminders that were overtaken, silenced ones.",
            {"{{sink}}: {{state}}": increase("reservd_deliveries_ended_total", "sink", "state")},
        ),
        graph(
            "Time of a delivery",
            "95 of 100 tries took no longer, failed ones included.",
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
            "Of each source that was ever read.",
            {"{{source}}": "time() - max by (source) (reservd_source_last_success_timestamp_seconds > 0)"},
            unit="s",
        ),
        graph(
            "Time to read a source",
            "95 of 100 readings took no longer, failed ones included.",
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
            "Accounts that a source did not tell of when it was last read; all of them when it failed.",
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
            "Which daemon watches the reserves; the others stand by.",
            {"{{instance}}": "reservd_owner"},
            {"stands by": "blue", "owner": "green"},
            width=8,
        ),
        timeline(
            "Store",
            "Whether the store took the owner's last write. Without it alarms go on from memory, refills do not.",
            {"{{instance}}": "reservd_store_up and reservd_owner == 1"},
            {"down": "red", "up": "green"},
            width=8,
        ),
        graph(
            "Unwritten events",
            "Events that are in the owner's memory only. They are lost if it ends before the store takes them.",
            {"{{instance}}": "reservd_store_unwritten_events and reservd_owner == 1"},
            width=8,
        ),
    )


def daemon() -> Sequence[Builder[Panel]]:
    """Return the panels of the daemon's own health."""
    return (
        graph(
            "Checks per second",
            "Checks of all modes, by whether they told a status.",
            {"{{outcome}}": "sum by (outcome) (rate(reservd_checks_total[$__rate_interval]))"},
        ),
        graph(
            "Age of the last conclusive check",
            "A mode whose reserve_max_staleness has passed is unknown.",
            {"{{mode}}": f"time() - max by (mode) (reservd_last_snapshot_timestamp_seconds{{{MODE}}})"},
            unit="s",
        ),
        graph(
            "Time of a cycle",
            "95 of 100 cycles took no longer, by monitoring interval.",
            {"every {{interval}} s": percentile_95("reservd_cycle_duration_seconds", "interval")},
            unit="s",
        ),
        graph(
            "Skipped cycles",
            "Cycles that did not start because the one before still ran, by monitoring interval.",
            {"every {{interval}} s": increase("reservd_cycle_overruns_total", "interval")},
        ),
        graph(
            "Memory",
            "Resident, of each instance.",
            {"{{instance}}": "process_resident_memory_bytes and on (instance, job) reservd_build_info"},
            unit="bytes",
        ),
        graph(
            "Processors in use",
            "Of each instance; 100 % is one.",
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
