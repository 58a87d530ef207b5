"""Which alerts of which mode fire, and which were resolved not long ago. No I/O, no clock."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from reservd.plugin import EventType, ReserveEvent, ReserveStatus
from reservd_alertmanager.alerts import BY_STATUS, OF_INCIDENTS, Alert, AlertName, alert_of

Names = frozenset[AlertName]
_NONE: Names = frozenset()


class AlertKey(NamedTuple):
    """Which alert of which mode."""

    mode: str
    name: AlertName


class ModeAlerts(NamedTuple):
    """What is known of one mode.

    Attributes:
        sequence: Of the last event that was taken into it.
        alerts: Those that fire, and those that were resolved and are not yet forgotten.
        in_doubt: Those that may fire on the other side, though no event that is known says so.
    """

    sequence: int
    alerts: Mapping[AlertName, Alert]
    in_doubt: Names


def advance(before: ModeAlerts | None, event: ReserveEvent, at: datetime) -> ModeAlerts:
    """Return the alerts of a mode after an event.

    Args:
        before: What was known; None for the first event that is heard of the mode.
        event: A later one than `before` knows.
        at: When the alerts that it ends are resolved.
    """
    known = before.alerts if before is not None else {}
    in_doubt = before.in_doubt if before is not None else _may_fire(event)
    firing = frozenset(name for name, alert in known.items() if alert.fires)
    wanted = _wanted(event, firing)
    # Missing data ends nothing that an open incident has started, and a reminder is no news.
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
    # An early warning is given while the reserve is adequate, and fires nothing.
    if _status(event) is ReserveStatus.ADEQUATE:
        return _NONE
    name = BY_STATUS[_status(event)]
    if name is not AlertName.UNKNOWN or event.incident_id is None:
        return frozenset({name})
    before = BY_STATUS.get(event.previous_status)
    if before in OF_INCIDENTS:
        return frozenset({name, before})
    # A reminder does not say what was before. An open incident is low at least.
    return frozenset({name}) | ((firing & OF_INCIDENTS) or {AlertName.LOW})


def _may_fire(event: ReserveEvent) -> Names:
    """Return the alerts that may have fired before an event, when no earlier one is known."""
    before = BY_STATUS.get(event.previous_status)
    if event.incident_id is not None and before is AlertName.UNKNOWN:
        return frozenset(AlertName)
    if event.incident_id is not None and event.reminder:
        return OF_INCIDENTS
    return frozenset({before}) if before is not None else _NONE


def _status(event: ReserveEvent) -> ReserveStatus:
    return event.event_type.status


class AlertBoard:
    """The alerts of all modes that were heard of. Never more than three of each mode."""

    def __init__(self) -> None:
        self._modes: dict[str, ModeAlerts] = {}

    def take(self, event: ReserveEvent, at: datetime) -> list[AlertKey]:
        """Take an event in, and return the alerts of its mode, for which it stands.

        One that came before changes nothing. One older than the last, sent once more, stands for nothing.

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
        """Return an alert; None when it is forgotten."""
        return self._modes[key.mode].alerts.get(key.name)

    def kept(self) -> list[AlertKey]:
        """Return all alerts: those that fire, and those that are resolved and not forgotten."""
        return [AlertKey(mode, name) for mode, known in self._modes.items() for name in known.alerts]

    def forget(
        self, now: datetime, resolved_for: timedelta, *, expires: timedelta, unsent: Collection[AlertKey]
    ) -> None:
        """Drop the resolved alerts of modes of which nothing has fired for long.

        Until then they are said again with the rest: where an inhibition kept receivers from hearing that one of
        them was resolved, they hear it when the other is.

        Args:
            now: The present.
            resolved_for: How long nothing must have fired.
            expires: The same for an alert that somebody has not taken yet. After that, nobody lets it fire any more.
            unsent: Which those are.
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
