"""The status page for people, on one self-contained page."""

import base64
import hashlib
import time
from datetime import UTC, datetime
from decimal import Decimal
from html import escape

from reservd._version import __version__
from reservd.reserve.amounts import describe
from reservd.reserve.models import ReserveStatus
from reservd.web.api.views import show_mode
from reservd.web.backend import Backend, Duty
from reservd.wire.modes import ModeView

_REFRESH_SECONDS = 15
_KEEP_SECONDS = 1.0
_MAX_ROWS = 500
_BAR_END = Decimal("1.5")
_MINUTE = 60
_HOUR = 3600
_ORDER = {
    ReserveStatus.CRITICAL: 0,
    ReserveStatus.UNKNOWN: 1,
    ReserveStatus.LOW: 2,
    ReserveStatus.ADEQUATE: 3,
}

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.4 system-ui, sans-serif; margin: 1.5rem; color: light-dark(#1a1a1a, #e8e8e8);
  background: light-dark(#fff, #16181c); }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding-bottom: .5rem; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid light-dark(#ccc, #444);
  vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.status { font-weight: 600; }
.adequate { color: light-dark(#0b6b2b, #6fdc8c); }
.low { color: light-dark(#8a5300, #f1c21b); }
.critical { color: light-dark(#b00020, #ff8389); }
.unknown { color: light-dark(#5b3a8c, #be95ff); }
meter { width: 8rem; }
.scroll { overflow-x: auto; }
a { color: light-dark(#0043ce, #78a9ff); }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


class StatusPage:
    """Renders at most once a second, however many people look at it.

    Args:
        backend: What the page shows.

    Attributes:
        headers: The page's headers. Their content policy allows its own style sheet and nothing else.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._rendered = b""
        self._rendered_at = float("-inf")
        self.headers = {
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": (
                f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
                "frame-ancestors 'none'"
            ),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
        }

    def render(self) -> bytes:
        """Return the page."""
        now = time.monotonic()
        if now - self._rendered_at >= _KEEP_SECONDS:
            self._rendered = self._page().encode()
            self._rendered_at = now
        return self._rendered

    def _page(self) -> str:
        duty = self._backend.duty()
        now = datetime.now(UTC)
        if duty is None:
            role, table = "stands by", "<p>The modes are on the page of the daemon that owns the store.</p>"
        else:
            role, table = "owner", _table(duty, now)
        store = "-" if duty is None else "up" if duty.store_up else "gone"
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">
<title>reservd</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>reservd {escape(__version__)}</h1>
<p role="status">{escape(self._backend.readiness().text)}. Role: <strong>{role}</strong>.
Store: <strong>{store}</strong>. As of <time datetime="{now.isoformat()}">{now:%Y-%m-%d %H:%M:%S} UTC</time>.</p>
{table}
</main>
<nav aria-label="Other pages"><p><a href="/metrics">Metrics</a> · <a href="/-/healthy">Healthy</a> ·
<a href="/-/ready">Ready</a> · <a href="/api/v1/openapi.json">API</a></p></nav>
</body>
</html>
"""


def _table(duty: Duty, now: datetime) -> str:
    manager = duty.manager
    names = sorted(manager.reserve_configs, key=lambda name: (_ORDER[manager.status(name)], name))
    rows = "\n".join(_row(show_mode(duty, name), now) for name in names[:_MAX_ROWS])
    left = len(names) - _MAX_ROWS
    more = f"<p>{left} more modes are in a better state: see <code>/api/v1/modes</code>.</p>" if left > 0 else ""
    return f"""<div class="scroll" role="region" aria-label="Modes" tabindex="0"><table>
<caption>{len(names)} modes, worst first</caption>
<thead><tr><th scope="col">Mode</th><th scope="col">Status</th><th scope="col">Coverage</th>
<th scope="col" class="number">Balance</th><th scope="col" class="number">Target</th>
<th scope="col" class="number">Shortfall</th><th scope="col" class="number">Held</th>
<th scope="col">Age</th><th scope="col">Incident</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>
{more}"""


def _row(mode: ModeView, now: datetime) -> str:
    incident = f"{mode.incident.severity} {escape(mode.incident.id[:8])}" if mode.incident is not None else "none"
    needed = [
        _amount(each, mode.share_class, round_up=True) for each in (mode.target_reserve, mode.shortfall, mode.held)
    ]
    amounts = [_amount(mode.reserve_balance, mode.share_class, round_up=False), *needed]
    numbers = "".join(f'<td class="number">{amount}</td>' for amount in amounts)
    return (
        f'<tr><th scope="row">{escape(mode.mode)}</th>'
        f'<td class="status {mode.status}">{mode.status}</td><td>{_bar(mode)}</td>{numbers}'
        f"<td>{_age(mode.confirmed_at, now)}</td><td>{incident}</td></tr>"
    )


def _bar(mode: ModeView) -> str:
    if mode.utilization is None:
        return "-"
    percent = f"{int(mode.utilization * 100)} %"  # truncated: less than the whole never shows as 100
    shown = max(Decimal(0), min(mode.utilization, _BAR_END))
    return (
        f'<meter min="0" max="{_BAR_END}" low="0.5" high="1" optimum="1.2" value="{shown:.3f}" '
        f'aria-label="coverage of the target: {percent}">{percent}</meter> {percent}'
    )


def _amount(amount: Decimal | None, currency: str, *, round_up: bool) -> str:
    return "-" if amount is None else f"{describe(amount, round_up=round_up)} {escape(currency)}"


def _age(since: datetime | None, now: datetime) -> str:
    if since is None:
        return "never"
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds} s"
    return f"{seconds // _MINUTE} min" if seconds < _HOUR else f"{seconds // _HOUR} h"
