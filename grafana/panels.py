"""The kinds of panels and queries in reservd's dashboard."""

from collections.abc import Iterator, Mapping
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
"""Columns of Grafana's grid."""


def graph(
    title: str, description: str, series: Mapping[str, str], *, unit: str = "short", width: int = WIDTH // 2
) -> timeseries.Panel:
    """Return lines over time.

    Args:
        title: Of the panel.
        description: What it shows.
        series: Expression by legend.
        unit: Grafana's name of the unit.
        width: In columns of the grid.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(width)
        .height(8)
        .unit(unit)
        .fill_opacity(5)
        .show_points(VisibilityMode.AUTO)
    )
    for query in _queries(series):
        panel.with_target(query)
    return panel


def timeline(
    title: str, description: str, series: Mapping[str, str], states: Mapping[str, str], *, width: int = WIDTH // 2
) -> statetimeline.Panel:
    """Return coloured bands over time.

    Args:
        title: Of the panel.
        description: What it shows.
        series: Expression by legend; it gives 0 for the first of the states, 1 for the second, and so on.
        states: Colour by name.
        width: In columns of the grid.
    """
    mapping = {
        str(value): ValueMappingResult(text=name, color=color, index=value)
        for value, (name, color) in enumerate(states.items())
    }
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(width)
        .height(8)
        .mappings([ValueMap(mapping)])
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
    )
    for query in _queries(series):
        panel.with_target(query)
    return panel


def counts(
    title: str, description: str, expression: str, label: str, colors: Mapping[str, str], *, width: int
) -> stat.Panel:
    """Return one large number for each value of a label, in that value's colour; grey if it is 0."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(width)
        .height(9)
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.BACKGROUND)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(prometheus.Dataquery().ref_id("A").expr(expression).legend_format(f"{{{{{label}}}}}").instant())
    )
    for value, color in colors.items():
        steps = [Threshold(color="text"), Threshold(value=1, color=color)]
        thresholds = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps).build()
        panel.override_by_name(value, [DynamicConfigValue("thresholds", thresholds)])
    return panel


def rows(
    title: str,
    description: str,
    labels: Mapping[str, str],
    columns: Mapping[str, tuple[str, str]],
    colors: Mapping[str, Mapping[str, str]],
    *,
    width: int,
) -> table.Panel:
    """Return one row for each set of labels.

    Args:
        title: Of the panel.
        description: What it shows.
        labels: Heading by label.
        columns: Expression and unit by heading; an expression whose value does not matter has no unit.
        colors: For the headings of labels that are coloured, colour by the label's value.
        width: In columns of the grid.
    """
    panel = table.Panel().title(title).description(description).datasource(SOURCE).span(width).height(9)
    renamed, hidden = dict(labels), {"Time": True}
    for ref, (heading, (expression, unit)) in zip(ascii_uppercase, columns.items(), strict=False):
        query = prometheus.Dataquery().ref_id(ref).expr(expression)
        panel.with_target(query.instant().format(PromQueryFormat.TABLE))
        value = f"Value #{ref}"  # so Grafana calls the values of query `ref`
        if unit:
            renamed[value] = heading
            panel.override_by_name(heading, [DynamicConfigValue("unit", unit)])
        else:
            hidden[value] = True
    for heading, color_by_value in colors.items():
        mapping = {value: ValueMappingResult(text=value, color=color) for value, color in color_by_value.items()}
        panel.override_by_name(
            heading,
            [
                DynamicConfigValue("mappings", [ValueMap(mapping)]),
                DynamicConfigValue("custom.cellOptions", {"type": "color-background"}),
            ],
        )
    order = {name: index for index, name in enumerate(renamed)}
    organize = {"excludeByName": hidden, "indexByName": order, "renameByName": renamed}
    return panel.with_transformation(DataTransformerConfig("merge", options={})).with_transformation(
        DataTransformerConfig("organize", options=organize)
    )


def dashed(panel: timeseries.Panel, pattern: str) -> timeseries.Panel:
    """Draw the lines whose legend matches a regular expression dashed."""
    return panel.override_by_regexp(
        pattern, [DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})]
    )


def with_line(panel: timeseries.Panel, value: float) -> timeseries.Panel:
    """Draw a line at a value, red below it."""
    steps = [Threshold(color="red"), Threshold(value=value, color="transparent")]
    return panel.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)).thresholds_style(
        common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE)
    )


def increase(counter: str, *labels: str) -> str:
    """Return the expression for the increase of a counter, by its labels."""
    return f"sum by ({', '.join(labels)}) (increase({counter}[$__rate_interval]))"


def percentile_95(histogram: str, label: str) -> str:
    """Return the expression for the 95th percentile of observations, by a label."""
    return f"histogram_quantile(0.95, sum by ({label}, le) (rate({histogram}_bucket[$__rate_interval])))"


def _queries(series: Mapping[str, str]) -> Iterator[prometheus.Dataquery]:
    for ref, (legend, expression) in zip(ascii_uppercase, series.items(), strict=False):
        yield prometheus.Dataquery().ref_id(ref).expr(expression).legend_format(legend).range()
