"""Rule files: what good ones become, and the faults of each bad one."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertbot.errors import FaultsFound
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.parse_rules import parse_files, read_files
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.hours import Country, Hours, TimeRange
from alertbot.rules.match import Match
from alertbot.rules.rule import Escalation, GroupBy, Level, NoData, Remind, Rule, RuleSet
from alertbot.rules.tree import Literal, show
from tests.golden import DATA, check_golden

BAD = sorted(DATA.glob("*.bad.yaml"))
GOOD = sorted(DATA.glob("*.good.yaml"))


def load(text: str | bytes, file: str = "rules/test.yaml") -> RuleSet:
    return parse_files({file: text})


def faults(text: str | bytes) -> tuple[Fault, ...]:
    with pytest.raises(FaultsFound) as caught:
        load(text)
    return caught.value.faults


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name.removesuffix(".bad.yaml"))
def test_the_faults_of_a_bad_file(path: Path) -> None:
    """Each fault in a sentence, with its place and what to write instead; whole output, as `check` prints it."""
    with pytest.raises(FaultsFound) as caught:
        parse_files({path.name: path.read_bytes()})
    check_golden(f"{path.name.removesuffix('.yaml')}.txt", f"{caught.value}\n")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name.removesuffix(".bad.yaml"))
def test_a_fault_points_at_its_excerpt(path: Path) -> None:
    """Line and column are those of the offending text, so that it can be underlined."""
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    with pytest.raises(FaultsFound) as caught:
        parse_files({path.name: path.read_bytes()})
    for fault in caught.value.faults:
        assert 1 <= fault.line <= len(lines)
        assert 1 <= fault.column <= len(lines[fault.line - 1]) + 1
        if fault.excerpt and not fault.excerpt.endswith("…"):
            rest = "\n".join([lines[fault.line - 1][fault.column - 1 :], *lines[fault.line :]])
            assert rest.lstrip("\"'").replace('\\"', '"').replace("\n", " ").startswith(fault.excerpt), fault


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name.removesuffix(".good.yaml"))
def test_a_good_file_is_taken(path: Path) -> None:
    parse_files({path.name: path.read_bytes()})


def test_every_key_arrives_where_it_belongs() -> None:
    """A rule with all keys, its own values before the defaults of its file."""
    first, second = parse_files({"full.good.yaml": (DATA / "full.good.yaml").read_bytes()}).rules
    assert first.match == Match(("Sales*", "Support*"), ("103", "0104"), ("*test*",), ("9",))
    assert first.guard is not None
    assert first.clear is not None
    assert (show(first.guard), first.guard_text) == ("entered.int-30m >= 10", "entered.int-30m >= 10")
    assert first.clear_text == "interactionsLongestWaitInQueue.rt < 45s"
    assert first.params == {
        "warn": Literal(60_000.0, ValueType.DURATION),
        "crit": Literal(120_000.0, ValueType.DURATION),
    }
    assert [(each.level, each.text, each.hold) for each in first.levels] == [
        (Level.WARNING, "interactionsLongestWaitInQueue.rt > $warn", timedelta(seconds=30)),
        (Level.CRITICAL, "interactionsLongestWaitInQueue.rt > $crit", timedelta(0)),
    ]
    assert (first.keep_firing_for, first.no_data) == (timedelta(seconds=90), NoData.CLEAR)
    assert first.channels == {Level.WARNING: ("#cc-sales",), Level.CRITICAL: ("C0123ABCD",)}
    assert first.mention == {Level.CRITICAL: ("<!subteam^S0123>", "<@U0123>")}
    assert (first.template, first.runbook) == ("longest-wait", "https://wiki.example/longest-wait")
    assert first.labels == {"site": "helsinki", "team": "sales"}
    assert first.remind == Remind(timedelta(minutes=15), timedelta(hours=2))
    assert first.escalate == (
        Escalation(timedelta(minutes=10), ("#cc-managers", "C0123ABCD"), ("<@U0123>", "<!subteam^S0123>")),
        Escalation(timedelta(minutes=90)),
    )
    assert first.group_by is GroupBy.ENTITY
    assert (first.origin.file, first.origin.line) == ("full.good.yaml", 15)

    assert (second.title, second.scope) == ("New metric", Scope.GROUP)
    assert [(each.level, each.hold) for each in second.levels] == [(Level.INFO, timedelta(minutes=1))]
    assert second.channels == dict.fromkeys(Level, ("#cc-alerts",))
    assert second.mention == dict.fromkeys(Level, ("<!here>",))
    assert (second.keep_firing_for, second.no_data) == (timedelta(minutes=1), NoData.KEEP)
    assert second.runbook == "https://wiki.example/alerts"
    assert second.keys() == {"brandNew.rt"}
    assert second.remind == Remind(timedelta(minutes=30))
    assert second.escalate == (Escalation(timedelta(hours=1), ("#cc-managers",)),)
    assert second.group_by is GroupBy.RULE


@pytest.mark.parametrize(
    ("remind", "poll_every", "fault"),
    [
        ("20s", 15, None),
        ("15s", 15, None),
        ("59s", 60, "remind is 59s, shorter than the time between two polls (poll_every: 1m) (write 1m or more)"),
        (
            "{every: 20s, most: 2m}",
            30,
            "remind.every is 20s, shorter than the time between two polls (poll_every: 30s)",
        ),
        ("5s", 5, None),
    ],
    ids=["more", "the same", "fewer", "in a mapping", "short polls"],
)
def test_a_reminder_is_not_more_frequent_than_polls(remind: str, poll_every: int, fault: str | None) -> None:
    text = f"rules: [{{id: a, scope: queue, when: entered.today > 5, remind: {remind}}}]"
    parsed = read_files({"a.yaml": text}, poll_every=timedelta(seconds=poll_every))
    assert len(parsed.faults) == (fault is not None)
    assert fault is None or fault in str(parsed.faults[0])


def test_what_is_merged_in_counts_where_nothing_else_is_said() -> None:
    sales, critical, depth = parse_files({"anchors.good.yaml": (DATA / "anchors.good.yaml").read_bytes()}).rules
    assert (critical.id, critical.title, critical.match) == ("sales-wait-critical", sales.title, sales.match)
    assert [each.level for each in critical.levels] == [Level.CRITICAL]
    assert depth.levels[0].when == sales.levels[0].when


def test_the_short_form_is_a_warning_at_once() -> None:
    rule = only("when: entered.today > 5")
    assert [(each.level, each.hold) for each in rule.levels] == [(Level.WARNING, timedelta(0))]
    assert rule.title == "Test rule"


def only(body: str) -> Rule:
    lines = "\n    ".join(body.splitlines())
    return load(f"rules:\n  - id: test-rule\n    scope: queue\n    {lines}\n").rules[0]


def test_levels_are_the_lowest_first_however_they_are_written() -> None:
    rule = only("critical: {when: entered.today > 9}\ninfo: {when: entered.today > 5}")
    assert [each.level for each in rule.levels] == [Level.INFO, Level.CRITICAL]


@pytest.mark.parametrize(
    ("written", "literal"),
    [
        ("60s", Literal(60_000.0, ValueType.DURATION)),
        ('"1m30s"', Literal(90_000.0, ValueType.DURATION)),
        ("85%", Literal(0.85, ValueType.RATIO)),
        ("3", Literal(3.0, ValueType.NUMBER)),
        ("-2.5", Literal(-2.5, ValueType.NUMBER)),
        ("OnBreak", Literal("OnBreak", ValueType.TEXT)),
        ('"3"', Literal("3", ValueType.TEXT)),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_a_parameter_has_the_type_of_what_is_written(written: str, literal: Literal) -> None:
    when = "foo.rt == $it"
    rule = only(f"known: false\nparams: {{it: {written}}}\nwhen: {when}")
    assert rule.params == {"it": literal}


def test_a_condition_over_several_lines_is_kept_on_one() -> None:
    """The text is as long as it was, so that spans in the tree are offsets into it."""
    rule = only("when: |\n  entered.today > 5\n  and busy.rt > 3")
    assert rule.levels[0].text == "entered.today > 5 and busy.rt > 3"
    when = rule.levels[0].when
    assert rule.levels[0].text[when.span.start : when.span.end] == rule.levels[0].text


COLUMNS = {
    "plain": ("when: slaPercentage.today < 80", 5, 33),
    "double quoted": ('when: "slaPercentage.today < 80"', 5, 34),
    "double quoted with escapes": ('when: "entered.today == \\"x\\" or slaPercentage.today < 80"', 5, 60),
    "single quoted": ("when: 'slaPercentage.today < 80'", 5, 34),
    "in a mapping": ("warning: {when: slaPercentage.today < 80}", 5, 43),
    "folded": ("when: >\n  entered.today > 5\n  or slaPercentage.today < 80", 7, 32),
    "literal": ("when: |-\n  entered.today > 5\n\n  or slaPercentage.today < 80", 8, 32),
    "plain over two lines": ("when: entered.today > 5\n  or slaPercentage.today < 80", 6, 32),
    "anchored": ("when: &it slaPercentage.today < 80", 5, 37),
}


@pytest.mark.parametrize(("body", "line", "column"), COLUMNS.values(), ids=COLUMNS)
def test_a_fault_in_a_condition_has_its_column_in_the_file(body: str, line: int, column: int) -> None:
    lines = body.replace("\n", "\n    ")
    found = [
        fault
        for fault in faults(f"rules:\n  - id: x\n    scope: queue\n    # here\n    {lines}\n")
        if "80" in fault.message
    ]
    assert [(fault.line, fault.column, fault.excerpt) for fault in found] == [(line, column, "80")]


def test_faults_of_all_files_come_together_in_order() -> None:
    """A file that is no YAML hides nothing of the others, and an id is unique over all of them."""
    one = "rules:\n  - id: a\n    scope: queue\n    when: entered.today > 5\n"
    with pytest.raises(FaultsFound) as caught:
        parse_files({"c.yaml": one, "b.yaml": "rules: [", "a.yaml": one, "d.yaml": "rulez: []"})
    assert [str(fault) for fault in caught.value.faults] == [
        "b.yaml:1:9: the file ends unexpectedly (close what is open)",
        "c.yaml:2:9: rule a: the id a is already used (the other rule is in a.yaml:2)",
        "d.yaml:1:1: no rules in this file (write rules: and a list below it)",
        'd.yaml:1:1: unknown key "rulez" (did you mean "rules"?)',
    ]


OFFICE = 'hours: {office: {timezone: UTC, open: {mon: "08:00-18:00"}}}\n'


def test_calendars_are_known_in_all_files() -> None:
    """Those of a later file, those of alertbot.yaml, and a file that holds nothing else."""
    rule = "rules:\n  - {id: a, scope: queue, when: entered.today > 5, during: office, outside: lunch}\n"
    lunch = parse_files({"lunch": 'hours: {lunch: {timezone: UTC, open: {mon: "12:00-13:00"}}}'}).calendars
    found = parse_files({"a.yaml": rule, "b.yaml": OFFICE}, lunch)
    (only,) = found.rules
    assert only.during is not None
    assert only.outside is not None
    assert (only.during.calendar.name, only.outside.calendar.name) == ("office", "lunch")
    assert set(found.calendars) == {"office", "lunch"}


def test_a_calendar_has_one_place() -> None:
    """The same name in two files, or in a file and in alertbot.yaml, is a fault that names the other place."""
    config = parse_files({"alertbot.yaml": OFFICE}).calendars
    with pytest.raises(FaultsFound) as caught:
        parse_files({"a.yaml": OFFICE.replace("08:00", "09:00")}, config)
    said = "the calendar office is defined twice (the other one is in alertbot.yaml:1)"
    assert [str(fault) for fault in caught.value.faults] == [f"a.yaml:1:9: {said}"]


def test_a_calendar_with_faults_is_known_all_the_same() -> None:
    """One mistake, one fault: a reference to it is not reported as missing."""
    text = "hours: {office: {timezone: UTC, open: {mon: 8}}}\n"
    text += "rules:\n  - {id: a, scope: queue, when: busy.rt > 5, during: office}\n"
    assert [fault.line for fault in faults(text)] == [1]


def test_hours_of_a_rule() -> None:
    """Its own hours take the place of the file's, whichever of the two they are."""
    rules = parse_files({"hours.good.yaml": (DATA / "hours.good.yaml").read_bytes()})
    by_default, at_night, early, before = rules.rules
    office = rules.calendars["office"]
    assert (by_default.during, by_default.outside) == (Hours(office), None)
    assert (at_night.during, at_night.outside, at_night.shadow) == (None, Hours(office), True)
    assert early.during == Hours(office, shift=timedelta(minutes=-10))
    assert before.during == Hours(rules.calendars["night"], before_open=timedelta(minutes=10))
    assert before.suppressed_by == ("early",)
    assert [len(day) for day in office.weekly] == [1, 1, 1, 1, 2, 0, 0]
    assert [len(day) for day in rules.calendars["night"].weekly] == [1, 0, 0, 0, 1, 1, 1]
    assert office.countries == (Country("FI"), Country("US", "CA"))
    assert office.dates == {date(2026, 12, 23), date(2026, 12, 24)}
    assert office.exceptions == ((date(2026, 1, 2), ()), (date(2026, 12, 31), (TimeRange(480, 720),)))
    assert (office.after_open, office.before_close, office.where) == (
        timedelta(minutes=5),
        timedelta(0),
        "hours.good.yaml:2",
    )


