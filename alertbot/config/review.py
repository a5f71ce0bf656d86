"""What is valid in alertbot.yaml and worth a word: for `alertbot check` alone."""

from __future__ import annotations

from datetime import timedelta

from alertbot.rulefiles import document
from alertbot.rulefiles.document import YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.faults import Fault, Severity
from alertbot.rulefiles.fields import Report
from alertbot.rulefiles.review import review_channel, review_hours, review_zone
from alertbot.rules.recurring import DAILY
from alertbot.rules.units import parse_duration


def review_config(name: str, text: str) -> list[Fault]:
    """Warnings and hints about a configuration; `name` is its file. What a reference stands for is not reviewed."""
    root, _ = document.read(name, text)
    if not isinstance(root, YamlMapping):
        return []
    hints, warnings = Report(name, severity=Severity.HINT), Report(name, severity=Severity.WARNING)
    tenants = root.get("tenants")
    holders = [
        root,
        root.get("slack"),
        root.get("digest"),
        *(tenants.items if isinstance(tenants, YamlSequence) else ()),
    ]
    for holder in holders:
        for key, value in holder.entries if isinstance(holder, YamlMapping) else ():
            if not isinstance(value, YamlScalar) or "${" in value.text:
                continue
            if key.text == "timezone":
                review_zone(value, hints)
            elif key.text in ("default_channel", "ops_channel", "channel"):
                review_channel(value, warnings)
    _review_webhook(root.get("slack"), warnings)
    _review_digest(root, warnings)
    return [*review_hours(name, root.get("hours")), *hints.faults, *warnings.faults]


def review_page(name: str, text: str) -> list[Fault]:
    """The hint that the status page is off: `http.host` is not loopback, and there is no password."""
    root, _ = document.read(name, text)
    http = root.get("http") if isinstance(root, YamlMapping) else None
    hints = Report(name, severity=Severity.HINT)
    for key, _ in http.entries if isinstance(http, YamlMapping) else ():
        if key.text == "host":
            message = "the status page is off: without page.password it is served only on loopback hosts"
            hints.add(key.place, message, "set page.password, at least 12 characters")
    return hints.faults


def _review_digest(root: YamlMapping, warnings: Report) -> None:
    """The hint that `history` is shorter than the window of a weekly digest."""
    every, history = _text(root.get("digest"), "every"), root.get("history")
    if not isinstance(history, YamlScalar) or not every or every.casefold().startswith(DAILY):
        return
    try:
        kept = parse_duration(history.text)
    except ValueError:  # a reference, or a fault that is reported elsewhere
        return
    if kept < timedelta(days=7):
        message = f"history: ended alerts are kept for {history.text}, but the digest covers a week"
        warnings.add(history.place, message, "set history to 8d or more, or send the digest daily")


def _text(section: object, key: str) -> str:
    value = section.get(key) if isinstance(section, YamlMapping) else None
    return value.text if isinstance(value, YamlScalar) else ""


def _review_webhook(slack: object, warnings: Report) -> None:
    """`slack.fallback_webhook` without the level that it is meant for."""
    webhook = slack.get("fallback_webhook") if isinstance(slack, YamlMapping) else None
    for key, levels in webhook.entries if isinstance(webhook, YamlMapping) else ():
        if key.text == "levels" and isinstance(levels, YamlSequence):
            words = [level.text for level in levels.items if isinstance(level, YamlScalar)]
            if words and not any(word == "critical" or "${" in word for word in words):
                message = "fallback_webhook: critical alerts are not posted there when Slack is down"
                warnings.add(key.place, message, "add critical to `levels`")
