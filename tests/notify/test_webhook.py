"""The JSON of the fallback webhook: its whole text, as docs/operations.md shows it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.alerts.alert import About, Reason, State
from alertbot.alerts.fallback import NewPost, PostKind
from alertbot.evaluation.measure import Measure
from alertbot.notify.webhook import document
from alertbot.rules.catalogue import Scope, ValueType
from tests.notify.cases import FIRING, NASTY, NOW

DOCS = Path(__file__).parent.parent.parent / "docs" / "operations.md"
ALERT = replace(
    FIRING,
    id=17,
    fired_at=NOW - timedelta(minutes=3),
    about=replace(FIRING.about, runbook="https://wiki.example/long-wait"),
)
FIRED = NewPost(
    PostKind.FIRING,
    ALERT,
    NOW,
    NOW - timedelta(seconds=130),
    ("#cc-sales",),
    "Could not post in #cc-sales: Slack refuses the bot token (account_inactive)",
)
RESOLVED = NewPost(
    PostKind.RESOLVED,
    replace(ALERT, state=State.INACTIVE, ended_at=NOW + timedelta(minutes=9), end_reason=Reason.RESOLVED),
    NOW + timedelta(minutes=9, seconds=4),
)
KINDS = {"firing": FIRED, "resolved": RESOLVED}


def written(post: NewPost, **more: object) -> dict[str, object]:
    found = json.loads(document(post, timezone="Europe/Helsinki", show_tenant=False))
    assert isinstance(found, dict)
    return found


def examples() -> dict[str, object]:
    blocks = re.findall(r"```json\n(\{\n  \"version\": 1.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    return {found["kind"]: found for found in map(json.loads, blocks)}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_the_documentation_shows(kind: str) -> None:
    """Each key and value."""
    assert written(KINDS[kind]) == examples()[kind]


def test_the_same_post_has_the_same_id() -> None:
    """Decided again later, and for another channel; another level and the end have ids of their own."""
    later = replace(FIRED, at=NOW + timedelta(hours=1), channels=("#b",), problem="")
    assert later.id == FIRED.id
    assert len({FIRED.id, RESOLVED.id, FIRED.incident}) == 3
    assert FIRED.incident == RESOLVED.incident


MEASURES = {
    "a duration in seconds": (Measure("k", ValueType.DURATION, ">", 130_500.0, 60_000.0), 130.5, 60.0),
    "a ratio": (Measure("k", ValueType.RATIO, "<", 0.75, 0.8), 0.75, 0.8),
    "a word": (Measure("k", ValueType.TEXT, "==", "OnBreak", "OnBreak"), "OnBreak", "OnBreak"),
    "a time": (Measure("k", ValueType.TIMESTAMP, "<", 0.0, 1_000.0), "1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"),
    "a missing value": (Measure("k", ValueType.COUNT, ">", None, 3.0), None, 3.0),
}


@pytest.mark.parametrize(("measure", "value", "limit"), MEASURES.values(), ids=MEASURES)
def test_values_have_plain_units(measure: Measure, value: object, limit: object) -> None:
    alert = written(replace(FIRED, alert=replace(ALERT, measure=measure)))["alert"]
    assert isinstance(alert, dict)
    assert (alert["measure"]["value"], alert["measure"]["limit"]) == (value, limit)


def test_a_name_is_only_text() -> None:
    """Whatever it holds, the JSON is valid, on one line, and has nothing else in it."""
    post = replace(FIRED, alert=replace(ALERT, entity_name=NASTY + '"\n\x00', measure=None))
    text = document(post, timezone="UTC", show_tenant=True)
    assert "\n" not in text
    assert set(json.loads(text)) == set(written(FIRED))


def test_a_feed_alert_says_what_is_wrong() -> None:
    """The detail is what matters of it: there is no figure."""
    about = About("No data from 8x8", "feed", template="feed", detail="No answer since 02:10", advice="Check the key.")
    key = FIRING.key._replace(scope=Scope.FEED, rule="feed-stale", entity_id="acme")
    found = written(replace(FIRED, alert=replace(ALERT, key=key, about=about, entity_name="acme", measure=None)))
    alert = found["alert"]
    assert isinstance(alert, dict)
    assert (alert["scope"], alert["measure"], alert["entity"]) == ("feed", None, "acme")
    assert "No answer since 02:10" in str(found["text"])