def test_a_parameter_that_was_refused_is_not_called_undefined_as_well() -> None:
    """One mistake, one fault."""
    text = "rules:\n  - id: x\n    scope: queue\n    params: {warn: [5]}\n    when: entered.today > $warn\n"
    assert [str(fault) for fault in faults(text)] == [
        "rules/test.yaml:4:20: rule x: warn must be a value such as 60s, 85%, 3 or text, not a list"
    ]


def test_the_version_is_of_names_and_contents() -> None:
    rules = {"a.yaml": b"rules: []", "b.yaml": b"rules: []\n"}
    assert parse_files(rules).version == parse_files(dict(reversed(rules.items()))).version
    others = [{**rules, "a.yaml": b"rules: [] "}, {"c.yaml": b"rules: []", "b.yaml": b"rules: []\n"}, {}]
    assert len({parse_files(files).version for files in [rules, *others]}) == 4


_FRAGMENTS = st.sampled_from(
    [
        *(
            "rules:",
            "defaults:",
            "- id: a",
            "id: b",
            "scope: queue",
            "when: ",
            "entered.today > 5",
            "warning:",
            "for: 3",
        ),
        *(
            "params: {",
            "$a",
            "channel: ",
            "mention: ",
            "match: ",
            "exclude: ",
            "known: ",
            "null",
            "true",
            "1e999",
            "0x",
        ),
        *(
            "\n",
            "  ",
            "    ",
            "\n    ",
            "\t",
            "{",
            "}",
            "[",
            "]",
            ",",
            "&x ",
            "*x",
            "<<: ",
            "? ",
            ": ",
            "- ",
            "|",
            ">",
            "'",
            '"',
        ),
        *("#", "!!str ", "%", "2026-12-24", "\\", "\x00", "\x85", "\u2028", "\ufeff", "---\n", "..."),
    ]
)


