"""A view with the names of users in place of their ids, for output that cannot mention them. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from alertbot.alerts.alert import Alert
from alertbot.commands.view import View


def people_of(view: View) -> frozenset[str]:
    """The ids of everyone who acknowledged, closed or silenced something in a view."""
    alerts = (*view.alerts, *view.shadows, *view.history, *view.latched, *([view.ended] if view.ended else []))
    ids = {alert.acked_by for alert in alerts} | {alert.closed_by for alert in alerts}
    return frozenset(id_ for id_ in ids | {silence.author for silence in view.silences} if id_)


def with_names(view: View, names: Mapping[str, str]) -> View:
    """The view with users shown by their names, where `names` has them."""
    if not names:
        return view
    return replace(
        view,
        alerts=_named(view.alerts, names),
        shadows=_named(view.shadows, names),
        history=_named(view.history, names),
        latched=_named(view.latched, names),
        ended=next(iter(_named([view.ended], names))) if view.ended is not None else None,
        silences=tuple(
            replace(each, author=names[each.author]) if each.author in names else each for each in view.silences
        ),
    )


def _named(alerts: Iterable[Alert], names: Mapping[str, str]) -> tuple[Alert, ...]:
    return tuple(_of(alert, names) if {alert.acked_by, alert.closed_by} & names.keys() else alert for alert in alerts)


def _of(alert: Alert, names: Mapping[str, str]) -> Alert:
    owner = names.get(alert.acked_by, alert.acked_by) if alert.acked_by is not None else None
    return replace(alert, acked_by=owner, closed_by=names.get(alert.closed_by, alert.closed_by))
