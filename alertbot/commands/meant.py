"""Words that people type in place of a subcommand, and which one they mean. It is proposed, never carried out. PURE."""

from __future__ import annotations

from collections.abc import Collection, Mapping

MEANT: Mapping[str, str] = {
    word: name
    for name, words in {
        "help": "? commands usage info h",
        "status": "health state feed feeds overview summary",
        "alerts": "alert alarms alarm open firing incidents incident list problems issues warnings critical",
        "history": "past ended resolved recent log report yesterday",
        "queue": "queues q wait waiting callers",
        "group": "groups team teams",
        "agent": "agents people user users who staff",
        "top": "worst ranking best leaderboard longest highest lowest",
        "chart": "graph plot draw picture trend image curve",
        "metrics": "metric keys key kpi kpis stats",
        "rules": "rule thresholds threshold limits limit conditions",
        "why": "explain reason because how",
        "hours": "calendar calendars schedule opening holidays",
        "ack": "acknowledge acknowledged take claim assign own mine got",
        "unack": "unacknowledge release unassign giveback give drop return",
        "resolve": "close clear end finish fixed done dismiss",
        "silence": "mute snooze suppress pause quiet ignore hush disable maintenance",
        "silences": "mutes muted silenced snoozed",
        "unsilence": "unmute unsnooze resume enable unpause",
        "digest": "quality statistics weekly",
    }.items()
    for word in words.split()
}
"""By what is typed, the name of a subcommand."""


def meant(word: str, names: Collection[str]) -> str | None:
    """The subcommand that a word stands for; None where it stands for none of `names`."""
    name = MEANT.get(word)
    return name if name in names else None