@settings(deadline=None)  # the machine may be busy
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80), st.lists(_FRAGMENTS, max_size=40).map("".join)))
def test_nothing_but_faults_comes_of_any_text(content: str | bytes) -> None:
    """Any content gives rules, or FaultsFound with places inside the file."""
    found: tuple[Fault, ...] = ()
    try:
        load(content)
    except FaultsFound as error:
        found = error.faults
    else:
        return
    assert found
    for fault in found:
        assert fault.file == "rules/test.yaml"
        assert min(fault.line, fault.column) >= 1
        assert "\n" not in str(fault)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "rules:\n" + "".join(f"{' ' * depth}-\n" for depth in range(2000)),
        "rules:\n  - id: x\n    scope: queue\n    when: " + "(" * 3000 + "entered.today" + ")" * 3000 + " > 5\n",
        "rules:\n  - id: x\n    scope: queue\n    when: " + "+".join(["busy.rt"] * 450) + " > 5\n",
        "a: &a [x]\n"
        + "".join(
            f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghijklmn", "bcdefghijklmno", strict=True)
        ),
        "rules: &x\n  - *x\n",
        "rules:\n  - &r\n    <<: *r\n    id: x\n",
    ],
    ids=["brackets", "lists", "parentheses", "sums", "billion laughs", "a list in itself", "a mapping in itself"],
)
def test_what_would_break_a_careless_reader_is_a_fault(text: str) -> None:
    """Depth, growth and circles are bounded: an answer at once, and no RecursionError."""
    assert faults(text)


