"""Metrics of a running daemon, read as Prometheus reads them."""

import urllib.error
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_SECONDS = 60.0


def page(address: str, path: str = "/metrics") -> tuple[int, str]:
    """Return the status and the text of a page."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=_TIMEOUT_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def sample(address: str, name: str, **labels: str) -> float | None:
    """Return the value of one series; None if it does not exist."""
    return samples(address, name).get(tuple(sorted(labels.items())))


def samples(address: str, name: str) -> Mapping[tuple[tuple[str, str], ...], float]:
    """Return the values of all series of a name, by their labels."""
    families = text_string_to_metric_families(page(address)[1])
    return {
        tuple(sorted(found.labels.items())): found.value
        for family in families
        for found in family.samples
        if found.name == name
    }
