"""Which alerts of each mode fire, and which were resolved recently. No I/O, no clock."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from reservd.plugin import EventType, ReserveEvent, ReserveStatus
from reservd_alertmanager.alerts import BY_STATUS, OF_INCIDENTS, Alert, AlertName, alert_of

Names = frozenset[AlertName]
_NONE: Names = frozenset()


class AlertKey(NamedTuple):
    """Identifies one alert of one mode."""

    mode: str
    name: AlertName


class ModeAlerts(NamedTuple):
    """The alerts of one mode.

    Attributes:
        sequence: Of the last event that is included.
        alerts: Those that fire, and those that were resolved and are not forgotten yet.
        in_doubt: Those that may fire in Alertmanager, although no known event says so.
    """

    sequence: int
    alerts: Mapping[AlertName, Alert]
    in_doubt: Names


def advance(before: ModeAlerts | None, event: ReserveEvent, at: datetime) -> ModeAlerts:
    """Return the alerts of a mode after an event.

    Args:
        before: The previous alerts; None for the first event of the mode.
        event: A later one than the last in `before`.
        at: When the alerts that it ends are resolved.
    """
    known = before.alerts if before is not None else {}
    in_doubt = before.in_doubt if before is not None else _may_fire(event)
    firing = frozenset(name for name, alert in known.items() if alert.fires)
    wanted = _wanted(event, firing)
    # Missing data ends no alert of an open incident, and a reminder changes nothing.
    unsettled = event.event_type is EventType.UNKNOWN or event.reminder
    open_still = OF_INCIDENTS if unsettled and event.incident_id is not None else _NONE
    alerts = dict(known)
    for name in wanted:
        if name not in firing:
            alerts[name] = alert_of(name, event, event.timestamp)
        elif name is BY_STATUS[_status(event)]:
            alerts[name] = alert_of(name, event, known[name].starts_at)
    for name in (firing | (in_doubt - open_still)) - wanted:
        alerts[name] = (known[name] if name in firing else alert_of(name, event, at)).ended(event, at)
    return ModeAlerts(event.sequence, alerts, (in_doubt & open_still) - wanted)


def _wanted(event: ReserveEvent, firing: Names) -> Names:
    """Return the alerts that fire after an event."""
    # An early warning is sent while the reserve is adequate, and fires nothing.
    if _status(event) is ReserveStatus.ADEQUATE:
        return _NONE
    name = BY_STATUS[_status(event)]
    if name is not AlertName.UNKNOWN or event.incident_id is None:
        return frozenset({name})
    before = BY_STATUS.get(event.previous_status)
    if before in OF_INCIDENTS:
        return frozenset({name, before})
    # A reminder does not contain the previous status. An open incident is at least low.
    return frozenset({name}) | ((firing & OF_INCIDENTS) or {AlertName.LOW})


def _may_fire(event: ReserveEvent) -> Names:
    """Return the alerts that may have fired before an event, if no earlier one is known."""
    before = BY_STATUS.get(event.previous_status)
    if event.incident_id is not None and before is AlertName.UNKNOWN:
        return frozenset(AlertName)
    if event.incident_id is not None and event.reminder:
        return OF_INCIDENTS
    return frozenset({before}) if before is not None else _NONE


def _status(event: ReserveEvent) -> ReserveStatus:
    return event.event_type.status


class AlertBoard:
    """The alerts of all modes with an event. Never more than three per mode."""

    def __init__(self) -> None:
        self._modes: dict[str, ModeAlerts] = {}

    def take(self, event: ReserveEvent, at: datetime) -> list[AlertKey]:
        """Apply an event, and return the alerts to send for it: those of its mode.

        An event that was applied before changes nothing. For one that is older than the last, nothing is sent.

        Args:
            event: The event.
            at: When the alerts that it ends are resolved.
        """
        mode = event.strategy_mode
        known = self._modes.get(mode)
        if known is None or event.sequence > known.sequence:
            known = self._modes[mode] = advance(known, event, at)
        return [AlertKey(mode, name) for name in known.alerts] if event.sequence == known.sequence else []

    def get(self, key: AlertKey) -> Alert | None:
        """Return an alert; None if it is forgotten."""
        return self._modes[key.mode].alerts.get(key.name)

    def kept(self) -> list[AlertKey]:
        """Return all alerts: those that fire, and those that are resolved and not forgotten yet."""
        return [AlertKey(mode, name) for mode, known in self._modes.items() for name in known.alerts]

    def forget(
        self, now: datetime, resolved_for: timedelta, *, expires: timedelta, unsent: Collection[AlertKey]
    ) -> None:
        """Drop the resolved alerts of modes of which nothing has fired for long.

        Until then they are sent again with the rest: if an inhibition kept a resolve from receivers, they get it
        when the inhibiting alert is resolved.

        Args:
            now: The present.
            resolved_for: How long nothing must have fired.
            expires: The same for an alert that a peer has not accepted yet. After that, it fires nowhere any more.
            unsent: The alerts that some peer has not accepted.
        """
        for mode, known in self._modes.items():
            ends = [alert.ended_at for alert in known.alerts.values() if alert.ended_at is not None]
            if not ends or len(ends) < len(known.alerts):
                continue
            quiet = now - max(ends)
            left = {
                name: alert
                for name, alert in known.alerts.items()
                if quiet <= (expires if AlertKey(mode, name) in unsent else resolved_for)
            }
            self._modes[mode] = known._replace(alerts=left)