IN_A_RULE = "rules:\n  - id: a\n    scope: queue\n    "
SAID: dict[str, tuple[str, str]] = {
    "a condition that begins with >": (
        IN_A_RULE + "when: >= 80%\n",
        "4:12: a condition cannot begin with > (write the metric key before it, as in slaPercentage.today >= 80%)",
    ),
    "a time of day for a duration": (
        IN_A_RULE + "when: interactionsLongestWaitInQueue.rt > 2:00\n",
        "4:47: rule a: 2:00 is not a number (write 2m for minutes, or 2h for hours)",
    ),
    "a comma for a point": (
        IN_A_RULE + "when: slaPercentage.today < 0,8\n",
        "4:33: rule a: 0,8 is not a number (write 0.8, with a point)",
    ),
    "a comma between thousands": (
        IN_A_RULE + "when: entered.today > 1,000\n",
        "4:27: rule a: 1,000 is not a number (write 1000)",
    ),
    "a pattern without quotes": (
        IN_A_RULE + "match: {name: *Sales}\n    when: entered.today > 5\n",
        "4:19: *Sales is an alias without an anchor "
        '(for a pattern, use quotes: "*Sales"; an alias needs &Sales before it)',
    ),
    "a no-break space in a condition": (
        IN_A_RULE + "when: entered.today\u00a0> 5\n",
        "4:24: rule a: a no-break space (U+00A0) (write a space, or nothing)",
    ),
    "a zero width space in a condition": (
        IN_A_RULE + "when: entered.today > 5\u200b\n",
        "4:28: rule a: a zero width space (U+200B) (write a space, or nothing)",
    ),
    "a no-break space in a key": (
        IN_A_RULE + "\u00a0for: 5m\n    when: entered.today > 5\n",
        '4:5: rule a: unknown key "\u00a0for" (it contains a no-break space (U+00A0): remove it)',
    ),
    "two files joined": (
        "rules: []\n\ufeffrules: []\n",
        "2:1: a byte order mark (U+FEFF) inside the file (two files were joined here: remove it)",
    ),
    "a key that no rule has": (
        IN_A_RULE + "when: entered.today > 5\n    sound: loud\n",
        '5:5: rule a: unknown key "sound" (see "Keys of a rule" in docs/rules.md)',
    ),
    "days in a word": (
        "hours: {o: {timezone: UTC, open: {weekdays: '08:00-18:00'}}}\n",
        '1:35: "weekdays" is not a day of the week (write mon-fri)',
    ),
    "a country alone": (
        "hours: {o: {timezone: UTC, open: {mon: '08:00-18:00'}, holidays: FI}}\n",
        '1:66: "FI" is not a date (write {country: FI} for the public holidays of a country)',
    ),
}


