"""What a question reads: exactly what the row of its subcommand needs, from a real database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alertbot.alerts.alerting import Alerting
from alertbot.alerts.delivery import PostCard
from alertbot.alerts.notice import NoticeKind
from alertbot.commands.answers import COMMANDS, answer, press
from alertbot.commands.changes import whole_card
from alertbot.commands.command import Command
from alertbot.commands.parse import parse
from alertbot.commands.view import View
from alertbot.config.settings import FlapSettings, IgnoredEntities, IgnoreSettings, Settings, StormSettings
from alertbot.errors import FaultsFound
from alertbot.evaluation.past import Past
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import RULE_SCOPES, ValueType
from alertbot.rules.expression import Compare, Key, Literal, Op
from alertbot.rules.match import Match
from alertbot.rules.rule import RuleSet
from alertbot.service.factories import make_tenants
from alertbot.service.live_rules import LiveRules
from alertbot.service.of_settings import parser, rule_paths
from alertbot.service.process import name_of_poller
from alertbot.service.views import change, make_view, redraw
from alertbot.store.records import PollRecord, RunningRules
from alertbot.store.roles import Store
from alertbot.store.sqlite.store import SqliteStore
from tests.commands.kit import AGENTS, ANNA, GROUPS, LONGEST_WAIT, NOW, ON_BREAK, QUEUES, RULES, alert, column, text_of
from tests.store.build import at, begin_posted, begins, edits, firing, notice

SHADOW = replace(RULES.rules[0], id="shadowed", title="Only watched", shadow=True)
AWAY = replace(
    ON_BREAK,
    id="away",
    title="Away",
    levels=(
        replace(
            ON_BREAK.levels[0],
            when=Compare(Op.EQ, Key("status.rt", ValueType.TEXT), Literal("OnBreak", ValueType.TEXT)),
            text='status.rt == "OnBreak"',
        ),
    ),
)
AWAY_NIGHTS = replace(AWAY, id="nights-away", title="Nights", match=Match(names=("*",), exclude_names=("x",)))
SETS = dict.fromkeys(("acme", "beta"), RuleSet((*RULES.rules, SHADOW, AWAY, AWAY_NIGHTS), "1f0c2b3a4d5e"))


SILENCE = parse("silence rule=longest-wait 2h new phones")


class Counted:
    """A store that counts what is read from it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any) -> Any:
            scopes = ":" + ",".join(sorted(args[1])) if name == "latest" else ""
            self.calls[name + scopes] += 1
            return method(*args)

        return call


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two tenants with an open alert each."""
    opened = SqliteStore(tmp_path / "alertbot.db")
    snapshots = {each.scope: each for each in (QUEUES, GROUPS, AGENTS)}
    for tenant in SETS:
        firing = replace(alert(tenant=tenant), id=None)
        opened.record(PollRecord(tenant, NOW, Feed(tenant, NOW, NOW), [begins(firing)], snapshots=snapshots))
    opened.set_running([RunningRules(tenant, "1f0c2b3a4d5e", NOW, {}) for tenant in SETS])
    yield opened
    opened.close()


SETTINGS = Settings.model_validate(
    {
        "tenants": [{"name": name, "region": "us", "api_key": "k", "api_secret": "s"} for name in SETS],
        "slack": {"bot_token": "xoxb-1", "default_channel": "#cc-alerts"},
    }
)


def view_of(text: str | Command, store: Store, called: Counter[str] | None = None) -> View:
    calls: Counter[str] = Counter() if called is None else called

    def rules() -> tuple[Mapping[str, RuleSet], Mapping[str, str]]:
        calls["rules that run"] += 1
        return SETS, {}

    def pasts(named: RuleSet) -> Mapping[str, Past | None]:
        calls[f"past of {', '.join(rule.id for rule in named.rules)}"] += 1
        return {}

    command = parse(text) if isinstance(text, str) else text
    return make_view(command, SETTINGS, store, NOW, rules=rules, pasts=pasts)


READS = {
    "help": {},
    "nonsense": {},
    "status": {
        "feeds": 1,
        "heads": 1,
        "running_versions": 1,
        "alerts": 1,
        "totals": 1,
        "rules that run": 1,
        "service": 1,
        "overdue_since": 1,
        "held_back": 1,
        "latest:agent,queue": 2,
        "silences": 1,
    },
    "alerts": {"feeds": 1, "alerts": 1, "silences": 1},
    "alerts sales": {
        "feeds": 1,
        "alerts": 1,
        "silences": 1,
        f"latest:{','.join(sorted(RULE_SCOPES))}": 2,
        "rules that run": 1,
    },
    "history": {"ended": 1},
    "digest": {"alerts": 1, "quality": 1, "latest:agent,queue": 2, "rules that run": 1},
    "history sales 2d": {"ended": 1, f"latest:{','.join(sorted(RULE_SCOPES))}": 2, "rules that run": 1},
    "top longest wait": {"feeds": 1, f"latest:{','.join(sorted(RULE_SCOPES))}": 2},
    "chart longest wait acme/Sales EU": {
        "feeds": 1,
        "alerts": 1,
        "ended": 1,
        "values": 1,
        f"latest:{','.join(sorted(RULE_SCOPES))}": 2,
        "rules that run": 1,
    },
    "chart longest wait": {
        "feeds": 1,
        "alerts": 1,
        "ended": 1,
        f"latest:{','.join(sorted(RULE_SCOPES))}": 2,
        "rules that run": 1,
    },
    "queue Sales EU": {"feeds": 1, "alerts": 1, "silences": 1, "latest:queue": 2, "rules that run": 1},
    "group Nights": {"feeds": 1, "alerts": 1, "silences": 1, "latest:group": 2, "rules that run": 1},
    "agent Anna": {"feeds": 1, "alerts": 1, "silences": 1, "latest:agent": 2, "rules that run": 1},
    "rules": {"running_versions": 1, "alerts": 1, "silences": 1, "rules that run": 1},
    "rules longest-wait": {"running_versions": 1, "alerts": 1, "silences": 1, "rules that run": 1, "latest:queue": 2},
    "rules shadowed": {
        "running_versions": 1,
        "alerts": 1,
        "silences": 1,
        "rules that run": 1,
        "latest:queue": 2,
        "fired": 1,
    },
    "rules away": {"running_versions": 1, "alerts": 1, "silences": 1, "rules that run": 1, "latest:agent": 2},
    "rules nights-away": {"running_versions": 1, "alerts": 1, "silences": 1, "rules that run": 1, "latest:agent": 2},
    "metrics": {},
    "hours": {"rules that run": 1},
    "why longest-wait acme/Sales EU": {
        "alerts": 1,
        "silences": 1,
        "latest:queue,queue_agent": 2,
        "rules that run": 1,
        "past of longest-wait": 1,
        "latched_alerts": 1,
    },
    "why #1": {
        "latched_alerts": 1,
        "alerts": 1,
        "silences": 1,
        "alert": 1,
        "latest:queue,queue_agent": 2,
        "rules that run": 1,
        "past of longest-wait": 1,
    },
    "why #99": {"latched_alerts": 1, "alerts": 1, "silences": 1, "alert": 1, "rules that run": 1},
    "why": {"latched_alerts": 1, "alerts": 1, "silences": 1, "rules that run": 1},
    "ack 1": {"alerts": 1, "silences": 1},
    "unack 1": {"alerts": 1, "silences": 1},
    "resolve 1 stuck": {"alerts": 1, "silences": 1},
    "silence rule=longest-wait 2h": {
        "alerts": 1,
        "silences": 1,
        f"latest:{','.join(sorted(RULE_SCOPES))}": 2,
        "rules that run": 1,
    },
    "silences": {"alerts": 1, "silences": 1},
    "unsilence 99": {"alerts": 1, "silences": 1},
}


@pytest.mark.parametrize("text", READS)
def test_a_question_reads_what_its_row_needs(text: str, store: Store) -> None:
    """Each part once, snapshots of one scope a tenant, and nothing for `help`."""
    counted = Counted(store)
    view = view_of(text, counted, counted.calls)
    assert counted.calls == Counter(READS[text]) + Counter(names=1)  # how names are shown, which reads nothing here
    reply = answer(view, parse(text), ANNA, NOW)
    assert reply.parts or reply.wish


PRESSED = {
    "silence 1h 1": {"alerts": 1, "silences": 1, "alert": 1, "rules that run": 1},
    "silence other card:1": {"alerts": 1, "silences": 1, "open_members": 1, "rules that run": 1},
    "give_back 1": {"alerts": 1, "silences": 1},
    "give_back card:1": {"alerts": 1, "silences": 1},
    "acknowledge 1": {"alerts": 1, "silences": 1},
}


@pytest.mark.parametrize("text", PRESSED)
def test_a_button_reads_what_it_needs(text: str, store: Store) -> None:
    """No snapshots: a form has to open within 3 s of the press."""
    counted = Counted(store)
    command = press(*text.split(" ", 1))  # type: ignore[arg-type]  # two
    assert command is not None
    view = view_of(command, counted, counted.calls)  # type: ignore[arg-type]  # a store that counts
    assert counted.calls == Counter(PRESSED[text]) + Counter(names=1)
    if text.startswith("silence"):
        assert view.rules_of == SETS


def test_a_service_that_lives_and_does_not_write(store: Store) -> None:
    """On a full disk its lease expires: it is not reported as ended, which another process would be."""
    minute = timedelta(minutes=1)
    store.take_leases(["delivery"], name_of_poller(), NOW - 5 * minute, minute / 2)
    service = view_of("status", store, Counter()).service
    assert service is not None
    assert (service.running, service.stuck) == (False, Path("/proc/self/stat").exists())
    store.take_leases(["delivery"], "elsewhere, process 1 (run a)", NOW - 2 * minute, minute / 2)
    service = view_of("status", store, Counter()).service
    assert service is not None
    assert (service.running, service.stuck) == (False, False)


def test_a_card_is_read_for_its_button(store: Store) -> None:
    """The alerts of the card that have not ended."""
    firing = alert(None, entity=("7", "Queue 7"))
    card = notice(firing, NoticeKind.CARD, group="rule:longest-wait", now=NOW)
    store.record(PollRecord("acme", NOW, Feed("acme", NOW, NOW), [begins(firing)], notices=[card]))
    (due,) = (each for each in store.due(NOW) if isinstance(each, PostCard))
    asked = press("silence", f"1h card:{due.card.id}")
    assert asked is not None
    assert [each.entity_name for each in view_of(asked, store).card] == ["Queue 7"]
    assert view_of("silence card:1 2h", store).card == ()


def test_a_command_that_comes_again_after_a_restart_makes_one_silence(tmp_path: Path) -> None:
    """The second process answers with the silence that the first one made, although its own would end later."""
    answers = []
    for seconds in (0, 20):
        store = SqliteStore(tmp_path / "again.db")
        now = at(seconds)
        reply = answer(view_of(SILENCE, store), SILENCE, ANNA, now)
        assert reply.wish is not None
        answers.append(change(store, reply.wish, ANNA, now + timedelta(milliseconds=7 * seconds)))
        made = store.silences()
        store.close()
    assert answers[0] == answers[1]
    assert made == (answers[0][1],)


@pytest.mark.parametrize("what", ["alert", "card"])
def test_the_card_of_a_menu_is_drawn_again(what: str, tmp_path: Path) -> None:
    """It is due for an edit, whether the menu is about its alert or about all of it."""
    store = SqliteStore(tmp_path / "menu.db")
    found = begin_posted(store, firing("1"))
    begin_posted(store, firing("2"))
    (card,) = [each.id for each in store.shown_cards(at(120)) if each.members[0].id == found.id]
    command = press("silence", f"other {found.id if what == 'alert' else whole_card(card)}")
    assert command is not None
    redraw(store, command, at(120))
    assert [each.card.id for each in edits(store, at(120))] == [card]
    store.close()


def test_the_values_of_a_text_key_are_those_of_the_last_poll(store: Store) -> None:
    """Of every tenant that runs the rule, the commonest first; what is missing or empty is no value."""
    assert view_of("rules away", store).text_values == {"away": {"status.rt": ("Available", "OnBreak")}}
    agents = replace(AGENTS, columns={"status.rt": column("Lunch", "Lunch", "")})
    store.record(PollRecord("beta", NOW, Feed("beta", NOW, NOW), snapshots={AGENTS.scope: agents}))
    assert view_of("rules away", store).text_values == {"away": {"status.rt": ("Lunch", "Available", "OnBreak")}}
    assert view_of("rules longest-wait", store).text_values == {}
    assert view_of("status", store).text_values == {}


def test_what_is_ignored_is_covered_by_no_rule(store: Store) -> None:
    """In what an answer reads, for each tenant its own."""
    ignoring = SETTINGS.model_copy(update={"ignore": IgnoreSettings(queue=IgnoredEntities(name=("*test*",)))})
    view = make_view(parse("rules"), ignoring, store, NOW, rules=lambda: (SETS, {}), pasts=lambda named: {})
    queues = [rule for rule in view.rules.rules if rule.scope is QUEUES.scope]
    assert queues
    assert all("*test*" in rule.match.exclude_names for rule in queues)


def test_a_turn_evaluates_nothing_that_is_ignored(store: Store, tmp_path: Path) -> None:
    """The rules of a turn are the same object from turn to turn, and those of an edit after it."""
    ignoring = SETTINGS.model_copy(update={"ignore": IgnoreSettings(queue=IgnoredEntities(name=("*test*",)))})
    (tmp_path / "a.yaml").write_text("rules: [{id: a, scope: queue, when: entered.today > 3}]")
    tenants = make_tenants(ignoring, LiveRules(dict.fromkeys(SETS, tmp_path)))
    first = tenants[0].for_turn(store, NOW).rules
    assert first.rules[0].match.exclude_names == ("*test*",)
    assert tenants[0].for_turn(store, NOW).rules is first
    tenants[0].rules = RuleSet((LONGEST_WAIT,))
    assert "*test*" in tenants[0].for_turn(store, NOW).rules.rules[0].match.exclude_names


def test_a_turn_knows_what_the_settings_say_about_alerts(store: Store, tmp_path: Path) -> None:
    """General settings, and the pace of the tenant."""
    slow = SETTINGS.tenants[0].model_copy(update={"poll_every": timedelta(seconds=20)})
    settings = SETTINGS.model_copy(
        update={
            "tenants": (slow, *SETTINGS.tenants[1:]),
            "stale_after": timedelta(minutes=3),
            "storm": StormSettings(cards=7),
            "flap": FlapSettings(rises=3, window=timedelta(minutes=10)),
            "nag_after": timedelta(hours=1),
        }
    )
    (tmp_path / "a.yaml").write_text("rules: [{id: a, scope: queue, when: entered.today > 3}]")
    first, second = (
        tenant.for_turn(store, NOW).alerting
        for tenant in make_tenants(settings, LiveRules(dict.fromkeys(SETS, tmp_path)))
    )
    assert first == Alerting(
        poll_every=timedelta(seconds=20),
        stale_after=timedelta(minutes=3),
        storm_cards=7,
        flap_rises=3,
        flap_window=timedelta(minutes=10),
        nag_after=timedelta(hours=1),
    )
    assert second == replace(first, poll_every=SETTINGS.tenants[1].poll_every)


def test_rules_are_read_with_the_pace_of_their_tenants(tmp_path: Path) -> None:
    """A reminder more frequent than the polls of the slowest tenant of the folder is refused; elsewhere it is not."""
    text = "rules: [{id: a, scope: queue, when: entered.today > 3, remind: 30s}]"
    for name in SETS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.yaml").write_text(text)
    paces = [timedelta(seconds=10), timedelta(minutes=1)]
    tenants = [
        tenant.model_copy(update={"rules": str(tmp_path / tenant.name), "poll_every": pace})
        for tenant, pace in zip(SETTINGS.tenants, paces, strict=True)
    ]
    settings = SETTINGS.model_copy(update={"tenants": tuple(tenants)})
    with pytest.raises(FaultsFound) as caught:
        LiveRules(rule_paths(settings), parser(settings))
    (fault,) = caught.value.faults
    assert fault.file.endswith(f"{tenants[1].name}/a.yaml")
    assert fault.message == "remind is 30s, shorter than the time between two polls (poll_every: 1m)"


def test_every_subcommand_is_in_the_table() -> None:
    assert {parse(text).name for text in READS} >= {row.name for row in COMMANDS}


def test_an_incomplete_answer_is_reported_without_its_values(store: Store) -> None:
    """`status` names what the last poll was missing, from the head of the snapshot."""
    partial = replace(QUEUES, complete=False, problems=("page 3 of 4 failed",))
    store.record(PollRecord("beta", NOW, Feed("beta", NOW, NOW), snapshots={QUEUES.scope: partial}))
    view = view_of("status", store)
    assert not any(tenant.snapshots for tenant in view.tenants)
    shown = text_of(answer(view, parse("status"), ANNA, NOW))
    assert "Problem: beta: the last answer about queue is incomplete." in shown
    assert "Problem: beta: queue: page 3 of 4 failed" in shown
    assert "acme: the last answer" not in shown
