"""Charts as SVG in a page: values, limits and alerts, readable without colours, and nothing that a policy blocks."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, timedelta
from itertools import pairwise
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from alertbot.charts.series import Limit, Samples, Series, Span
from alertbot.charts.svg import MAX_COLUMNS, chart, trend
from alertbot.charts.text import described
from alertbot.rules.catalogue import ValueType
from alertbot.rules.rule import Level
from tests.charts.test_series import at, series
from tests.charts.test_text import RUSH

HELSINKI = ZoneInfo("Europe/Helsinki")


def drawn(what: Series) -> ElementTree.Element:
    """The chart; it is well-formed XML."""
    return ElementTree.fromstring(chart(what, HELSINKI, id="c"))


def texts(svg: ElementTree.Element, of: str) -> list[str]:
    return [each.text or "" for each in svg.iter("text") if each.get("class") == of]


def lines(svg: ElementTree.Element) -> list[str]:
    """The strokes of the line, without a move between two gaps."""
    (path,) = [each for each in svg.iter("path") if each.get("class") == "line"]
    return [stroke for stroke in (path.get("d") or "").split("M") if stroke]


def test_what_a_chart_shows() -> None:
    """Axes in the reader's zone, a line with its gap, each limit with its words, and when an alert fired, and which."""
    svg = drawn(RUSH)
    ticks = [text for kind in ("tick", "tick minor") for text in texts(svg, kind)]
    assert sorted(ticks[:6], key=len) == ["0s", "1m", "2m", "30s", "1m 30s", "2m 30s"]
    assert sorted(ticks[6:]) == [f"{10 + minute // 60}:{minute % 60:02}" for minute in range(46, 62, 2)]
    assert [len(stroke.split("L")) for stroke in lines(svg)] == [8, 5]
    assert texts(svg, "limit critical") == ["critical above 2m"]
    assert texts(svg, "limit warning") == ["warning above 1m"]
    assert texts(svg, "fired critical") == ["critical"]
    (firing,) = [each for each in svg.iter("rect") if each.get("class") == "firing critical"]
    assert (firing.get("x"), firing.get("width"), firing.get("fill")) == ("20%", "33.33%", "url(#c-critical)")
    assert [each.get("id") for each in svg.iter("pattern")] == ["c-critical"]


def test_what_is_read_aloud() -> None:
    """An image with a name and a description: the same sentences as in a terminal."""
    svg = drawn(RUSH)
    assert (svg.get("role"), svg.get("aria-labelledby")) == ("img", "c-title c-about")
    assert {each.get("id"): each.text for each in svg if each.tag in ("title", "desc")} == {
        "c-title": f"{RUSH.label}, {RUSH.name}",
        "c-about": described(RUSH, HELSINKI),
    }


def test_nothing_that_a_strict_policy_blocks() -> None:
    """No style, no script, no handler, and no address but those of its own patterns."""
    text = chart(RUSH, HELSINKI, id="c") + trend(RUSH, HELSINKI)
    assert not re.search(r"style|<script|\son\w+=|href|https?:", text)
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {"#c-critical"}


@pytest.mark.parametrize("name", ["</title><script>alert(1)</script>", 'Sales "EU" & <b>', "a\x00b\u202ec", "'"])
def test_names_are_text(name: str) -> None:
    """Markup in a name is shown as it is; what cannot be shown is a space."""
    svg = drawn(replace(RUSH, name=name))
    shown = name.replace("\x00", " ").replace("\u202e", " ")
    assert [each.text for each in svg if each.tag == "title"] == [f"{RUSH.label}, {shown}"]
    assert not list(svg.iter("script"))
    assert ElementTree.fromstring(trend(replace(RUSH, name=name), UTC)) is not None


def test_a_value_between_two_gaps_is_a_dot() -> None:
    assert [stroke.endswith("h0") for stroke in lines(drawn(series(1.0, None, 2.0, None, 3.0, 4.0)))] == [
        True,
        True,
        False,
    ]


EMPTY = {"no sample": series(), "no value": series(None, None)}


@pytest.mark.parametrize("what", EMPTY.values(), ids=EMPTY)
def test_no_values(what: Series) -> None:
    """A sentence in the place of the line, within axes that stay as they are; a trend is left out."""
    svg = drawn(what)
    assert texts(svg, "none") == ["no values were recorded"]
    assert lines(svg) == []
    assert trend(what, UTC) == ""


def test_many_values_keep_their_extremes() -> None:
    """A week every 15 s is a line of what its pixels can show: no peak or dip is lost, and the last value is there."""
    number = 7 * 24 * 240
    begin = at(0) - timedelta(days=7)
    times = tuple(begin + timedelta(seconds=15 * (place + 1)) for place in range(number))
    values = [500.0] * number
    values[12_345], values[30_000], values[-1] = 1000.0, 0.0, 250.0
    week = Series("Sales EU", "Waiting", ValueType.COUNT, begin, at(0), Samples(times, tuple(values)))
    (stroke,) = lines(drawn(week))
    points = [tuple(map(int, point.split(","))) for point in stroke.split("L")]
    assert len(points) <= 4 * (MAX_COLUMNS + 1)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert {y for _, y in points} == {0, 500, 1000, 750}  # from the top
    assert points[-1] == (1920, 750)


def test_limits_that_are_close_have_words_apart() -> None:
    limits = [Limit(float(value), Level.WARNING, "r") for value in (100, 101, 102)]
    svg = drawn(series(0.0, 150.0, type=ValueType.COUNT, limits=tuple(limits)))
    places = [
        float((each.get("y") or "").rstrip("%")) for each in svg.iter("text") if "limit" in str(each.get("class"))
    ]
    assert len(places) == 3
    assert all(after - before >= 7 for before, after in pairwise(places))


def test_spans_that_are_close_have_one_word() -> None:
    """Each is drawn, and at least as wide as can be seen; words do not overlap, and the last one stays inside."""
    spans = tuple(Span(at(minute), at(minute), Level.WARNING, "r") for minute in (-10, -9.9, -0.1))
    svg = drawn(replace(RUSH, spans=spans))
    rects = [each.get("width") for each in svg.iter("rect") if each.get("class") == "firing warning"]
    assert rects == ["0.3%"] * 3
    words = [
        (each.get("x"), each.get("text-anchor")) for each in svg.iter("text") if each.get("class") == "fired warning"
    ]
    assert words == [("33.33%", "start"), ("100%", "end")]


def test_values_below_zero_and_a_limit_that_moves() -> None:
    """The axis reaches below zero; the limit is a line of its own."""
    moving = series(-5.0, 5.0, type=ValueType.NUMBER, moving=[1.0, 2.0])
    svg = drawn(moving)
    assert texts(svg, "tick")[0] == "-6"
    assert [each.get("d") for each in svg.iter("path") if each.get("class") == "limit moving"] != [""]


def test_a_trend_is_named_by_its_values() -> None:
    svg = ElementTree.fromstring(trend(series(1.0, 3.0, type=ValueType.COUNT), UTC))
    assert "highest 3" in (svg.get("aria-label") or "")