@pytest.mark.parametrize(("text", "said"), SAID.values(), ids=SAID)
def test_what_is_said(text: str, said: str) -> None:
    """A sentence that leads to the right file: not what YAML or the grammar stumbled over."""
    assert [str(fault) for fault in faults(text)] == [f"rules/test.yaml:{said}"]


ZONES = {
    "GMT+2": "write the place, such as Europe/Helsinki",
    "UTC+2": "write the place, such as Europe/Helsinki",
    "CEST": "write the place, such as Europe/Helsinki",
    "PST": "write the place, such as Europe/Helsinki",
    "Etc/GMT+20": "write the place, such as Europe/Helsinki",
    "helsinki": "did you mean Europe/Helsinki?",
    "Helsinky": "did you mean Europe/Helsinki?",
    "Europe/Londno": "did you mean Europe/London?",
    "New York": "did you mean America/New_York?",
}


@pytest.mark.parametrize(("zone", "hint"), ZONES.items(), ids=ZONES)
def test_no_wrong_zone_is_proposed(zone: str, hint: str) -> None:
    """The nearest name to an abbreviation or an offset is another zone: a proposal would be worse than none."""
    (fault,) = faults(f"hours: {{o: {{timezone: {zone}, open: {{mon: '08:00-18:00'}}}}}}\n")
    assert fault.hint == hint


CHANNELS = {
    "@ann": "alerts go to channels, not to a person: mention is for people",
    "U012345678": "alerts go to channels, not to a person: mention is for people",
    "https://acme.slack.com/archives/C0123ABCD/p17": 'write "C0123ABCD", the id in that link',
    "#" + "x" * 85: "the name of a channel has at most 80 characters",
    "“#cc”": 'write "#cc"',
    "CC Alerts": 'write "#cc-alerts"',
}


@pytest.mark.parametrize(("channel", "hint"), CHANNELS.items(), ids=CHANNELS)
def test_the_hint_for_what_is_no_channel(channel: str, hint: str) -> None:
    (fault,) = faults(f"rules: [{{id: a, scope: queue, when: entered.today > 5, channel: '{channel}'}}]\n")
    assert fault.hint == hint


def test_a_place_for_anchors() -> None:
    """Top-level keys that begin with x- are left alone."""
    path = DATA / "reports" / "anchors-at-the-top.yaml"
    rules = parse_files({path.name: path.read_bytes()})
    assert [rule.labels for rule in rules.rules] == [{"team": "sales"}, {"team": "sales", "shift": "late"}]
